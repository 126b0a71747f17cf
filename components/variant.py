"""Export a variant of a trained model, or say why there can be none."""

from __future__ import annotations

import shutil

from textmill.artifact import REFUSED, Examples, Model, Saved, Tokens, write_json
from textmill.components.export import export
from textmill.errors import UserError
from textmill.models import text_classification
from textmill.models.task import Task
from textmill.serving.precision import Name


def variant(
    out: Saved,
    model: Model,
    examples: Examples | None = None,
    *,
    task: Task = text_classification,
    precision: Name = "float32",
    seen: Tokens | None = None,
) -> None:
    """Writes what `export` writes; where that refuses, the reason alone.

    Whether a model can be served otherwise depends on what kind of encoder it is and on its
    tokenizer. One that can't is no reason to end a run that has others.

    Args:
        out: A SavedModel, or `refused.json` with `why`; see `Saved.refusal`.
        model: What was trained.
        examples: As `export` takes them.
        task: As `export` takes it.
        precision: Likewise.
        seen: Likewise.
    """
    try:
        export(out, model, examples, task=task, precision=precision, seen=seen)
    except UserError as refused:
        for left in out.path.iterdir():
            shutil.rmtree(left) if left.is_dir() else left.unlink()
        write_json(out.path / REFUSED, {"why": f"{refused.what}: {refused.received}"})
