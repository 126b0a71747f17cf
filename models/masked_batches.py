"""Batches of packed documents in which some tokens are to be guessed."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from annotated_types import Interval
from pydantic.dataclasses import dataclass

from textmill.config import STRICT
from textmill.models.masking import RATE, Masked, Vocabulary, masked
from textmill.models.packing import Packing, filled

if TYPE_CHECKING:
    import tensorflow as tf

    from textmill.models.rows import Ints, Places, Rows


@dataclass(frozen=True, config=STRICT)
class Masking:
    """`[masking]`: which tokens a language model has to guess.

    Attributes:
        rate: Share of the tokens.
        whole_word: Whether all pieces of a word are drawn together.
    """

    rate: Annotated[float, Interval(gt=0, lt=1)] = RATE
    whole_word: bool = False


@dataclasses.dataclass(frozen=True)
class Drawing:
    """What decides an epoch's masks, and what is known of the tokens.

    Attributes:
        masking: How tokens are drawn.
        vocabulary: Of the tokenizer.
        seed: The run's.
        epoch: From 0.
    """

    masking: Masking
    vocabulary: Vocabulary
    seed: int
    epoch: int

    def rows(self, documents: Rows, packing: Packing, batch: Places) -> tuple[Masked, Ints]:
        """Returns rows of a packing, [CLS] put before each, and where they hold tokens.

        Args:
            documents: Their tokens.
            packing: Of rows of one token less.
            batch: Numbers of rows, int64 [rows].

        Returns:
            The rows with tokens to guess; and 1 where there is a token, int32 [rows, width].
        """
        found = filled(documents, packing, batch)
        held = np.count_nonzero(found["document"], axis=1) + 1
        first = np.full((len(batch), 1), self.vocabulary.first, np.int32)
        made = masked(
            np.concatenate([first, found["token_ids"]], axis=1),
            held,
            self.vocabulary,
            seed=self.seed,
            epoch=self.epoch,
            rows=batch,
            whole_word=self.masking.whole_word,
            rate=self.masking.rate,
        )
        mask = np.arange(packing.length + 1) < held[:, None]
        return made, mask.astype(np.int32)


def masked_dataset(
    draw: Callable[[Places], tuple[Masked, Ints]],
    batches: Sequence[Places],
    inputs: Collection[str],
    *,
    pieces: int = 1,
    multiple: int = 1,
) -> tf.data.Dataset:
    """Returns the batches as tensors, in their order, made ahead of whoever takes them.

    Args:
        draw: From numbers of rows to what `Drawing.rows` returns.
        batches: Numbers of rows, int64 [batch] each; none is empty.
        inputs: The model's inputs: of token_ids, padding_mask, segment_ids and mask_positions those
            that it has.
        pieces: Cut each batch into so many nearly equal pieces, as `batches.dataset` does.
        multiple: Give rows a multiple of so many places to guess: XLA compiles a program for each
            number of them.

    Returns:
        Inputs by name, int32 [piece, width], positions int32 [piece, most]; labels, int32 [piece,
        most], -1 where there is nothing to guess; and weights, float32 [piece]: what a row counts,
        as a share of its whole batch.
    """
    import tensorflow as tf

    names = list(inputs)
    cut = [part for b in batches for part in np.array_split(b, min(pieces, len(b)))]
    sizes = [len(b) for b in batches for _ in range(min(pieces, len(b)))]

    def arrays(i: int) -> tuple[Any, ...]:
        made, mask = draw(cut[i])
        more = ((0, 0), (0, -made.labels.shape[1] % multiple))
        every = {
            "token_ids": made.token_ids,
            "padding_mask": mask,
            "segment_ids": np.zeros_like(mask),
            "mask_positions": np.pad(made.positions, more),
        }
        labels = np.pad(made.labels, more, constant_values=-1)
        weights = np.full(len(cut[i]), 1 / sizes[i], np.float32)
        return *(every[name] for name in names), labels, weights

    def tensors(i: tf.Tensor) -> tuple[dict[str, tf.Tensor], tf.Tensor, tf.Tensor]:
        types = [tf.int32] * (len(names) + 1) + [tf.float32]
        *found, labels, weights = tf.numpy_function(arrays, [i], types)
        found = [tf.ensure_shape(each, [None, None]) for each in found]
        labels, weights = tf.ensure_shape(labels, [None, None]), tf.ensure_shape(weights, [None])
        return dict(zip(names, found, strict=True)), labels, weights

    made = tf.data.Dataset.range(len(cut)).map(tensors, num_parallel_calls=2, deterministic=True)
    return made.prefetch(8)
