"""What the training of a causal language model is made of."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from textmill.artifact import Tokens
from textmill.models import causal_lm
from textmill.models.adaptation import restrict
from textmill.models.causal_batches import causal_dataset, causal_rows, count_targets
from textmill.models.decoders import load_decoder, packs
from textmill.models.next_token_figures import NextTokenFigures
from textmill.models.packed_learner import PackedLearner
from textmill.models.preset import Preset, Scratch
from textmill.models.settings import Settings
from textmill.models.step import Step
from textmill.models.target_losses import most_logits
from textmill.models.tokenizer import read_tokenizer

if TYPE_CHECKING:
    import keras
    import tensorflow as tf

    from textmill.models.rows import Places


@dataclass(frozen=True)
class NextToken:
    """What is learned: of every token, or of every token of a response, the one before it."""

    NAME = "text_generation"


class CausalLearner(NextTokenFigures, PackedLearner):
    """Makes the parts of a causal language model's training; holds the documents of both splits.

    Args:
        tokens: Documents, as `tokenize_generation` writes them.
        preset: The weights to begin with.
        task: What is learned.
        dropout: Share of activations to drop, 0 to 1.
        settings: How.

    Raises:
        UserError: There is nothing to learn from, or the settings say something about labels.
    """

    def __init__(
        self,
        tokens: Tokens,
        preset: Preset | Scratch,
        task: NextToken,
        dropout: float,
        settings: Settings,
    ) -> None:
        super().__init__(
            tokens,
            preset,
            dropout,
            settings,
            learned="text generation",
            row_length=tokens.info()["max_length"],
            unread=1,  # nothing comes after a document's last token
            shared=packs(preset),
            shifted=True,
        )
        self.words = read_tokenizer(tokens.tokenizer_file).get_vocab_size()
        self.sizes = tokens.info()["bytes"]
        self.targets = {
            "train": count_targets(self.documents),
            "validation": count_targets(self.held_out_documents),
        }

    def data(
        self, step: Step, epoch: int, batches: list[Places], choices: dict[str, Any]
    ) -> Iterator[Any]:
        """Returns the batches for the devices, in as many pieces as memory asks for."""
        rows = partial(causal_rows, self.documents, self.packing(epoch))
        share = len(self.packing(epoch)) / self.targets["train"]
        data = causal_dataset(rows, batches, share=share, pieces=choices["accumulate"])
        return iter(self.strategy.experimental_distribute_dataset(data))

    def held_out_data(self, step: Step, batches: list[Places]) -> tf.data.Dataset:
        """Returns the validation split."""
        rows = partial(causal_rows, self.held_out_documents, self.held_out)
        return causal_dataset(rows, batches, share=1.0)

    def model(self, precision: str, *, adapted: bool = True) -> keras.Model:
        """Returns a new model; of an adapted one the losses are those that a training makes small.

        What validates and what comes of it has no smoothing.
        """
        backbone = load_decoder(
            self.preset, vocabulary_size=self.words, dropout=self.dropout, precision=precision
        )
        settings = self.settings
        if adapted:
            restrict(backbone, frozen=settings.freeze, lora_rank=settings.lora_rank)
        logits = self.size * self.row_length * backbone.vocabulary_size
        return causal_lm.build(
            backbone, smoothing=settings.label_smoothing, most_logits=most_logits(logits)
        )
