"""What the training of an encoder-decoder is made of."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from textmill.artifact import Tokens
from textmill.errors import UserError
from textmill.models import seq2seq
from textmill.models.adaptation import restrict
from textmill.models.causal_batches import causal_dataset
from textmill.models.encoder_decoders import load_encoder_decoder
from textmill.models.language_learner import FIXED, LanguageLearner
from textmill.models.next_token_figures import NextTokenFigures
from textmill.models.pair_batches import bucketed, pair_rows, source_lengths
from textmill.models.preset import Preset, Scratch
from textmill.models.rows import Rows, read_rows
from textmill.models.settings import Settings
from textmill.models.step import Step
from textmill.models.target_losses import most_logits
from textmill.models.tokenizer import read_tokenizer

if TYPE_CHECKING:
    import keras
    import tensorflow as tf

    from textmill.models.rows import Places


@dataclass(frozen=True)
class TargetTokens:
    """What is learned: every token of a target, from its source and the tokens before it."""

    NAME = "seq2seq"


class PairLearner(NextTokenFigures, LanguageLearner):
    """Makes the parts of an encoder-decoder's training; holds the pairs of both splits.

    Args:
        tokens: Pairs, as `tokenize_seq2seq` writes them.
        preset: The weights to begin with.
        task: What is learned.
        dropout: Share of activations to drop, 0 to 1.
        settings: How.

    Raises:
        UserError: There is nothing to learn from, or the settings say something about labels.
    """

    held_out: Rows

    def __init__(
        self,
        tokens: Tokens,
        preset: Preset | Scratch,
        task: TargetTokens,
        dropout: float,
        settings: Settings,
    ) -> None:
        super().__init__(preset, dropout, settings, learned="sequence to sequence")
        self.rows, self.held_out = read_rows(tokens, "train"), read_rows(tokens, "validation")
        if not len(self.rows):
            raise UserError(
                "no pairs to learn from",
                expected="pairs of texts in the training split",
                received="none",
                fix="give more rows",
            )
        self.sources, self.held_out_sources = map(source_lengths, (self.rows, self.held_out))
        self.words = read_tokenizer(tokens.tokenizer_file).get_vocab_size()
        self.sizes = tokens.info()["bytes"]
        self.targets = {
            "train": count_targets(self.rows),
            "validation": count_targets(self.held_out),
        }

    def batches(self, epoch: int) -> list[Places]:
        """Returns the numbers of the pairs of each of an epoch's batches."""
        return self._bucketed(self.rows, self.sources, self.settings.seed, epoch)

    def held_out_batches(self) -> list[Places]:
        """Returns the same for the validation split."""
        return self._bucketed(self.held_out, self.held_out_sources, FIXED, FIXED)

    def _bucketed(self, rows: Rows, sources: Places, seed: int, epoch: int) -> list[Places]:
        size, tokens = self.settings.batch_size, self.settings.tokens_per_batch
        return bucketed(
            sources, rows.lengths - sources, size, seed=seed, epoch=epoch, tokens_per_batch=tokens
        )

    def steps(self, epoch: int) -> int:
        """Returns how many steps an epoch has."""
        return len(self.batches(epoch))

    def data(
        self, step: Step, epoch: int, batches: list[Places], choices: dict[str, Any]
    ) -> Iterator[Any]:
        """Returns the batches for the devices, in as many pieces as memory asks for."""
        share = len(self.rows) / self.targets["train"]
        data = pair_dataset(
            self.rows, self.sources, batches, share=share, pieces=choices["accumulate"]
        )
        return iter(self.strategy.experimental_distribute_dataset(data))

    def held_out_data(self, step: Step, batches: list[Places]) -> tf.data.Dataset:
        """Returns the validation split."""
        return pair_dataset(self.held_out, self.held_out_sources, batches)

    def model(self, precision: str, *, adapted: bool = True) -> keras.Model:
        """Returns a new model; of an adapted one the losses are those that a training makes small.

        What validates and what comes of it has no smoothing.
        """
        backbone = load_encoder_decoder(
            self.preset, vocabulary_size=self.words, dropout=self.dropout, precision=precision
        )
        settings = self.settings
        if adapted:
            restrict(backbone, frozen=settings.freeze, lora_rank=settings.lora_rank)
        most = max(int(b.size * self._longest(b)) for b in self.batches(0))
        return seq2seq.build(
            backbone,
            smoothing=settings.label_smoothing,
            most_logits=most_logits(most * backbone.vocabulary_size),
        )

    def _longest(self, batch: Places) -> int:
        """Returns the tokens of the longest target of a batch."""
        return int((self.rows.lengths - self.sources)[batch].max())

    def padding(self, epoch: int, batches: list[Places]) -> float:
        """Returns the share of positions of some batches that hold no token, 0 to 1."""
        targets = self.rows.lengths - self.sources - 1
        held = total = 0
        for batch in batches:
            for lengths in (self.sources[batch], targets[batch]):
                held += int(lengths.sum())
                total += int(lengths.max()) * len(batch)
        return 1 - held / total

    def places(self, epoch: int, row: int) -> Places:
        """Returns where a pair stands in the training split: [1]."""
        return self.rows.places[[row]]


def count_targets(rows: Rows) -> int:
    """Returns how many tokens are guessed of some pairs."""
    return int((rows.labels > 0).sum()) - len(rows)


def pair_dataset(
    rows: Rows, sources: Places, batches: list[Places], *, share: float = 1.0, pieces: int = 1
) -> tf.data.Dataset:
    """Returns batches of pairs as tensors; see `causal_batches.causal_dataset`."""
    draw = partial(pair_rows, rows, sources)
    return causal_dataset(draw, batches, share=share, pieces=pieces, names=seq2seq.INPUTS)
