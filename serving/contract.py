"""The serving contract: what must hold for a SavedModel before a server may be given it.

Every rule comes back as a row, whatever is wrong with the model; only a folder without a model is
an error. The rules follow from how TensorFlow Serving loads (V1 Session loader, tag `serve`, XLA
off, no custom operations) and from what this project promises: raw text in, the scores of the
trained model out, whatever else is in the batch.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

from textmill.artifact import read_manifest, versions
from textmill.errors import UserError
from textmill.serving import graph_rules, operation_rules, savedmodel
from textmill.serving.budget import Budget, latency_row, memory_row
from textmill.serving.questions import RULES, Subject
from textmill.serving.rows import Row, judge
from textmill.serving.running_rules import answers
from textmill.serving.savedmodel import TAG
from textmill.serving.servers import read_release
from textmill.serving.signatures import signatures_of

SPARE = 1.05  # a checkpoint may be this much larger than its parameters


class Contract(NamedTuple):
    """What a check found.

    Attributes:
        rows: A row per rule.
        measured: Of this machine: `latency_ms` of a text alone (`p50`, `p95`), `load_seconds`,
            `memory_bytes` beside TensorFlow's own; {} where the model did not run.
    """

    rows: list[Row]
    measured: dict[str, Any]

    @property
    def holds(self) -> bool:
        """Whether no rule failed."""
        return all(row.status != "failed" for row in self.rows)


def check_contract(
    model_dir: Path,
    *,
    server: str | None = None,
    python: Path | None = None,
    budget: Budget = Budget(),
) -> Contract:
    """Checks a SavedModel against every rule of the contract.

    Args:
        model_dir: A version's folder, or a base folder, which stands for its newest version.
        server: The release of TensorFlow Serving that it is for, "2.14"; None: any since 2.12.
        python: An interpreter with a TensorFlow of its own, in which the model must load too.
        budget: How long an answer may take, and how much memory.

    Returns:
        A row per rule, always all of them and in the same order.

    Raises:
        UserError: If there is no SavedModel, no such release, or no such interpreter.
    """
    release = read_release(server) if server else None
    if python is not None and not python.is_file():
        raise UserError(
            f"--python {python}: no such interpreter",
            expected="the path of a Python that has TensorFlow",
            received="no such file",
            fix="name bin/python of a virtual environment in which TensorFlow is installed",
        )
    folder = find_model(model_dir)
    rows = [_version(folder)]
    try:
        saved = savedmodel.read(folder)
        metas = [m for m in saved.meta_graphs if TAG in m.meta_info_def.tags]
    except Exception as error:  # protobuf has no class of its own for a file that is none
        metas, broken = [], f"saved_model.pb can't be read: {error}"
    else:
        tags = [sorted(m.meta_info_def.tags) for m in saved.meta_graphs]
        broken = "" if len(tags) == 1 and tags[0] == [TAG] else f"meta graphs tagged {tags}"
    rows.append(
        judge("meta graph", broken, f"one, tagged {TAG}", "save one meta graph with the tag serve")
    )
    manifest = read_manifest(folder)
    wanted = signatures_of(manifest)
    if not metas:
        rest = ("valid signatures", *(f"signature {name}" for name in wanted), *REST)
        why = "there is no graph to look at"
        return Contract([*rows, *(Row(rule, "skipped", why, "") for rule in rest)], {})
    meta = metas[0]
    rows.append(graph_rules.valid(meta))
    rows += [graph_rules.signature(meta, name, form) for name, form in wanted.items()]
    rows += [
        graph_rules.batch(meta),
        graph_rules.rest_types(meta),
        graph_rules.raw_text(meta),
        operation_rules.portable(meta),
        operation_rules.operations(meta, release),
        operation_rules.devices(meta),
        operation_rules.complete(folder, meta),
    ]
    subject = Subject(folder, meta, manifest, wanted)
    found, measured = answers(subject, python)
    rows += found
    rows += [
        _weights(folder, manifest),
        latency_row(budget.latency, measured),
        memory_row(budget.memory, measured),
    ]
    return Contract(rows, measured)


REST = (
    "free batch",
    "types for REST",
    "raw text",
    "no Python or XLA",
    "server operations",
    "no fixed device",
    "complete by itself",
    *RULES,
    "weights stored once",
    "latency",
    "memory",
)


def find_model(model_dir: Path) -> Path:
    """Returns the folder that holds `saved_model.pb`: this one, or its newest version.

    Raises:
        UserError: If there is none.
    """
    newest = [model_dir / str(version) for version in versions(model_dir)[-1:]]
    for folder in [model_dir, *newest]:
        if (folder / "saved_model.pb").is_file():
            return folder
    if not model_dir.exists():
        received = "no such folder"
    elif not model_dir.is_dir():
        received = "a file"
    else:
        inside = sorted(f.name for f in model_dir.iterdir())
        received = f"a folder with {', '.join(inside[:8]) or 'nothing in it'}"
    raise UserError(
        f"{model_dir}: no SavedModel",
        expected="a folder with saved_model.pb, or one with numbered versions that have it",
        received=received,
        fix="name the folder that a push wrote, models/reviews or models/reviews/1 for example",
    )


def _version(folder: Path) -> Row:
    name = folder.resolve().name
    try:
        number = int(name)
    except ValueError:
        return Row("version folder", "skipped", "the folder is not a version yet", "")
    broken = "" if str(number) == name and number >= 0 else f"{name!r} is not a plain number"
    return judge("version folder", broken, name, f"rename the folder to {abs(number)}")


def _weights(folder: Path, manifest: dict[str, Any]) -> Row:
    import tensorflow as tf

    rule, fix = "weights stored once", "track only the variables that are served, each once"
    try:
        reader = tf.train.load_checkpoint(str(folder / "variables" / "variables"))
        values = {
            name: reader.get_tensor(name)
            for name in reader.get_variable_to_shape_map()
            if name != "_CHECKPOINTABLE_OBJECT_GRAPH"
        }
    except (tf.errors.OpError, ValueError, RuntimeError, IndexError):
        return Row(rule, "skipped", "the checkpoint can't be read", "")
    if not values:
        return Row(rule, "skipped", "the model has no variables", "")
    stored = sum(f.stat().st_size for f in (folder / "variables").glob("variables.data-*"))
    # Without a manifest, a value that is there twice counts once.
    distinct = {(v.dtype.str, v.shape, v.tobytes()): v.nbytes for v in values.values()}
    needed = manifest.get("parameters", {}).get("bytes") or sum(distinct.values())
    broken = f"{stored} bytes are stored for {needed} bytes of parameters"
    return judge(
        rule,
        broken if stored > SPARE * needed + 4096 else "",
        f"{needed} bytes of parameters, stored in {stored}",
        fix,
    )
