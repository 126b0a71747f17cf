"""Embeddings of a served decoder, which may be the kernel of its last layer too."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textmill.serving.decoder_layers import product
from textmill.serving.precision import Reading, Store
from textmill.serving.quantization import dequantized

if TYPE_CHECKING:
    from textmill.decoder_weights import Array
    from textmill.serving.decoder_layers import Layer


class Table:
    """Embeddings, or the kernel of the last layer.

    Args:
        store: Where they are kept.
        value: float32 [tokens, width].
        multiplied: Whether it is the kernel of the last layer, embeddings too or not.
    """

    def __init__(self, store: Store, value: Array, *, multiplied: bool = False) -> None:
        precision = store.precision
        # In float32 a product of several rows is quicker if a column is a token's. Scales are of
        # the numbers of a token, which are looked up together.
        self._across = (
            multiplied and precision.products == "float32" and precision.weights != "int8"
        )
        self._kept = store.matrix(value.T if self._across else value, axis=1)
        self._kind, self._width = precision.products, value.shape[1]

    def look_up(self, read: Reading) -> Layer:
        """Returns what gives the lines of ids, float32 [ids, width]."""
        import tensorflow as tf

        place, scales = self._kept
        whole = read.vector(place)
        if self._across:
            return lambda ids: tf.cast(tf.transpose(tf.gather(whole, ids, axis=1)), tf.float32)
        if scales is None:
            return lambda ids: tf.cast(tf.gather(whole, ids), tf.float32)
        scale = read.vector(scales)
        return lambda ids: dequantized(tf.gather(whole, ids), tf.gather(scale, ids), self._width)

    def layer(self, read: Reading) -> Layer:
        """Returns what multiplies by all lines, float32 [ids, width] to float32 [ids, tokens]."""
        import tensorflow as tf

        kernel = read.matrix(self._kept)
        if self._across:
            return lambda x: tf.matmul(x, kernel)
        if self._kind == "float32":
            return lambda x: tf.matmul(x, kernel, transpose_b=True)
        return lambda x: tf.cast(product(tf.cast(x, self._kind), kernel), tf.float32)
