"""What the training of a masked language model is made of."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

from textmill.artifact import Tokens
from textmill.models import masked_lm
from textmill.models.adaptation import restrict
from textmill.models.checkpoint import load_backbone
from textmill.models.language_learner import FIXED, perplexity
from textmill.models.masked_batches import Drawing, Masking, masked_dataset
from textmill.models.masking import vocabulary_of
from textmill.models.packed_learner import PackedLearner
from textmill.models.preset import Preset, Scratch
from textmill.models.settings import Settings
from textmill.models.step import Step
from textmill.models.tokenizer import read_tokenizer

if TYPE_CHECKING:
    import keras
    import numpy as np
    import numpy.typing as npt
    import tensorflow as tf

    from textmill.models.rows import Places

XLA_MULTIPLE = 8  # of places to guess in a row


class MaskedLearner(PackedLearner):
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
        super().__init__(
            tokens,
            preset,
            dropout,
            settings,
            learned="masked language modelling",
            row_length=tokens.info()["max_length"],
            before=1,  # [CLS] stands before what is packed
        )
        self.masking = masking
        tokenizer = read_tokenizer(tokens.tokenizer_file)
        self.words = tokenizer.get_vocab_size()
        self.vocabulary = vocabulary_of(tokenizer, self.name)

    def data(
        self, step: Step, epoch: int, batches: list[Places], choices: dict[str, Any]
    ) -> Iterator[Any]:
        """Returns the batches for the devices, in as many pieces as memory asks for."""
        draw = Drawing(self.masking, self.vocabulary, self.settings.seed, epoch)
        rows = partial(draw.rows, self.documents, self.packing(epoch))
        inputs, pieces = step.model.input, choices["accumulate"]
        multiple = XLA_MULTIPLE if choices["xla"] else 1
        data = masked_dataset(rows, batches, inputs, pieces=pieces, multiple=multiple)
        return iter(self.strategy.experimental_distribute_dataset(data))

    def held_out_data(self, step: Step, batches: list[Places]) -> tf.data.Dataset:
        """Returns the validation split, with the same masks each time."""
        draw = Drawing(self.masking, self.vocabulary, FIXED, FIXED)
        rows = partial(draw.rows, self.held_out_documents, self.held_out)
        return masked_dataset(rows, batches, step.model.input)

    def model(self, precision: str, *, adapted: bool = True) -> keras.Model:
        """Returns a new model, with the head of a checkpoint where it has one."""
        backbone = load_backbone(
            self.preset, vocabulary_size=self.words, dropout=self.dropout, precision=precision
        )
        if adapted:
            settings = self.settings
            restrict(backbone, frozen=settings.freeze, lora_rank=settings.lora_rank)
        model = masked_lm.build(backbone, self.name)
        masked_lm.load_head(model, self.preset)
        return model

    def loss(self, labels: tf.Tensor, outputs: tf.Tensor) -> tf.Tensor:
        """Returns the mean cross-entropy of each row's guesses, in nats: float32 [rows]."""
        return masked_lm.loss(labels, outputs, smoothing=self.settings.label_smoothing)

    def right(self, labels: tf.Tensor, outputs: tf.Tensor) -> tf.Tensor:
        """Returns the share of each row's guesses that are right: float32 [rows]."""
        return masked_lm.right(labels, outputs)

    def figures(self, loss: float, right: float) -> dict[str, float]:
        """Returns the figures of the training rows of an epoch."""
        return {"loss": loss, "perplexity": perplexity(loss), "masked_accuracy": right}

    def sums(self, labels: tf.Tensor, outputs: tf.Tensor) -> list[tf.Tensor]:
        """Returns the sums of losses and of right guesses, and how many guesses there are."""
        import tensorflow as tf

        guesses = tf.reduce_sum(tf.cast(labels >= 0, tf.float32), 1)
        figures = (masked_lm.loss(labels, outputs), masked_lm.right(labels, outputs))
        return [*(tf.reduce_sum(each * guesses) for each in figures), tf.reduce_sum(guesses)]

    def held_out_figures(self, sums: npt.NDArray[np.float64]) -> dict[str, float]:
        """Returns masked_accuracy, loss (nats a guess) and perplexity."""
        loss, right, count = sums.tolist()
        return {
            "masked_accuracy": right / count,
            "loss": loss / count,
            "perplexity": perplexity(loss / count),
        }
