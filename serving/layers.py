"""Layers of an encoder in operations that TensorFlow fuses on a CPU."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from textmill.encoder_weights import Activation, Dense, Norm
from textmill.serving.precision import Store

if TYPE_CHECKING:
    import tensorflow as tf

    Layer = Callable[[tf.Tensor], tf.Tensor]


def dense(store: Store, weights: Dense, activation: Activation | None = None) -> Layer:
    """Returns a dense layer, [rows, inputs] to [rows, outputs], in the precision of products.

    Product, bias and activation become one operation, and so does a residual that is added to what
    comes back where both have the same shape to TensorFlow's eyes.
    """
    import tensorflow as tf

    kernel, bias = store.matrix(weights.kernel), store.vector(weights.bias)
    kind = store.precision.products
    after: dict[Activation | None, Layer] = {
        None: lambda x: x,
        "gelu": tf.nn.gelu,
        "gelu_new": lambda x: tf.nn.gelu(x, approximate=True),
        "relu": tf.nn.relu,
        "tanh": tf.tanh,
    }
    return lambda x: after[activation](
        tf.nn.bias_add(tf.matmul(tf.cast(x, kind), kernel()), tf.cast(bias, kind))
    )


def norm(store: Store, weights: Norm, epsilon: float) -> Layer:
    """Returns a layer norm, float32 [rows, width] to the same.

    A batch norm over an image a row high, which is the form that TensorFlow knows a layer norm by
    and makes one pass of.

    Source: https://arxiv.org/abs/1607.06450.
    """
    import tensorflow as tf

    scale, offset = store.vector(weights.scale), store.vector(weights.offset)
    width = len(weights.scale)

    def layer(x: tf.Tensor) -> tf.Tensor:
        rows = tf.shape(x)[0]
        image = tf.raw_ops.FusedBatchNormV3(
            x=tf.reshape(x, [1, rows, width, 1]),
            scale=tf.ones([rows]),
            offset=tf.zeros([rows]),
            mean=[],
            variance=[],
            epsilon=epsilon,
            data_format="NCHW",
            is_training=True,
        )[0]
        return tf.reshape(image, [rows, width]) * scale + offset

    return layer
