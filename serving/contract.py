"""The serving contract: what must hold for a SavedModel before a server may be given it.

Every rule comes back as a row, whatever is wrong with the model; only a folder without a model is
an error. The rules follow from how TensorFlow Serving loads (V1 Session loader, tag `serve`, XLA
off, no custom operations) and from what this project promises: raw text in, the scores of the
trained model out, whatever else is in the batch.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from textmill.artifact import read_manifest, versions
from textmill.errors import UserError
from textmill.serving import savedmodel
from textmill.serving.graph_rules import batch, devices, operations, raw_text, signature
from textmill.serving.heads import forms
from textmill.serving.rows import Row, judge
from textmill.serving.running_rules import answers
from textmill.serving.savedmodel import TAG

SPARE = 1.05  # a checkpoint may be this much larger than its parameters


def check_contract(model_dir: Path) -> list[Row]:
    """Checks a SavedModel against every rule of the contract.

    Args:
        model_dir: A version's folder, or a base folder, which stands for its newest version.

    Returns:
        A row per rule, always all of them and in the same order.

    Raises:
        UserError: If there is no SavedModel.
    """
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
    # What is not ours is taken for a classifier.
    wanted = forms(
        manifest.get("kind", "one"),
        pair=manifest.get("pair", False),
        more=manifest.get("more_signatures", ()),
    )
    if not metas:
        rest = (*(f"signature {name}" for name in wanted), *REST)
        return rows + [Row(rule, "skipped", "there is no graph to look at", "") for rule in rest]
    meta = metas[0]
    rows += [signature(meta, name, form) for name, form in wanted.items()]
    rows += [batch(meta), raw_text(meta), operations(meta), devices(meta)]
    rows += answers(folder, meta, manifest)
    rows.append(_weights(folder, manifest))
    return rows


REST = (
    "free batch",
    "raw text",
    "core operations",
    "no fixed device",
    "loads and runs",
    "equal to the trained model",
    "independent of the batch",
    "weights stored once",
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
