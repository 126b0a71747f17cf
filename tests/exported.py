"""Exports models of `huggingface_models.py`, and asks signatures as TensorFlow Serving does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import tensorflow as tf

from textmill.artifact import Model, Saved
from textmill.components.adopt import adopt
from textmill.components.export import export
from textmill.models.preset import Preset
from textmill.models.tasks import task_named


def exported(checkpoint: Path, folder: Path, *, pair: bool = False) -> Path:
    """Writes a SavedModel of a checkpoint; returns its folder."""
    model, saved = Model(folder / "model", "d" * 64), Saved(folder / "saved")
    adopt(model, checkpoint=Preset(str(checkpoint)), pair=pair)
    export(saved, model, task=task_named(model.task()["task"]))
    return saved.path


def asked(folder: Path, signature: str, **inputs: Any) -> dict[str, Any]:
    """Returns the outputs of a signature, from a V1 Session, which is what a server has."""
    with tf.compat.v1.Session(graph=tf.Graph()) as session:
        meta = tf.compat.v1.saved_model.load(session, ["serve"], str(folder))
        found = meta.signature_def[signature]
        feeds = {found.inputs[name].name: value for name, value in inputs.items()}
        made: dict[str, Any] = session.run({k: t.name for k, t in found.outputs.items()}, feeds)
        return made
