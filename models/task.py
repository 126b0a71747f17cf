"""What a task must say about itself, so that the steps can train and score it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from pathlib import Path

    import keras
    import numpy as np
    import numpy.typing as npt
    import tensorflow as tf


class Task(Protocol):
    """A task, such as text classification. A module with these functions is one.

    `textmill.models.text_classification` is the pattern to copy.
    """

    @property
    def NAME(self) -> str:  # noqa: N802 - a module's constant
        """The name in `textmill/task.json`."""

    def build(self, backbone: keras.Model, labels: list[str], *, dropout: float) -> keras.Model:
        """Returns a model from token ids to logits, with a new head on `backbone`."""

    def loss(self, labels: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
        """Returns what training makes small, for each row: float32 [rows]."""

    def metrics(
        self,
        labels: npt.NDArray[np.int32],
        logits: npt.NDArray[np.float32],
        names: list[str],
    ) -> dict[str, float]:
        """Returns the figures of a validation; "loss" is one, and the first picks the epoch."""

    def decode(
        self, logits: npt.NDArray[np.float32]
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
        """Returns predicted label ids [rows] and scores [rows, classes]."""

    def load(self, path: Path) -> keras.Model:
        """Returns the model of a Model artifact, without what turns text into token ids."""

    def logits(
        self, model: keras.Model, token_ids: tf.Tensor, padding_mask: tf.Tensor
    ) -> tf.Tensor:
        """Returns float32 logits [batch, classes]; can be traced with open dimensions."""
