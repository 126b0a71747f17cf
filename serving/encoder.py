"""An encoder of BERT's kind as a graph that serves: no padding in its layers, few operations."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from textmill.encoder_weights import Block, Dense, EncoderWeights
from textmill.serving.layers import dense, norm, product
from textmill.serving.precision import FLOAT32, Precision, Reading, Store

if TYPE_CHECKING:
    import tensorflow as tf

HIDDEN = -1e9  # added to the attention of what is behind the end of a row


class Layout(NamedTuple):
    """Where the tokens of a batch are, without padding and with it.

    `time` is the most tokens that a row has.

    Attributes:
        index: int64 [tokens, 2], of which row a token is, and its place there, padding counted.
        firsts: int32 [rows], the first token of each row.
        split: int32 [3, rows, heads, time], where a head's share of a query, key or value lies
            among those of all tokens; behind the end of a row it is that of some other token.
        joined: int32 [tokens, heads], where a head's share of what a token attended to lies.
        hidden: float32 [rows, 1, 1, time], 0 where there is a token, else `HIDDEN`.
    """

    index: tf.Tensor
    firsts: tf.Tensor
    split: tf.Tensor
    joined: tf.Tensor
    hidden: tf.Tensor


class Encoder:
    """From rows of token ids to logits.

    Tokens of all rows stand one behind the other, so that no layer computes on padding; attention
    alone sees them as rows. Moving between the two views is also what parts heads.

    Args:
        weights: Of the trained model.
        precision: In what numbers they are kept and multiplied.

    Attributes:
        variables: The weights, each once.
    """

    def __init__(self, weights: EncoderWeights, precision: Precision = FLOAT32) -> None:
        self.store = store = Store(precision)
        self.precision = precision
        self.heads = weights.heads
        self.tokens = _embeddings(store, weights)
        self.positions = store.table(weights.positions)
        self.segments = None if weights.segments is None else store.table(weights.segments)
        self.norm = norm(store, weights.norm, weights.epsilon)
        self.widen = None if weights.widen is None else dense(store, weights.widen)
        blocks = [_Block(store, each, weights) for each in weights.blocks]
        self.blocks = [blocks[i] for i in weights.order]
        self.pool = None
        if weights.pool is not None:
            self.pool = dense(store, weights.pool, weights.pool_activation)
        self.logits = dense(store, weights.logits)
        store.close()
        self.variables = store.variables

    def __call__(
        self, token_ids: tf.Tensor, padding_mask: tf.Tensor, segment_ids: tf.Tensor
    ) -> tf.Tensor:
        """Returns the logits of rows.

        Args:
            token_ids: int32 [rows, time].
            padding_mask: bool [rows, time], true where there is a token; each row has one at least.
            segment_ids: int32 [rows, time], 1 in the second of two texts.

        Returns:
            float32 [rows, classes]; where each token has logits [rows, time, classes], 0 behind
            the end of a row.
        """
        import tensorflow as tf

        every = layout(padding_mask, self.heads)
        found = self.tokens(tf.gather_nd(token_ids, every.index))
        segments = None if self.segments is None else tf.gather_nd(segment_ids, every.index)
        logits = self.encode(found, every, segments)
        if self.pool is not None:
            return logits
        shape = tf.concat([tf.shape(token_ids), [logits.shape[-1]]], 0)
        return tf.scatter_nd(every.index, logits, tf.cast(shape, tf.int64))

    def encode(
        self, tokens: tf.Tensor, every: Layout, segments: tf.Tensor | None = None
    ) -> tf.Tensor:
        """Returns logits, from the embeddings of tokens.

        Args:
            tokens: float32 [tokens, embedding].
            every: Where they are.
            segments: int32 [tokens]; None where the model knows none.

        Returns:
            float32 [rows, classes], or [tokens, classes].
        """
        import tensorflow as tf

        read = self.store.read()
        x = tokens + self.positions(every.index[:, 1])
        if self.segments is not None:
            x += self.segments(segments)
        x = self.norm(read, x)
        if self.widen is not None:
            x = tf.cast(self.widen(read, x), tf.float32)
        for block in self.blocks[:-1]:
            x = block(read, x, every)
        # Nobody reads what the last layer makes of other tokens than the first.
        x = self.blocks[-1](read, x, every, first_only=self.pool is not None)
        if self.pool is not None:
            x = self.pool(read, x)
        return tf.cast(self.logits(read, x), tf.float32)


def _embeddings(store: Store, weights: EncoderWeights) -> Callable[[tf.Tensor], tf.Tensor]:
    """Returns what looks up the embeddings of token ids."""
    import tensorflow as tf

    table = store.table(weights.tokens)
    if weights.rows is None:
        return table
    rows = store.numbers(weights.rows)
    return lambda ids: table(tf.gather(rows, ids))


class _Block:
    def __init__(self, store: Store, block: Block, weights: EncoderWeights) -> None:
        self.heads, self.width = weights.heads, len(block.attend.bias)
        self.size = self.width // self.heads
        self.products = store.precision.products
        # The product alone is quicker than with a bias, and only that of queries is needed there:
        # one of keys adds the same to all that a query is compared with, and what is added to
        # every value is found by every query.
        self.project = product(store, block.project.kernel)
        query, _, value = np.split(block.project.bias.astype(np.float64), 3)
        self.bias = store.vector(query.astype(np.float32).reshape(1, self.heads, 1, self.size))
        found = block.attend.bias + value @ block.attend.kernel
        self.attend = dense(store, Dense(block.attend.kernel, found.astype(np.float32)))
        self.attend_norm = norm(store, block.attend_norm, weights.epsilon)
        self.widen = dense(store, block.widen, weights.activation)
        self.narrow = dense(store, block.narrow)
        self.feed_norm = norm(store, block.feed_norm, weights.epsilon)

    def __call__(
        self, read: Reading, x: tf.Tensor, every: Layout, *, first_only: bool = False
    ) -> tf.Tensor:
        """Returns the tokens [tokens, width], or the first of each row [rows, width]."""
        import tensorflow as tf

        parts = tf.reshape(self.project(read, x), [-1, self.size])
        query, key, value = tf.unstack(tf.gather(parts, every.split), 3)
        query += tf.cast(read.vector(self.bias), self.products)
        if first_only:
            query, x = query[:, :, :1], tf.gather(x, every.firsts)
        # A constant times a product, plus a mask: one operation to oneDNN.
        scores = tf.matmul(query, key, transpose_b=True) * tf.constant(
            self.size**-0.5, self.products
        )
        scores += tf.cast(every.hidden, self.products)
        shares = tf.cast(tf.nn.softmax(tf.cast(scores, tf.float32)), self.products)
        found = tf.matmul(shares, value)
        if not first_only:
            found = tf.gather(tf.reshape(found, [-1, self.size]), every.joined)
        found = tf.reshape(found, [-1, self.width])
        x = self.attend_norm(read, tf.cast(self.attend(read, found), tf.float32) + x)
        fed = self.narrow(read, self.widen(read, x))
        return self.feed_norm(read, tf.cast(fed, tf.float32) + x)


def layout(padding_mask: tf.Tensor, heads: int) -> Layout:
    """Returns where the tokens of a batch are.

    Args:
        padding_mask: bool [rows, time], as `Encoder` takes it.
        heads: Of each attention.
    """
    import tensorflow as tf

    index = tf.where(padding_mask)
    rows = tf.cast(index[:, 0], tf.int32)
    lengths = tf.reduce_sum(tf.cast(padding_mask, tf.int32), 1)
    time = tf.reduce_max(tf.concat([lengths, [1]], 0))
    firsts = tf.cumsum(lengths, exclusive=True)
    count, order = tf.size(rows), tf.range(time)
    # What is behind the last token of all is read from it.
    near = tf.minimum(firsts[:, None] + order, count - 1)
    shares = tf.reshape(tf.range(3 * heads), [3, 1, heads, 1])
    inside = tf.range(count) - tf.gather(firsts, rows)
    head = tf.range(heads)
    return Layout(
        index,
        firsts,
        near[:, None, :] * (3 * heads) + shares,
        ((rows * heads)[:, None] + head) * time + inside[:, None],
        tf.where(order < lengths[:, None], 0.0, HIDDEN)[:, None, None, :],
    )
