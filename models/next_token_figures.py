"""What is told of a training that guesses tokens: loss, perplexity, bits per byte."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

from textmill.models.language_learner import perplexity
from textmill.models.target_losses import row_losses

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import tensorflow as tf


class NextTokenFigures:
    """The figures of a `LanguageLearner` whose model gives the loss of each target.

    Attributes:
        targets: Split -> tokens to be guessed.
        sizes: Split -> bytes of UTF-8 that they are.
    """

    targets: Mapping[str, int]
    sizes: Mapping[str, int]

    def loss(self, labels: tf.Tensor, outputs: tf.Tensor) -> tf.Tensor:
        """Returns the loss of each row, whose mean over an epoch is that of its targets."""
        return row_losses(labels, outputs)

    def right(self, labels: tf.Tensor, outputs: tf.Tensor) -> None:
        """Returns None: how often the likeliest token is the right one is not counted."""
        del labels, outputs  # AutoGraph wants a body

    def figures(self, loss: float, right: float) -> dict[str, float]:
        """Returns the figures of the training rows of an epoch."""
        return self._figures(loss, "train")

    def sums(self, labels: tf.Tensor, outputs: tf.Tensor) -> list[tf.Tensor]:
        """Returns the sum of losses."""
        import tensorflow as tf

        return [tf.reduce_sum(outputs)]

    def held_out_figures(self, sums: npt.NDArray[np.float64]) -> dict[str, float]:
        """Returns loss (nats a token), perplexity and bits_per_byte."""
        return self._figures(float(sums[0]) / self.targets["validation"], "validation")

    def _figures(self, loss: float, split: str) -> dict[str, float]:
        nats = loss * self.targets[split]
        return {
            "loss": loss,
            "perplexity": perplexity(loss),
            "bits_per_byte": nats / math.log(2) / self.sizes[split],
        }
