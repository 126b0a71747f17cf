"""Attention of a decoder's tokens to what an encoder made of their sources."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from textmill.serving.decoder_layers import linear, norm, ordered

if TYPE_CHECKING:
    from collections.abc import Callable

    import tensorflow as tf

    from textmill.decoder_weights import Cross, DecoderWeights
    from textmill.serving.precision import Reading, Store
    from textmill.serving.read import Read


class Memory(NamedTuple):
    """What an encoder made of sources; `time` is the most tokens that one has.

    Attributes:
        tokens: float32 [tokens, width], those of all sources one behind the other.
        spread: int32 [sources, time], which token is read at a time; of a source that has fewer
            some other.
        hidden: float32 [sources, 1, 1, time], added to the attention: 0 where there is a token.
    """

    tokens: tf.Tensor
    spread: tf.Tensor
    hidden: tf.Tensor


class CrossAttention:
    """A part of a decoder's block.

    Args:
        store: Where its weights are kept.
        cross: Its weights.
        weights: Of the decoder.
    """

    def __init__(self, store: Store, cross: Cross, weights: DecoderWeights) -> None:
        self.heads, self.norm_behind = weights.heads, weights.norm_behind
        self.width = cross.query.kernel.shape[1]
        self.parts = (
            norm(store, cross.norm, weights.epsilon),
            linear(store, cross.query),
            linear(store, cross.memory),
            linear(store, cross.attend),
        )

    def layer(self, reading: Reading, memory: Memory) -> Callable[[tf.Tensor, Read], tf.Tensor]:
        """Returns what adds to tokens, float32 [tokens, width], what they find in their sources.

        Keys and values are computed here, where a loop goes around what comes back. Several rows of
        a decoder may write of one source: they stand one behind the other, as many for each source,
        and its keys and values are there once.
        """
        import tensorflow as tf

        norm, asked, remembered, attend = (part(reading) for part in self.parts)
        before, behind = ordered(norm, behind=self.norm_behind)
        heads, size = self.heads, self.width // self.heads
        sources, length = tf.unstack(tf.shape(memory.spread))
        both = tf.gather(remembered(memory.tokens), memory.spread)
        both = tf.reshape(both, tf.stack([sources, length, 2, heads, size]))
        key, value = tf.unstack(tf.transpose(both, [2, 0, 3, 1, 4]))

        def layer(x: tf.Tensor, read: Read) -> tf.Tensor:
            query = asked(before(x)) * size**-0.5
            if not read.few:
                query = tf.gather(query, read.spread)
            # Rows of a source, and the times of each, are all the same to it.
            rows, time, _ = tf.unstack(read.count)
            each = rows // tf.maximum(sources, 1) * time
            query = tf.reshape(query, tf.stack([sources, each, heads, size]))
            found = _found(
                tf.transpose(query, [0, 2, 1, 3]), key, value, memory, few=bool(read.few)
            )
            found = tf.reshape(tf.transpose(found, [0, 2, 1, 3]), [-1, self.width])
            if not read.few:
                found = tf.gather(found, read.joined)
            return behind(x + attend(found))

        return layer


def _found(
    query: tf.Tensor, key: tf.Tensor, value: tf.Tensor, memory: Memory, *, few: bool
) -> tf.Tensor:
    """Returns what queries found: [sources, heads, any, size] to the same.

    Args:
        query: Scaled.
        key: [sources, heads, time, size].
        value: Likewise.
        memory: Says what is hidden.
        few: Whether there are few, so that keys come first; see `textmill.serving.decoder`.
    """
    import tensorflow as tf

    if not few:
        shares = tf.nn.softmax(tf.matmul(query, key, transpose_b=True) + memory.hidden)
        return tf.matmul(shares, value)
    hidden = tf.transpose(memory.hidden, [0, 1, 3, 2])
    scores = tf.matmul(key, query, transpose_b=True) + hidden
    shares = tf.exp(scores - tf.reduce_max(scores, -2, keepdims=True))
    shares /= tf.reduce_sum(shares, -2, keepdims=True)
    return tf.matmul(shares, value, transpose_a=True)
