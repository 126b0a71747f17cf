"""How much of a prompt is read, and how much may come behind it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import tensorflow as tf


class Room(NamedTuple):
    """Prompts as far as they are read, and how much may come behind them.

    Attributes:
        token_ids: int32 [rows, time], padded behind with the row's first.
        lengths: int32 [rows].
        most: int32 [rows], how many tokens may come.
    """

    token_ids: tf.Tensor
    lengths: tf.Tensor
    most: tf.Tensor

    @property
    def widest(self) -> tf.Tensor:
        """Returns how many tokens come behind any prompt at most, one at least."""
        import tensorflow as tf

        return tf.reduce_max(tf.concat([self.most, [1]], 0))

    @property
    def slots(self) -> tf.Tensor:
        """Returns how many tokens the longest row has in the end, one at least."""
        import tensorflow as tf

        return tf.reduce_max(tf.concat([self.lengths + self.most, [1]], 0))


def room(prompts: tf.RaggedTensor, most: tf.Tensor, longest: int) -> Room:
    """Cuts prompts at their beginning, so that what is wished for has room behind them.

    At least half of what a row may hold is left to the prompt; then fewer tokens come.

    Args:
        prompts: int32 [rows, (tokens)], one at least in each.
        most: int32 [rows], how many tokens are wished for.
        longest: How many tokens a row may hold, prompt and all.
    """
    import tensorflow as tf

    most = tf.maximum(most, 0)
    given = tf.cast(prompts.row_lengths(), tf.int32)
    lengths = tf.minimum(given, tf.maximum(longest - most, (longest + 1) // 2))
    time = tf.reduce_max(tf.concat([lengths, [1]], 0))
    inside = tf.minimum(tf.range(time)[None], lengths[:, None] - 1)
    padded = tf.where(tf.range(time)[None] < lengths[:, None], inside, 0)
    firsts = tf.cast(prompts.row_starts(), tf.int32) + given - lengths
    token_ids = tf.gather(prompts.flat_values, firsts[:, None] + padded)
    return Room(token_ids, lengths, tf.minimum(most, longest - lengths))
