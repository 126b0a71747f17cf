"""KerasHub's Transformer encoder in fewer and larger operations, with the same numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from textmill.models.quick_layers import dropout, gelu, tanh_gelu

if TYPE_CHECKING:
    import keras
    import tensorflow as tf

MASKED = -1e9  # added to the attention of a padding token


def quicken(backbone: keras.Model, *, first_token_only: bool = True) -> bool:
    """Makes an encoder compute quicker, and its last layer compute the first token alone.

    Weights, logits and gradients stay what they were, up to rounding, and what is dropped stays a
    matter of chance with the same rate. A classifier on [CLS] never reads the last layer's other
    tokens: their queries and feed-forward blocks fall away. Only the object in memory changes: a
    preset saved from it loads as KerasHub's own model.

    Args:
        backbone: KerasHub's.
        first_token_only: Whether nothing but the first token is read of what the encoder gives.

    Returns:
        False where the layers are not KerasHub's plain encoder, and nothing was changed.
    """
    import keras
    import keras_hub

    layers = getattr(backbone, "transformer_layers", [])
    plain = keras_hub.layers.TransformerEncoder
    if not layers or any(type(each) is not plain or each.normalize_first for each in layers):
        return False
    for layer in backbone.layers:
        if isinstance(layer, keras.layers.Dropout):
            layer.call = _dropout(layer)
    for layer in layers:
        last = layer is layers[-1]
        layer.call = _encoder(layer, first_token_only=last and first_token_only)
    return True


def _dropout(layer: Any) -> Any:
    def call(inputs: tf.Tensor, training: bool | None = None) -> tf.Tensor:
        if not training or not layer.rate:
            return inputs
        return dropout(inputs, layer.rate, _seed(layer))

    return call


def _encoder(layer: Any, *, first_token_only: bool) -> Any:
    """Returns what stands in for `TransformerEncoder.call`."""
    import tensorflow as tf

    attention = layer._self_attention_layer
    widen, narrow = layer._feedforward_intermediate_dense, layer._feedforward_output_dense
    quick = (q for q in (tanh_gelu, gelu) if _equal(q, widen.activation))
    activation = next(quick, widen.activation)
    drop_scores = _dropout(attention._dropout_layer)
    drop_attended = _dropout(layer._self_attention_dropout)
    drop_fed = _dropout(layer._feedforward_dropout)
    projections = [attention._query_dense, attention._key_dense, attention._value_dense]
    heads, size = attention.num_heads, attention.key_dim

    def call(inputs: Any, padding_mask: Any, training: bool | None = None) -> Any:
        rows, width = tf.shape(inputs)[0], inputs.shape[-1]

        def by_head(x: Any, parts: int) -> Any:
            """From [rows * tokens, parts * width] to `parts` of [rows, heads, tokens, size]."""
            split = tf.reshape(x, [rows, -1, parts, heads, size])
            return tf.unstack(tf.transpose(split, [2, 0, 3, 1, 4]), parts)

        flat = tf.reshape(inputs, [-1, width])
        if first_token_only:
            read = inputs[:, 0]
            (query,) = by_head(_project(read, projections[:1]), 1)
            key, value = by_head(_project(flat, projections[1:]), 2)
        else:
            read = flat
            query, key, value = by_head(_project(flat, projections), 3)
        hidden = (1 - tf.cast(padding_mask, inputs.dtype)) * MASKED
        scores = tf.matmul(query * size**-0.5, key, transpose_b=True) + hidden[:, None, None, :]
        attended = tf.matmul(drop_scores(tf.nn.softmax(scores), training=training), value)
        joined = tf.reshape(tf.transpose(attended, [0, 2, 1, 3]), [-1, width])
        x = drop_attended(_project(joined, [attention._output_dense]), training=training)
        x = layer._self_attention_layer_norm(x + read)
        fed = _project(activation(_project(x, [widen])), [narrow])
        x = layer._feedforward_layer_norm(drop_fed(fed, training=training) + x)
        return tf.reshape(x, [rows, -1, width])

    return call


def _project(x: Any, layers: list[Any]) -> Any:
    """Returns `x` times the kernels of all layers plus their biases, as one matrix product."""
    import tensorflow as tf

    inner = x.shape[-1]
    kernels = [tf.reshape(tf.convert_to_tensor(each.kernel), [inner, -1]) for each in layers]
    biases = [tf.reshape(tf.convert_to_tensor(each.bias), [-1]) for each in layers]
    kernel, bias = tf.concat(kernels, axis=1), tf.concat(biases, axis=0)
    return tf.nn.bias_add(tf.matmul(x, kernel), bias)


def _equal(quick: Any, activation: Any) -> bool:
    import numpy as np
    import tensorflow as tf

    points = tf.constant(np.linspace(-3, 3, 13), tf.float32)
    return bool(np.allclose(activation(points), quick(points), atol=1e-6))


def _seed(layer: Any) -> tf.Tensor:
    """Returns the next seed of a dropout layer's own generator."""
    import tensorflow as tf

    return tf.cast(tf.convert_to_tensor(layer.seed_generator.next()), tf.int32)
