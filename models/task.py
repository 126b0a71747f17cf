"""What a task must say about itself, so that the steps can train and score it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from textmill.artifact import LabelKind

if TYPE_CHECKING:
    from pathlib import Path

    import keras
    import numpy as np
    import numpy.typing as npt
    import tensorflow as tf

    Array = npt.NDArray[Any]
    Floats = npt.NDArray[np.float32]
    Scored = Callable[[], tuple[Array, Floats]]


class Predictions(NamedTuple):
    """What a model says of rows, and how good that is.

    Attributes:
        figures: What `metrics.json` gets; "rows" is one, "loss" another.
        columns: What `predictions.parquet` gets beside row and text, each with a value a text:
            "label" and "predicted" among them.
        doubt: How wrong each prediction is, float [texts]; 0: not at all.
        predicted: Label ids [texts], for metrics of one's own; None where there are none.
        scores: float32 [texts, classes], likewise.
    """

    figures: dict[str, Any]
    columns: dict[str, list[Any]]
    doubt: Array
    predicted: Array | None = None
    scores: Floats | None = None


class Task(Protocol):
    """A task, such as text classification. A module with these functions is one.

    `textmill.models.text_classification` is the pattern to copy. Labels come as `Rows.labels` has
    them for the task's kind; those of spans, to `metrics`, as int32 [words, 2]: the number of the
    text, and the id of the tag; and to `predictions` as the examples have them, of each text a list
    of (start, end, name) in characters. Logits then are float32 [words, tags], of all words of the
    texts; see `textmill.models.scoring.of_texts` for those that a model does not read.
    """

    @property
    def NAME(self) -> str:  # noqa: N802 - a module's constant
        """The name in `textmill/task.json`."""

    @property
    def LABELS(self) -> LabelKind:  # noqa: N802
        """The kind of label that it learns."""

    def build(self, backbone: keras.Model, labels: list[str], *, dropout: float) -> keras.Model:
        """Returns a model from token ids to logits, with a new head on `backbone`."""

    def loss(self, labels: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
        """Returns what training makes small, for each row: float32 [rows]."""

    def right(self, labels: tf.Tensor, logits: tf.Tensor) -> tf.Tensor | None:
        """Returns how much of each row is predicted right, 0 to 1: float32 [rows]; or None."""

    def metrics(self, labels: Array, logits: Floats, names: list[str]) -> dict[str, float]:
        """Returns the figures of a validation; "loss" is one, and the first picks the epoch.

        The highest is the best, but the lowest of what is an error or a loss by its name; see
        `textmill.models.objective.direction_of`.
        """

    def settle(self, scored: Scored, names: list[str]) -> dict[str, Any]:
        """Returns what a validation of the trained model decides, for `task.json`.

        Args:
            scored: Gives labels and logits of the validation rows, if there are any; slow.
            names: The labels' names.
        """

    def decode(self, logits: Floats, about: Mapping[str, Any]) -> Floats:
        """Returns the scores that are served, float32 [rows, …]; `about` is `task.json`."""

    def predictions(
        self, labels: Any, logits: Floats, about: Mapping[str, Any], texts: list[str]
    ) -> Predictions:
        """Returns what logits say of `texts`, and how good that is."""

    def load(self, path: Path) -> keras.Model:
        """Returns the model of a Model artifact, without what turns text into token ids."""


def logits_of(
    model: keras.Model, token_ids: tf.Tensor, padding_mask: tf.Tensor, segment_ids: Any = None
) -> tf.Tensor:
    """Returns the logits of a batch; can be traced with open dimensions.

    Args:
        model: What a task built or loaded.
        token_ids: Integers [batch, tokens].
        padding_mask: Integers or booleans [batch, tokens], true where there is a token.
        segment_ids: Integers [batch, tokens], 1 in the second of two texts; None: all are one text.

    Returns:
        float32 [batch, …].
    """
    import tensorflow as tf

    token_ids = tf.cast(token_ids, tf.int32)
    segments = tf.zeros_like(token_ids) if segment_ids is None else segment_ids
    every = {
        "token_ids": token_ids,
        "padding_mask": tf.cast(padding_mask, tf.int32),
        "segment_ids": tf.cast(segments, tf.int32),
    }
    taken = {name: every[name] for name in model.input}
    return tf.cast(model(taken, training=False), tf.float32)
