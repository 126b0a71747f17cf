"""Where the lineage of a path is found: beside an artifact, or inside a pushed model."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rich.text import Text
from rich.tree import Tree

from textmill.artifact import LINEAGE, RECORD, ancestry, read_json, versions
from textmill.display import duration
from textmill.errors import UserError
from textmill.fingerprint import flat

EMBEDDED = Path("assets.extra") / "lineage.json"  # in a pushed model, so that it travels with it


def lineage_of(path: Path) -> dict[str, Any]:
    """Returns the tree behind an artifact, the newest artifact of a workspace, or a pushed model.

    Args:
        path: An artifact's folder, a workspace, a version's folder, a folder of versions, or a
            preset that a pretraining saved.

    Raises:
        UserError: There is nothing that Textmill made at this path.
    """
    if (path / RECORD).is_file():
        return ancestry(path)
    pushed = path / str(versions(path)[-1]) if versions(path) else path
    for file in (pushed / EMBEDDED, path / LINEAGE):
        if file.is_file():
            found: dict[str, Any] = read_json(file)
            return found
    records = list(path.glob(f"*/*/{RECORD}"))
    if records:
        return ancestry(max(records, key=lambda file: str(read_json(file)["started"])).parent)
    raise UserError(
        f"{path}: no lineage here",
        expected="an artifact's folder, a workspace, or a model that Textmill pushed",
        received="a folder without records" if path.is_dir() else "nothing at this path",
        fix="give the path that `textmill run` printed",
    )


def descendants_of(path: Path, store_url: str | None = None) -> Iterator[dict[str, str]]:
    """Yields what was made from the artifact at `path`, as the lineage store tells.

    Args:
        path: An artifact's folder.
        store_url: SQLAlchemy URL of the store, default the one in the artifact's workspace.
    """
    from textmill.store import Store

    record = lineage_of(path)
    database = path.resolve().parents[1] / "lineage.db"
    if store_url is None and not database.is_file():
        raise UserError(
            f"{path}: no lineage store",
            expected=f"a SQLite database at {database}",
            received="nothing at this path",
            fix="name the store: --store URL, as `lineage` in the config says",
        )
    yield from Store(store_url or f"sqlite:///{database}").descendants(record["digest"])


def tree_of(record: dict[str, Any]) -> Tree:
    """Returns a lineage record as a tree to print; what stands twice is told once."""
    return _add_inputs(Tree(_title("", record), guide_style="dim"), record, {record["digest"]})


def _add_inputs(tree: Tree, record: dict[str, Any], told: set[str]) -> Tree:
    for name, given in record["inputs"].items():
        made_by = given.get("made_by")
        if given["digest"] in told:
            tree.add(Text(f"{name}: {given['type']} {given['digest'][:12]}, as above", "dim"))
        elif made_by is None:
            tree.add(Text(f"{name}: {given['type']} {given['digest'][:12]}")).add(
                Text(given.get("given", "its record is gone"), "dim")
            )
        else:
            told.add(given["digest"])
            _add_inputs(tree.add(_title(f"{name}: ", made_by)), made_by, told)
    return tree


def _title(name: str, record: dict[str, Any]) -> Text:
    here = record["environment"]
    parameters = ", ".join(f"{key}={value!r}" for key, value in flat(record["parameters"]).items())
    packages = ", ".join(f"{key} {version}" for key, version in record["packages"].items())
    machine = f"{here['system']} {here['processor']}, {here['cores']} cores"
    return Text.assemble(
        name,
        (f"{record['type']} {record['digest'][:12]}", "bold"),
        f"  {record['path']}\n{record['step']}({parameters})\n",
        (f"{record['started'][:19]}Z, {duration(record['seconds'])}, {machine}\n", "dim"),
        (f"textmill {here['textmill']}, Python {here['python']}, {packages}".rstrip(", "), "dim"),
    )
