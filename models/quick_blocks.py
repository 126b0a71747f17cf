"""What quick Transformers share: KerasHub's layers as few and large operations."""

from __future__ import annotations

from typing import Any

from textmill.models.quick_layers import dropout, layer_norm

MASKED = -1e9  # added to the attention to what a token may not see


def attended(query: Any, key: Any, value: Any, mask: Any, drop: Any = lambda x: x) -> Any:
    """Returns what each token gets of those that it looks at, [rows * tokens, heads * size].

    Args:
        query: [rows, query heads, tokens, size].
        key: [rows, heads, tokens, size]; each head serves as many query heads, one after the other.
        value: Likewise.
        mask: What is added to scores, [rows or 1, 1, tokens or 1, tokens].
        drop: Dropout of the scores.
    """
    import tensorflow as tf

    heads, size = key.shape[1], query.shape[3]
    group = query.shape[1] // heads
    rows, width = tf.shape(query)[0], tf.shape(query)[2]
    query = tf.reshape(query * size**-0.5, [rows, heads, group * width, size])
    scores = tf.matmul(query, key, transpose_b=True)
    if group > 1:
        scores = tf.reshape(scores, [rows, heads * group, width, width])
    seen = drop(tf.nn.softmax(scores + mask))
    if group > 1:
        seen = tf.reshape(seen, [rows, heads, group * width, width])
    found = tf.reshape(tf.matmul(seen, value), [rows, heads * group, width, size])
    return tf.reshape(tf.transpose(found, [0, 2, 1, 3]), [-1, heads * group * size])


def project(x: Any, layers: list[Any]) -> Any:
    """Returns `x` times the kernels of all layers, plus their biases, as one matrix product."""
    import tensorflow as tf

    inner = x.shape[-1]
    # Keras gives kernels with LoRA in the type that a layer computes in, others as they are kept.
    tensors = [tf.cast(tf.convert_to_tensor(each.kernel), x.dtype) for each in layers]
    kernels = [tf.reshape(each, [inner, -1]) for each in tensors]
    found = tf.matmul(x, kernels[0] if len(kernels) == 1 else tf.concat(kernels, 1))
    if layers[0].bias is None:
        return found
    bias = tf.concat([tf.reshape(tf.convert_to_tensor(each.bias), [-1]) for each in layers], 0)
    return tf.nn.bias_add(found, tf.cast(bias, x.dtype))


def layer_norm_of(layer: Any, x: Any) -> Any:
    """Returns what a layer norm gives, float32 [rows, width] to the same."""
    import tensorflow as tf

    scale, offset = tf.convert_to_tensor(layer.gamma), tf.convert_to_tensor(layer.beta)
    return layer_norm(x, scale, offset, layer.epsilon)


def dropout_of(layer: Any) -> Any:
    """Returns a function from floats, and whether it is training, to what a layer leaves."""
    import tensorflow as tf

    def call(x: Any, training: bool) -> Any:
        if not training or not layer.rate:
            return x
        seed = tf.cast(tf.convert_to_tensor(layer.seed_generator.next()), tf.int32)
        return dropout(x, layer.rate, seed)

    return call


def is_tanh_gelu(activation: Any) -> bool:
    """Returns whether an activation is KerasHub's GELU with a tanh."""
    from keras_hub.src.utils.keras_utils import gelu_approximate

    return activation is gelu_approximate
