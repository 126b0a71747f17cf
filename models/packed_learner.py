"""What the training of any language model on packed documents is made of."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from textmill.artifact import Tokens
from textmill.errors import UserError
from textmill.models import devices
from textmill.models.adaptation import step_sizes
from textmill.models.choices import choices_for
from textmill.models.packing import Packing, alone, pack
from textmill.models.preset import Preset, Scratch
from textmill.models.rows import Rows, read_rows
from textmill.models.schedule import adamw
from textmill.models.settings import Settings
from textmill.models.step import Step

if TYPE_CHECKING:
    import keras
    import numpy.typing as npt
    import tensorflow as tf

    from textmill.models.rows import Places

FIXED = 0  # seed and epoch of what validates, the same for every epoch and every model


class PackedLearner(ABC):
    """Makes the parts of a training on packed documents; holds those of both splits.

    `MaskedLearner` and `CausalLearner` say what a row's inputs are, and what is learned of them.

    Args:
        tokens: Documents.
        preset: The weights to begin with.
        dropout: Share of activations to drop, 0 to 1.
        settings: How.
        learned: What is learned, in words.
        row_length: Tokens of a row.
        before: Of these, tokens before what is packed.
        unread: Tokens at the end of each document that are not packed.
        shared: Whether documents share rows.

    Raises:
        UserError: There is nothing to learn from, or the settings say something about labels.
    """

    def __init__(
        self,
        tokens: Tokens,
        preset: Preset | Scratch,
        dropout: float,
        settings: Settings,
        *,
        learned: str,
        row_length: int,
        before: int = 0,
        unread: int = 0,
        shared: bool = True,
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
        self.row_length, self.width = row_length, row_length - before
        self._unread, self._shared = unread, shared
        self.documents = read_rows(tokens, "train")
        self.held_out_documents = read_rows(tokens, "validation")
        self.held_out = self._packed_as(self.held_out_documents, FIXED, FIXED)
        self._packed: tuple[int, Packing] = (-1, self.held_out)
        if not len(self.packing(0)):
            raise UserError(
                "no text to learn from",
                expected="documents of words in the training split",
                received=f"{len(self.documents)} documents with no token",
                fix="give more text",
            )
        self.strategy = devices.distribution(settings.strategy)
        self._scoring: tuple[Step | None, Any] = (None, None)

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

    def _packed_as(self, documents: Rows, seed: int, epoch: int) -> Packing:
        lengths = np.maximum(documents.lengths - self._unread, 0)
        if not self._shared:
            return alone(lengths, self.width, seed=seed, epoch=epoch)
        return pack(lengths, self.width, seed=seed, epoch=epoch)

    def packing(self, epoch: int) -> Packing:
        """Returns where every token of an epoch goes."""
        if self._packed[0] != epoch:
            made = self._packed_as(self.documents, self.settings.seed, epoch)
            self._packed = (epoch, made)
        return self._packed[1]

    @property
    def size(self) -> int:
        """Returns the rows of a batch."""
        tokens = self.settings.tokens_per_batch
        return self.settings.batch_size if tokens is None else max(1, tokens // self.row_length)

    def steps(self, epoch: int) -> int:
        """Returns how many steps an epoch has, or nearly so: each packs a little otherwise."""
        return math.ceil(len(self.packing(0)) / self.size)

    def batches(self, epoch: int) -> list[Places]:
        """Returns the row numbers of each of an epoch's batches."""
        return _batches(len(self.packing(epoch)), self.size)

    def build(self, precision: str, xla: bool) -> Step:
        """Returns a step of a new model, the same one each time."""
        import keras

        settings = self.settings
        keras.utils.set_random_seed(settings.seed)
        with self.strategy.scope():
            model = self.model(precision)
            sizes = step_sizes(model, settings.layer_decay) if settings.layer_decay < 1 else None
            optimizer = adamw(model, weight_decay=settings.weight_decay, step_sizes=sizes)
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
        batches = _batches(len(self.held_out), self.size)
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

    def padding(self, epoch: int, batches: list[Places]) -> float:
        """Returns the share of positions of some batches that hold no token, 0 to 1."""
        packing = self.packing(epoch)
        rows = packing.rows[np.concatenate(batches)]
        held = np.concatenate([[0], np.cumsum(packing.pieces[:, 2])])
        tokens = int((held[rows[:, 1]] - held[rows[:, 0]]).sum())
        tokens += (self.row_length - self.width) * len(rows)
        return 1 - tokens / (len(rows) * self.row_length)

    def places(self, epoch: int, row: int) -> Places:
        """Returns the documents in a row: places in the training split."""
        packing = self.packing(epoch)
        first, end = packing.rows[row]
        return self.documents.places[np.unique(packing.pieces[first:end, 0])]


def _batches(rows: int, size: int) -> list[Places]:
    return [np.arange(i, min(i + size, rows)) for i in range(0, rows, size)]


def perplexity(loss: float) -> float:
    """Returns e to the loss in nats; finite, whatever the loss."""
    return math.exp(min(loss, 700.0))
