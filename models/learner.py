"""What a training is made of: rows in batches, a model on its devices, a step, a validation."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Collection, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from textmill.artifact import Tokens
from textmill.errors import UserError
from textmill.models import devices
from textmill.models.adaptation import class_weights, restrict, smoothed
from textmill.models.batches import by_length, dataset, edges, padding, shuffled
from textmill.models.checkpoint import load_backbone, vocabulary
from textmill.models.choices import choices_for
from textmill.models.optimizers import optimizer_of
from textmill.models.preset import Preset, Scratch
from textmill.models.rows import read_rows
from textmill.models.scoring import of_texts
from textmill.models.settings import Settings
from textmill.models.step import Step
from textmill.models.task import Task
from textmill.models.text_regression import rescale

if TYPE_CHECKING:
    import keras
    import tensorflow as tf

    from textmill.models.adaptation import Floats, Loss
    from textmill.models.rows import Places

XLA_WIDTHS = 8  # lengths to pad to, where each is a program of its own


class Learner:
    """Makes the parts of a training; holds the rows of both splits.

    Args:
        tokens: Rows and labels.
        preset: The weights to begin with.
        task: What is learned.
        dropout: Share of activations to drop, 0 to 1.
        settings: How.
    """

    def __init__(
        self,
        tokens: Tokens,
        preset: Preset | Scratch,
        task: Task,
        dropout: float,
        settings: Settings,
    ) -> None:
        self.preset, self.task, self.dropout, self.settings = preset, task, dropout, settings
        self.info = tokens.info()
        self.words = len(vocabulary(tokens.tokenizer_file))
        self.rows, self.held_out = read_rows(tokens, "train"), read_rows(tokens, "validation")
        self.scale = (0.0, 1.0)
        if self.rows.kind == "number":
            self._standardize()
        self.weights = self._weights()
        self.strategy = devices.distribution(settings.strategy)

    def steps(self, epoch: int) -> int:
        """Returns how many steps an epoch has."""
        if self.settings.tokens_per_batch is None:
            return math.ceil(len(self.rows) / self.settings.batch_size)
        return len(self.batches(epoch))

    def batches(self, epoch: int) -> list[Places]:
        """Returns the row numbers of each of an epoch's batches."""
        size, budget = self.settings.batch_size, self.settings.tokens_per_batch
        seed = self.settings.seed
        return shuffled(self.rows.lengths, size, seed=seed, epoch=epoch, tokens_per_batch=budget)

    def data(
        self, step: Step, epoch: int, batches: list[Places], choices: dict[str, Any]
    ) -> Iterator[Any]:
        """Returns the batches for the devices, in as many pieces as memory asks for."""
        # XLA compiles a program for each width, so that there must be few.
        lengths = np.bincount(self.rows.lengths).tolist()
        widths = edges(lengths, XLA_WIDTHS) if choices["xla"] else ()
        data = self.dataset(batches, step.model.input, choices["accumulate"], widths)
        return iter(self.strategy.experimental_distribute_dataset(data))

    def dataset(
        self, batches: list[Places], inputs: Collection[str], pieces: int, widths: Sequence[int]
    ) -> tf.data.Dataset:
        """Returns the batches as `textmill.models.batches.dataset` makes them."""
        weights = self.weights
        return dataset(self.rows, batches, inputs, pieces=pieces, widths=widths, weights=weights)

    def build(self, precision: str, xla: bool) -> Step:
        """Returns a step of a new model, the same one each time."""
        import keras

        settings = self.settings
        keras.utils.set_random_seed(self.settings.seed)
        with self.strategy.scope():
            model = self.model(precision)
            optimizer = optimizer_of(model, settings)
        clip, loss, right = settings.clip_norm, self.loss(), self.right
        return Step(model, optimizer, loss, right, self.strategy, clip_norm=clip, xla=xla)

    def plain(self) -> keras.Model:
        """Returns a new model without LoRA that computes in float32."""
        return self.model("float32", adapted=False)

    def model(self, precision: str, *, adapted: bool = True) -> keras.Model:
        """Returns a new model.

        Args:
            precision: Keras's dtype policy.
            adapted: Whether the encoder has what the settings say of freezing and LoRA.
        """
        backbone = load_backbone(
            self.preset, vocabulary_size=self.words, dropout=self.dropout, precision=precision
        )
        return self.headed(backbone, adapted=adapted)

    def headed(self, backbone: keras.Model, *, adapted: bool) -> keras.Model:
        """Returns an encoder with a new head, which is the task's."""
        if adapted:
            settings = self.settings
            restrict(backbone, frozen=settings.freeze, lora_rank=settings.lora_rank)
        return self.task.build(backbone, self.info["labels"], dropout=self.dropout)

    def loss(self) -> Any:
        """Returns the loss of labels and logits."""
        share, names = self.settings.label_smoothing, self.info["labels"]
        loss: Loss = self.task.loss
        return smoothed(loss, share, self.rows.kind, len(names)) if share else loss

    def right(self, labels: Any, logits: Any) -> Any:
        """Returns how much of each row is right: float32 [rows]; or None."""
        return self.task.right(labels, logits)

    def choices(self) -> dict[str, Any]:
        """Returns what this machine is to train with, and says why."""
        middle = np.argsort(self.rows.lengths)[len(self.rows) // 2 :][: self.settings.batch_size]
        return choices_for(self, self.settings, middle)

    def figures(self, loss: float, right: float) -> dict[str, float]:
        """Returns the figures of the training rows of an epoch."""
        return {"loss": loss} if math.isnan(right) else {"loss": loss, "accuracy": right}

    def padding(self, epoch: int, batches: list[Places]) -> float:
        """Returns the share of positions of some batches that hold no token, 0 to 1."""
        return padding(self.rows.lengths, batches)

    def places(self, epoch: int, row: int) -> Places:
        """Returns where a row stands in the training split: [1]."""
        return self.rows.places[[row]]

    def validate(self, step: Step) -> dict[str, float]:
        """Returns the task's figures on the validation split."""
        batches = by_length(self.held_out.lengths, self.settings.batch_size)
        data = dataset(self.held_out, batches, step.model.input)
        spread = iter(self.strategy.experimental_distribute_dataset(data))
        labels, logits = of_texts(self.held_out, batches, (step.score(spread) for _ in batches))
        return self.task.metrics(labels, logits, self.info["labels"])

    def finish(self, model: keras.Model) -> None:
        """Gives a trained model what training kept apart: the unit of numbers."""
        if self.rows.kind == "number":
            rescale(model, *self.scale)

    def _standardize(self) -> None:
        """Makes numbers such that the training rows have a mean of 0 and a deviation of 1."""
        labels = self.rows.labels.astype(np.float64)
        mean, deviation = float(labels.mean()), float(labels.std()) or 1.0
        self.scale = (mean, deviation)
        self.rows, self.held_out = (
            dataclasses.replace(rows, labels=((rows.labels - mean) / deviation).astype(np.float32))
            for rows in (self.rows, self.held_out)
        )

    def _weights(self) -> Floats | None:
        """Returns what each training row counts, None where all count alike."""
        given, rows = self.settings.class_weights, self.rows
        if given is None:
            return rows.shares if rows.firsts is not None else None
        if rows.kind != "one":
            raise UserError(
                "train.class_weights are for rows with one label each",
                expected="a task with one label a text",
                received=f"{self.task.NAME}, and class_weights = {given!r}",
                fix="remove them from [train]",
            )
        counts: Floats = class_weights(given, self.info["labels"], rows.labels)[rows.labels]
        return counts if rows.firsts is None else counts * rows.shares
