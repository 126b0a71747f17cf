"""From a trained checkpoint to a checked SavedModel or a Hugging Face folder, without training."""

from __future__ import annotations

import tempfile
from pathlib import Path

from textmill.components.adopt import adopt
from textmill.components.adopt_generation import adopt_generation
from textmill.components.check import check
from textmill.components.export import export
from textmill.components.export_generation import export_generation
from textmill.components.push import push
from textmill.errors import UserError
from textmill.models.decoders import writes
from textmill.models.preset import Preset
from textmill.models.tasks import task_named
from textmill.progress import Listener
from textmill.run import Run
from textmill.serving.precision import Name


def export_checkpoint(
    checkpoint: str,
    to: Path,
    *,
    max_length: int | None = None,
    pair: bool = False,
    precision: Name = "float32",
    listener: Listener | None = None,
) -> Path:
    """Writes a version that TensorFlow Serving loads from a checkpoint; returns its folder.

    Args:
        checkpoint: A folder or `hf://…` name of a Hugging Face classifier or causal language
            model, a GGUF file, or a model of ours.
        to: The base folder, as `push` takes it.
        max_length: Tokens a row at most; None: what the checkpoint says.
        pair: Whether it was trained on two texts a row.
        precision: In what numbers weights are stored and multiplied.
        listener: Hears how it goes.

    Raises:
        UserError: The checkpoint is damaged, or of a kind that can't be served exactly.
        Refused: The model fails a rule of the serving contract.
    """
    with tempfile.TemporaryDirectory() as workspace:
        run = Run(Path(workspace), listener=listener)
        preset = Preset(checkpoint)
        if writes(preset):
            if pair:
                raise UserError(
                    f"--pair: {checkpoint} writes",
                    expected="a model that compares two texts",
                    received="--pair",
                    fix="leave --pair out",
                )
            model = run(adopt_generation, checkpoint=preset, max_length=max_length)
            saved = run(export_generation, model, precision=precision)
        else:
            model = run(adopt, checkpoint=preset, max_length=max_length, pair=pair)
            task = task_named(model.task()["task"])
            saved = run(export, model, task=task, precision=precision)
        return run(push, saved, run(check, saved), to=str(to)).model_path


def export_huggingface(checkpoint: str, to: Path, *, max_length: int | None = None) -> None:
    """Writes a folder that `AutoModelForSequenceClassification.from_pretrained` loads.

    Args:
        checkpoint: A model of ours, or any that `export_checkpoint` takes.
        to: Where to; it must not hold anything yet.
        max_length: Tokens a row at most; None: what the checkpoint says.

    Raises:
        UserError: The checkpoint is damaged, transformers has no such model, or `to` is not empty.
    """
    if to.exists() and (not to.is_dir() or any(to.iterdir())):
        raise UserError(
            f"{to} is there already",
            expected="a new folder",
            received="one with files in it" if to.is_dir() else "a file",
            fix="name another folder, or remove this one",
        )
    with tempfile.TemporaryDirectory() as workspace:
        run = Run(Path(workspace))
        model = run(adopt, checkpoint=Preset(checkpoint), max_length=max_length)
        # Written beside it and renamed: whoever watches the folder never sees half a model.
        to.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=to.parent, prefix=".draft-") as draft:
            from textmill.models.huggingface_out import save_huggingface

            network = task_named(model.task()["task"]).load(model.path)
            save_huggingface(network, model, Path(draft) / "made")
            (Path(draft) / "made").rename(to)
