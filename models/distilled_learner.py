"""What the training of a student is made of."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from textmill.artifact import Tokens
from textmill.models import soft_labels
from textmill.models.batches import cut_into
from textmill.models.distillation import Lesson, Taught, agreed
from textmill.models.learner import Learner
from textmill.models.preset import Preset, Scratch
from textmill.models.quick_encoder import quicken
from textmill.models.rows import joined, read_rows
from textmill.models.scoring import logits_of_batches
from textmill.models.settings import Settings
from textmill.models.soft_labels import SoftLabels
from textmill.models.student import copy_head, shallow
from textmill.models.task import Task
from textmill.models.text_regression import rescale

if TYPE_CHECKING:
    import keras
    import tensorflow as tf

    from textmill.models.rows import Places


class DistilledLearner(Learner):
    """A `Learner` of which each row carries what a teacher says of it, and some have no label.

    Args:
        tokens: Rows with labels; those of the validation split pick the epoch.
        preset: The teacher's folder.
        task: What teacher and student learn.
        dropout: Share of activations to drop, 0 to 1.
        settings: How.
        lesson: What the student is, and how it learns from the teacher.
        unlabelled: Rows without labels; None: there are none.
        folder: Gets the teacher's logits, or has them from an attempt that was killed.

    Raises:
        UserError: No such student can be made of the teacher.
    """

    def __init__(
        self,
        tokens: Tokens,
        preset: Preset | Scratch,
        task: Task,
        dropout: float,
        settings: Settings,
        *,
        lesson: Lesson,
        unlabelled: Tokens | None,
        folder: Path,
    ) -> None:
        super().__init__(tokens, preset, task, dropout, settings)
        assert isinstance(preset, Preset)
        self.teacher, self.lesson, self._folder = Path(preset.name), lesson, folder
        self.known = np.ones(len(self.rows), np.float32)
        if unlabelled is not None:
            more = read_rows(unlabelled, "train")
            self.known = np.concatenate([self.known, np.zeros(len(more), np.float32)])
            if self.weights is not None or more.firsts is not None:
                given = self.known[self.known > 0] if self.weights is None else self.weights
                self.weights = np.concatenate([given, more.shares])
            self.rows = joined(self.rows, more)
        self.said = self._ask()

    def _ask(self) -> SoftLabels:
        """Returns the teacher's logits of all training rows."""
        import keras

        file, size = self._folder / soft_labels.FILE, len(self.info["labels"]) or 1
        if not soft_labels.is_whole(file, self.rows, size):
            teacher = self.task.load(self.teacher)
            quicken(teacher.backbone, first_token_only=self.rows.kind != "spans")
            found = logits_of_batches(teacher, self.rows, soft_labels.order(self.rows))
            soft_labels.write(file, self.rows, size, found)
            # Keras counts up the names of layers: one that goes on after a kill, and finds the
            # file, must save the same.
            keras.utils.clear_session()
        return SoftLabels(file, self.rows, size)

    def dataset(
        self, batches: list[Places], inputs: Collection[str], pieces: int, widths: Sequence[int]
    ) -> tf.data.Dataset:
        """Returns the batches, with `Taught` in place of the labels."""
        import tensorflow as tf

        parts, size = cut_into(batches, pieces), len(self.info["labels"]) or 1
        shape = [None, None, size] if self.rows.kind == "spans" else [None, size]
        mean, deviation = self.scale

        def arrays(i: int) -> tuple[Any, ...]:
            said = (self.said(parts[i]) - np.float32(mean)) / np.float32(deviation)
            return self.known[parts[i]], said

        def tensors(i: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            known, said = tf.numpy_function(arrays, [i], [tf.float32, tf.float32])
            return tf.ensure_shape(known, [None]), tf.ensure_shape(said, shape)

        def taught(rows: Any, more: Any) -> Any:
            (given, labels, weights), (known, said) = rows, more
            if self.rows.kind == "spans":  # as wide as the rows are padded to
                missing = tf.shape(labels)[1] - tf.shape(said)[1]
                said = tf.pad(said, [[0, 0], [0, missing], [0, 0]])
            return given, Taught(labels, known, said), weights

        rows = super().dataset(batches, inputs, pieces, widths)
        more = tf.data.Dataset.range(len(parts)).map(
            tensors, num_parallel_calls=2, deterministic=True
        )
        return tf.data.Dataset.zip((rows, more)).map(taught).prefetch(8)

    def model(self, precision: str, *, adapted: bool = True) -> keras.Model:
        """Returns the student as it begins: some of the teacher's layers, and its head."""
        teacher, dropout = self.task.load(self.teacher), self.dropout
        layers = self.lesson.layers
        backbone = shallow(teacher.backbone, layers, dropout=dropout, precision=precision)
        model = self.headed(backbone, adapted=adapted)
        copy_head(teacher, model)
        if self.rows.kind == "number":  # it learns standardized numbers
            mean, deviation = self.scale
            rescale(model, -mean / deviation, 1 / deviation)
        return model

    def loss(self) -> Any:
        """Returns the loss of `Taught` and logits."""
        return self.lesson.loss(self.rows.kind, super().loss())

    def right(self, labels: Any, logits: Any) -> Any:
        """Returns how much of each row is decided as the teacher does: not all have a label."""
        return agreed(self.task, labels, logits)

    def figures(self, loss: float, right: float) -> dict[str, float]:
        """Returns the figures of the training rows of an epoch."""
        return {"loss": loss} if math.isnan(right) else {"loss": loss, "agreement": right}
