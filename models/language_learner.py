"""What the training of any language model is made of, however its rows come about."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sized
from typing import TYPE_CHECKING, Any

import numpy as np

from textmill.errors import UserError
from textmill.models import devices
from textmill.models.choices import choices_for
from textmill.models.optimizers import optimizer_of
from textmill.models.preset import Preset, Scratch
from textmill.models.settings import Settings
from textmill.models.step import Step

if TYPE_CHECKING:
    import keras
    import numpy.typing as npt
    import tensorflow as tf

    from textmill.models.rows import Places

FIXED = 0  # seed and epoch of what validates, the same for every epoch and every model


class LanguageLearner(ABC):
    """Makes the parts of a training on tokens that are themselves what is learned.

    `PackedLearner` has documents that share rows, `PairLearner` pairs of texts.

    Args:
        preset: The weights to begin with.
        dropout: Share of activations to drop, 0 to 1.
        settings: How.
        learned: What is learned, in words.

    Raises:
        UserError: The settings say something about labels.
    """

    held_out: Sized

    def __init__(
        self, preset: Preset | Scratch, dropout: float, settings: Settings, *, learned: str
    ) -> None:
        if settings.class_weights is not None:
            raise UserError(
                "train.class_weights are for rows with labels",
                expected="a task with one label a text",
                received=f"{learned}, and class_weights = {settings.class_weights}",
                fix="remove them from [train]",
            )
        self.preset, self.dropout, self.settings = preset, dropout, settings
        self.name = preset.name if isinstance(preset, Preset) else "the preset"
        self.strategy = devices.distribution(settings.strategy)
        self._scoring: tuple[Step | None, Any] = (None, None)

    @abstractmethod
    def steps(self, epoch: int) -> int:
        """Returns how many steps an epoch has, or nearly so."""

    @abstractmethod
    def padding(self, epoch: int, batches: list[Places]) -> float:
        """Returns the share of positions of some batches that hold no token, 0 to 1."""

    @abstractmethod
    def places(self, epoch: int, row: int) -> Places:
        """Returns what a row is made of: places in the training split."""

    @abstractmethod
    def batches(self, epoch: int) -> list[Places]:
        """Returns the row numbers of each of an epoch's batches."""

    @abstractmethod
    def held_out_batches(self) -> list[Places]:
        """Returns the row numbers of each of the validation split's batches."""

    @abstractmethod
    def data(
        self, step: Step, epoch: int, batches: list[Places], choices: dict[str, Any]
    ) -> Iterator[Any]:
        """Returns the batches for the devices, in as many pieces as memory asks for."""

    @abstractmethod
    def model(self, precision: str, *, adapted: bool = True) -> keras.Model:
        """Returns a new model.

        Args:
            precision: Keras's dtype policy.
            adapted: Whether it has what the settings say of freezing and LoRA.
        """

    @abstractmethod
    def loss(self, labels: tf.Tensor, outputs: tf.Tensor) -> tf.Tensor:
        """Returns the loss of each row, float32 [rows]."""

    @abstractmethod
    def right(self, labels: tf.Tensor, outputs: tf.Tensor) -> tf.Tensor | None:
        """Returns how much of each row is right, float32 [rows]; or None."""

    @abstractmethod
    def figures(self, loss: float, right: float) -> dict[str, float]:
        """Returns the figures of the training rows of an epoch."""

    @abstractmethod
    def held_out_data(self, step: Step, batches: list[Places]) -> tf.data.Dataset:
        """Returns the validation split."""

    @abstractmethod
    def sums(self, labels: tf.Tensor, outputs: tf.Tensor) -> list[tf.Tensor]:
        """Returns what is added up over the validation split, float32 [] each."""

    @abstractmethod
    def held_out_figures(self, sums: npt.NDArray[np.float64]) -> dict[str, float]:
        """Returns the figures of the validation split; the first picks the epoch."""

    def build(self, precision: str, xla: bool) -> Step:
        """Returns a step of a new model, the same one each time."""
        import keras

        settings = self.settings
        keras.utils.set_random_seed(settings.seed)
        with self.strategy.scope():
            model = self.model(precision)
            optimizer = optimizer_of(model, settings)
        clip = settings.clip_norm
        return Step(model, optimizer, self.loss, self.right, self.strategy, clip_norm=clip, xla=xla)

    def plain(self) -> keras.Model:
        """Returns a new model without LoRA that computes in float32."""
        return self.model("float32", adapted=False)

    def choices(self) -> dict[str, Any]:
        """Returns what this machine is to train with, and says why."""
        return choices_for(self, self.settings, self.batches(0)[0])

    def validate(self, step: Step) -> dict[str, float]:
        """Returns the figures of the validation split."""
        batches = self.held_out_batches()
        data = self.held_out_data(step, batches)
        spread = iter(self.strategy.experimental_distribute_dataset(data))
        if self._scoring[0] is not step:
            self._scoring = (step, self._score_of(step))
        score, local = self._scoring[1], self.strategy.experimental_local_results
        found = [[sum(map(float, local(v))) for v in score(spread)] for _ in batches]
        return self.held_out_figures(np.sum(found, axis=0))

    def _score_of(self, step: Step) -> Any:
        """Returns a function from data to the sums of the next batch."""
        import tensorflow as tf

        def sums(inputs: Any, labels: Any, weights: Any) -> Any:
            return self.sums(labels, tf.cast(step.model(inputs, training=False), tf.float32))

        run = self.strategy.run
        # It takes the data itself, whose shapes are open there, as in `Step`.
        return tf.function(lambda data: run(sums, args=next(data)))

    def finish(self, model: keras.Model) -> None:  # noqa: B027 - not every one has to do something
        """Leaves a trained model as it is."""


def perplexity(loss: float) -> float:
    """Returns e to the loss in nats; finite, whatever the loss."""
    return math.exp(min(loss, 700.0))
