"""Words to token ids where most words are one token: what WordPiece and BPE have in common."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import tensorflow as tf


def pieces_of(
    words: tf.RaggedTensor, whole: tf.Tensor, parted: Callable[[tf.Tensor], tf.RaggedTensor]
) -> tf.RaggedTensor:
    """Returns the token ids of texts: of a word that is a token its own, of others their pieces'.

    Where every word is a token nothing else is computed, and a word that is none is parted once,
    however often it is there.

    Args:
        words: string [batch, (words)].
        whole: int32 [all words], the id of each; -1 where it is no token.
        parted: From distinct words that are none, string [words], to the ids of their pieces, int32
            [words, (pieces)].

    Returns:
        int32 [batch, (tokens)].
    """
    import tensorflow as tf

    def joined() -> tuple[tf.Tensor, tf.Tensor]:
        todo = tf.where(whole < 0)
        distinct, place = tf.unique(tf.gather_nd(words.flat_values, todo))
        made = parted(distinct)
        # Of a word, one id of those that are known, or some of those that are behind them. No
        # matrix of words and pieces: one word may have a hundred thousand.
        ids = tf.concat([whole, made.flat_values], 0)
        count = tf.size(whole, out_type=tf.int64)
        begins = tf.tensor_scatter_nd_update(
            tf.range(count), todo, count + tf.gather(made.row_starts(), place)
        )
        sizes = tf.tensor_scatter_nd_update(
            tf.ones([count], tf.int64), todo, tf.gather(made.row_lengths(), place)
        )
        ends, order = tf.raw_ops.RaggedRange(
            starts=begins, limits=begins + sizes, deltas=tf.constant(1, tf.int64)
        )
        return tf.gather(ids, order), tf.gather(ends, words.row_splits)

    ids, splits = tf.cond(tf.reduce_all(whole >= 0), lambda: (whole, words.row_splits), joined)
    return tf.RaggedTensor.from_row_splits(ids, splits, validate=False)
