"""What the training of a masked language model is made of."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from textmill.artifact import Tokens
from textmill.errors import UserError
from textmill.models import devices, masked_lm
from textmill.models.adaptation import restrict, step_sizes
from textmill.models.checkpoint import load_backbone
from textmill.models.choices import choices_for
from textmill.models.masked_batches import Drawing, Masking, masked_dataset
from textmill.models.masking import vocabulary_of
from textmill.models.packing import Packing, pack
from textmill.models.preset import Preset, Scratch
from textmill.models.rows import read_rows
from textmill.models.schedule import adamw
from textmill.models.settings import Settings
from textmill.models.step import Step
from textmill.models.tokenizer import read_tokenizer

if TYPE_CHECKING:
    import keras

    from textmill.models.rows import Places

XLA_MULTIPLE = 8  # of places to guess in a row
FIXED = 0  # seed and epoch of the validation's masks, the same for every epoch and every model


class MaskedLearner:
    """Makes the parts of a masked language model's training; holds the documents of both splits.

    Args:
        tokens: Documents, as `tokenize_documents` writes them.
        preset: The weights to begin with.
        masking: How tokens to guess are drawn.
        dropout: Share of activations to drop, 0 to 1.
        settings: How.

    Raises:
        UserError: There is nothing to learn from, or the settings say something about labels.
    """

    def __init__(
        self,
        tokens: Tokens,
        preset: Preset | Scratch,
        masking: Masking,
        dropout: float,
        settings: Settings,
    ) -> None:
        if settings.class_weights is not None:
            raise UserError(
                "train.class_weights are for rows with labels",
                expected="a task with one label a text",
                received=f"masked language modelling, and class_weights = {settings.class_weights}",
                fix="remove them from [train]",
            )
        self.preset, self.masking, self.dropout, self.settings = preset, masking, dropout, settings
        self.name = preset.name if isinstance(preset, Preset) else "the preset"
        tokenizer = read_tokenizer(tokens.tokenizer_file)
        self.words = tokenizer.get_vocab_size()
        self.vocabulary = vocabulary_of(tokenizer, self.name)
        self.width = tokens.info()["max_length"] - 1  # [CLS] stands before what is packed
        self.documents = read_rows(tokens, "train")
        self._of_validation = read_rows(tokens, "validation")
        self.held_out = pack(self._of_validation.lengths, self.width, seed=FIXED, epoch=FIXED)
        self._packed: tuple[int, Packing] = (-1, self.held_out)
        if not len(self._packing(0)):
            raise UserError(
                "no text to learn from",
                expected="documents of words in the training split",
                received=f"{len(self.documents)} documents with no token",
                fix="give more text",
            )
        self.strategy = devices.distribution(settings.strategy)
        self._scoring: tuple[Step | None, Any] = (None, None)

    def _packing(self, epoch: int) -> Packing:
        if self._packed[0] != epoch:
            seed = self.settings.seed
            made = pack(self.documents.lengths, self.width, seed=seed, epoch=epoch)
            self._packed = (epoch, made)
        return self._packed[1]

    def _size(self) -> int:
        """Returns the rows of a batch."""
        tokens = self.settings.tokens_per_batch
        return self.settings.batch_size if tokens is None else max(1, tokens // (self.width + 1))

    def steps(self, epoch: int) -> int:
        """Returns how many steps an epoch has, or nearly so: each packs a little otherwise."""
        return math.ceil(len(self._packing(0)) / self._size())

    def batches(self, epoch: int) -> list[Places]:
        """Returns the row numbers of each of an epoch's batches."""
        return _batches(len(self._packing(epoch)), self._size())

    def data(
        self, step: Step, epoch: int, batches: list[Places], choices: dict[str, Any]
    ) -> Iterator[Any]:
        """Returns the batches for the devices, in as many pieces as memory asks for."""
        draw = Drawing(self.masking, self.vocabulary, self.settings.seed, epoch)
        rows = partial(draw.rows, self.documents, self._packing(epoch))
        inputs, pieces = step.model.input, choices["accumulate"]
        multiple = XLA_MULTIPLE if choices["xla"] else 1
        data = masked_dataset(rows, batches, inputs, pieces=pieces, multiple=multiple)
        return iter(self.strategy.experimental_distribute_dataset(data))

    def build(self, precision: str, xla: bool) -> Step:
        """Returns a step of a new model, the same one each time."""
        import keras

        settings = self.settings
        keras.utils.set_random_seed(settings.seed)
        with self.strategy.scope():
            model = self._model(precision)
            sizes = step_sizes(model, settings.layer_decay) if settings.layer_decay < 1 else None
            optimizer = adamw(model, weight_decay=settings.weight_decay, step_sizes=sizes)
        loss = partial(masked_lm.loss, smoothing=settings.label_smoothing)
        clip = settings.clip_norm
        return Step(model, optimizer, loss, masked_lm.right, self.strategy, clip_norm=clip, xla=xla)

    def plain(self) -> keras.Model:
        """Returns a new model without LoRA that computes in float32."""
        return self._model("float32", adapted=False)

    def _model(self, precision: str, *, adapted: bool = True) -> keras.Model:
        backbone = load_backbone(
            self.preset, vocabulary_size=self.words, dropout=self.dropout, precision=precision
        )
        if adapted:
            settings = self.settings
            restrict(backbone, frozen=settings.freeze, lora_rank=settings.lora_rank)
        model = masked_lm.build(backbone, self.name)
        masked_lm.load_head(model, self.preset)
        return model

    def choices(self) -> dict[str, Any]:
        """Returns what this machine is to train with, and says why."""
        some = self.batches(0)[0]
        return choices_for(self, self.settings, some)

    def figures(self, loss: float, right: float) -> dict[str, float]:
        """Returns the figures of the training rows of an epoch."""
        return {"loss": loss, "perplexity": _perplexity(loss), "masked_accuracy": right}

    def validate(self, step: Step) -> dict[str, float]:
        """Returns masked_accuracy, loss (nats a guess) and perplexity on the validation split."""
        draw = Drawing(self.masking, self.vocabulary, FIXED, FIXED)
        rows = partial(draw.rows, self._of_validation, self.held_out)
        batches = _batches(len(self.held_out), self._size())
        data = masked_dataset(rows, batches, step.model.input)
        spread = iter(self.strategy.experimental_distribute_dataset(data))
        if self._scoring[0] is not step:
            self._scoring = (step, self._score_of(step))
        score, local = self._scoring[1], self.strategy.experimental_local_results
        sums = np.zeros(3)
        for _ in batches:
            sums += [sum(float(each) for each in local(value)) for value in score(spread)]
        loss, right, count = sums
        return {
            "masked_accuracy": right / count,
            "loss": loss / count,
            "perplexity": _perplexity(loss / count),
        }

    def _score_of(self, step: Step) -> Any:
        """Returns a function from data to the sums of losses and of right guesses, and a count."""
        import tensorflow as tf

        def sums(inputs: Any, labels: Any, weights: Any) -> Any:
            logits = tf.cast(step.model(inputs, training=False), tf.float32)
            guesses = tf.reduce_sum(tf.cast(labels >= 0, tf.float32), 1)
            figures = (masked_lm.loss(labels, logits), masked_lm.right(labels, logits))
            return *(tf.reduce_sum(each * guesses) for each in figures), tf.reduce_sum(guesses)

        return tf.function(lambda data: self.strategy.run(sums, args=next(data)))

    def finish(self, model: keras.Model) -> None:
        """Leaves a trained model as it is."""

    def padding(self, epoch: int, batches: list[Places]) -> float:
        """Returns the share of positions of some batches that hold no token, 0 to 1."""
        packing = self._packing(epoch)
        rows = packing.rows[np.concatenate(batches)]
        held = np.concatenate([[0], np.cumsum(packing.pieces[:, 2])])
        tokens = int((held[rows[:, 1]] - held[rows[:, 0]]).sum()) + len(rows)
        return 1 - tokens / (len(rows) * (self.width + 1))

    def places(self, epoch: int, row: int) -> Places:
        """Returns the documents in a row: places in the training split."""
        packing = self._packing(epoch)
        first, end = packing.rows[row]
        return self.documents.places[np.unique(packing.pieces[first:end, 0])]


def _batches(rows: int, size: int) -> list[Places]:
    return [np.arange(i, min(i + size, rows)) for i in range(0, rows, size)]


def _perplexity(loss: float) -> float:
    return math.exp(min(loss, 700.0))  # beyond it there is no number
