"""Layers of a decoder, in operations that are quick for a token a row."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from textmill.decoder_weights import Activation, Linear, Scale
from textmill.serving.layers import gelu
from textmill.serving.precision import Reading, Store

if TYPE_CHECKING:
    import tensorflow as tf

    Layer = Callable[[tf.Tensor], tf.Tensor]
    Kept = Callable[[Reading], Layer]  # a layer, before its weights are read


def linear(store: Store, weights: Linear) -> Kept:
    """Returns a dense layer, float32 [tokens, inputs] to float32 [tokens, outputs]."""
    import tensorflow as tf

    kind = store.precision.products
    # Of bfloat16, oneDNN reads a kernel whose rows are outputs a third quicker.
    turned = kind == "bfloat16"
    value = weights.kernel.T if turned else weights.kernel
    kernel = store.matrix(value, axis=1 if turned else 0)
    bias = None if weights.bias is None else store.vector(weights.bias)

    def ready(read: Reading) -> Layer:
        ours = read.matrix(kernel)
        added = None if bias is None else tf.cast(read.vector(bias), kind)
        if turned:
            return lambda x: tf.cast(product(tf.cast(x, kind), ours, added), tf.float32)
        if added is None:
            return lambda x: tf.matmul(x, ours)
        return lambda x: tf.nn.bias_add(tf.matmul(x, ours), added)

    return ready


def product(x: tf.Tensor, kernel: tf.Tensor, bias: tf.Tensor | None = None) -> tf.Tensor:
    """Returns a product of bfloat16 as oneDNN does it quickest.

    With a bias, one that adds nothing too, TensorFlow makes one operation of it. That one is a
    tenth quicker than a product alone, and can keep the kernel in the order that oneDNN reads it
    in: a server with TF_ONEDNN_ASSUME_FROZEN_WEIGHTS=1 in its environment does.

    Args:
        x: [tokens, inputs].
        kernel: [outputs, inputs].
        bias: [outputs].
    """
    import tensorflow as tf

    if bias is None:
        bias = tf.zeros([kernel.shape[0]], kernel.dtype)
    return tf.nn.bias_add(tf.matmul(x, kernel, transpose_b=True), bias)


def norm(store: Store, weights: Scale, epsilon: float) -> Kept:
    """Returns a norm, float32 [tokens, width] to the same."""
    import tensorflow as tf

    scale = store.vector(weights.scale)
    offset = None if weights.offset is None else store.vector(weights.offset)

    def ready(read: Reading) -> Layer:
        by = read.vector(scale)
        added = None if offset is None else read.vector(offset)

        def layer(x: tf.Tensor) -> tf.Tensor:
            if added is not None:
                x -= tf.reduce_mean(x, -1, keepdims=True)
            variance = tf.reduce_mean(tf.square(x), -1, keepdims=True)
            found = x * (tf.math.rsqrt(variance + epsilon) * by)
            return found if added is None else found + added

        return layer

    return ready


def ordered(norm: Layer, *, behind: bool) -> tuple[Layer, Layer]:
    """Returns what comes before a part of a block, and what comes behind its sum."""

    def same(x: tf.Tensor) -> tf.Tensor:
        return x

    return (same, norm) if behind else (norm, same)


def activation(name: Activation, *, gated: bool) -> Layer:
    """Returns an activation; with a gate [tokens, 2 * width] to [tokens, width]."""
    import tensorflow as tf

    known: dict[Activation, Layer] = {
        "gelu": gelu,
        "gelu_new": lambda x: tf.nn.gelu(x, approximate=True),
        "relu": tf.nn.relu,
        "silu": lambda x: x * tf.sigmoid(x),
    }
    alone = known[name]
    if not gated:
        return alone

    def layer(x: tf.Tensor) -> tf.Tensor:
        gate, through = tf.split(x, 2, -1)
        if name == "silu":
            # In this order TensorFlow does not make one operation of oneDNN of it, which wakes
            # threads: for a token a row that takes ten times as long as the products.
            return gate * through * tf.sigmoid(gate)
        return alone(gate) * through

    return layer
