"""Layers of an encoder in operations that TensorFlow fuses on a CPU."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

from textmill.encoder_weights import Activation, Dense, Norm
from textmill.serving.precision import Reading, Store

if TYPE_CHECKING:
    import tensorflow as tf

    from textmill.encoder_weights import Array

    Layer = Callable[[Reading, tf.Tensor], tf.Tensor]


def product(store: Store, kernel: Array) -> Layer:
    """Returns a dense layer that adds nothing, in the precision of products."""
    import tensorflow as tf

    kept, kind = store.matrix(kernel), store.precision.products
    return lambda read, x: tf.matmul(tf.cast(x, kind), read.matrix(kept))


def dense(store: Store, weights: Dense, activation: Activation | None = None) -> Layer:
    """Returns a dense layer, [rows, inputs] to [rows, outputs], in the precision of products.

    Product, bias and activation become one operation, and so does a residual that is added to what
    comes back where both have the same shape to TensorFlow's eyes.
    """
    import tensorflow as tf

    multiplied, bias = product(store, weights.kernel), store.vector(weights.bias)
    kind = store.precision.products
    after: dict[Activation | None, Callable[[tf.Tensor], tf.Tensor]] = {
        None: lambda x: x,
        "gelu": gelu,
        "gelu_new": lambda x: tf.nn.gelu(x, approximate=True),
        "relu": tf.nn.relu,
        "tanh": tf.tanh,
    }
    return lambda read, x: after[activation](
        tf.nn.bias_add(multiplied(read, x), tf.cast(read.vector(bias), kind))
    )


def gelu(x: tf.Tensor) -> tf.Tensor:
    """Returns GELU, in the form that servers of all ages fuse; `tf.nn.gelu` has a newer one.

    Source: https://arxiv.org/abs/1606.08415, section 2.
    """
    import tensorflow as tf

    return 0.5 * x * (1 + tf.math.erf(x * math.sqrt(0.5)))


def norm(store: Store, weights: Norm, epsilon: float) -> Layer:
    """Returns a layer norm, float32 [rows, width] to the same.

    TensorFlow could make one oneDNN operation of it, were it written as a batch norm. That is 5 %
    quicker for thousands of tokens and 20 % slower for a dozen, because it wakes threads three
    times; and a batch norm of this form runs on few other devices.

    Source: https://arxiv.org/abs/1607.06450.
    """
    import tensorflow as tf

    scale, offset = store.vector(weights.scale), store.vector(weights.offset)

    def layer(read: Reading, x: tf.Tensor) -> tf.Tensor:
        apart = x - tf.reduce_mean(x, -1, keepdims=True)
        variance = tf.reduce_mean(tf.square(apart), -1, keepdims=True)
        return apart * (tf.math.rsqrt(variance + epsilon) * read.vector(scale)) + read.vector(
            offset
        )

    return layer
