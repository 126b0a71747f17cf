"""Where the lineage of a path is found: beside an artifact, or inside a pushed model."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from textmill.artifact import RECORD, ancestry, read_json, versions
from textmill.errors import UserError

EMBEDDED = Path("assets.extra") / "lineage.json"  # in a pushed model, so that it travels with it


def lineage_of(path: Path) -> dict[str, Any]:
    """Returns the tree behind an artifact, the newest artifact of a workspace, or a pushed model.

    Args:
        path: An artifact's folder, a workspace, a version's folder, or a folder of versions.

    Raises:
        UserError: There is nothing that Textmill made at this path.
    """
    if (path / RECORD).is_file():
        return ancestry(path)
    pushed = path / str(versions(path)[-1]) if versions(path) else path
    if (pushed / EMBEDDED).is_file():
        found: dict[str, Any] = read_json(pushed / EMBEDDED)
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
