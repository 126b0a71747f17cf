"""KerasHub's causal decoders on packed rows: attention stays inside each document.

The layers' weights are KerasHub's; the numbers are those of its own `call` for each document
alone, in fewer and larger operations.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from textmill.models.quick_blocks import (
    MASKED,
    attended,
    dropout_of,
    is_tanh_gelu,
    layer_norm_of,
    project,
)
from textmill.models.quick_layers import rms_norm, swiglu, tanh_gelu

if TYPE_CHECKING:
    import keras
    import tensorflow as tf

    # token_ids, document and position, int32 [rows, tokens] each, and whether it is training;
    # to what the last norm gives, [rows * tokens, width].
    Decoder = Callable[[tf.Tensor, tf.Tensor, tf.Tensor, bool], tf.Tensor]


def packed_decoder(backbone: keras.Model) -> Decoder | None:
    """Returns what computes a backbone on packed rows; None where there is nothing that does.

    Args:
        backbone: KerasHub's; it does if its class is in `QUICK`.

    Source: https://cdn.openai.com/better-language-models/language_models_are_unsupervised_multitask_learners.pdf,
    https://arxiv.org/abs/2302.13971; packing without attention between documents as in
    https://arxiv.org/abs/2107.02027, section 3.2.
    """
    kind = type(backbone).__name__
    if kind not in QUICK or getattr(backbone, "use_sliding_window_attention", False):
        return None
    return QUICK[kind](backbone)


def _gpt2(backbone: Any) -> Decoder:
    import tensorflow as tf

    kind = backbone.dtype_policy.compute_dtype
    layers = backbone.transformer_layers
    inner = layers[0]._feedforward_intermediate_dense.activation
    activation = tanh_gelu if is_tanh_gelu(inner) else inner
    tables = getattr(backbone, "embeddings", backbone)  # of OPT a layer of its own
    drop_embedded = getattr(backbone, "embeddings_dropout", None)

    def decode(token_ids: Any, document: Any, position: Any, training: bool) -> Any:
        rows = tf.shape(token_ids)[0]
        mask = _mask(document, kind)
        places = tf.convert_to_tensor(tables.position_embedding.position_embeddings)
        places = tf.cast(tf.gather(places, tf.reshape(position, [-1])), tf.float32)
        x = _embedded(tables, token_ids) + places
        if drop_embedded is not None:
            x = dropout_of(drop_embedded)(x, training)
        for layer in layers:
            attention = layer._self_attention_layer
            heads, size = attention.num_heads, attention.key_dim
            read = tf.cast(layer_norm_of(layer._self_attention_layer_norm, x), kind)
            parts = [attention._query_dense, attention._key_dense, attention._value_dense]
            split = tf.reshape(project(read, parts), [rows, -1, 3, heads, size])
            query, key, value = tf.unstack(tf.transpose(split, [2, 0, 3, 1, 4]), 3)
            drop = dropout_of(attention._dropout_layer)
            found = attended(query, key, value, mask, lambda s, d=drop: d(s, training))
            y = project(found, [attention._output_dense])
            x += tf.cast(dropout_of(layer._self_attention_dropout)(y, training), x.dtype)
            read = tf.cast(layer_norm_of(layer._feedforward_layer_norm, x), kind)
            y = activation(project(read, [layer._feedforward_intermediate_dense]))
            y = project(y, [layer._feedforward_output_dense])
            x += tf.cast(dropout_of(layer._feedforward_dropout)(y, training), x.dtype)
        return tf.cast(layer_norm_of(backbone.layer_norm, x), kind)

    return decode


def _llama(backbone: Any) -> Decoder:
    import keras
    import tensorflow as tf

    kind = backbone.dtype_policy.compute_dtype
    layers = backbone.transformer_layers
    first = layers[0]._self_attention_layer
    size = first._query_dense.kernel.shape[-1]
    query_heads, heads = (d.kernel.shape[1] for d in (first._query_dense, first._key_dense))
    rotary = first.rotary_embedding_layer
    steps = keras.ops.convert_to_numpy(rotary._get_inverse_freq(size)) / rotary.scaling_factor

    def rotated(x: Any, cos: Any, sin: Any) -> Any:
        """Turns pairs of a half each, as Hugging Face's and KerasHub's weights have them."""
        left, right = tf.split(x, 2, -1)
        return x * cos + tf.concat([-right, left], -1) * sin

    def decode(token_ids: Any, document: Any, position: Any, training: bool) -> Any:
        rows = tf.shape(token_ids)[0]
        mask = _mask(document, kind)
        cos, sin = (tf.cast(x, kind) for x in _angles(position, steps))
        x = _embedded(backbone, token_ids)
        for layer in layers:
            attention = layer._self_attention_layer
            read = tf.cast(_rms_norm(layer._self_attention_layernorm, x), kind)
            parts = [attention._query_dense, attention._key_dense, attention._value_dense]
            split = tf.reshape(project(read, parts), [rows, -1, query_heads + 2 * heads, size])
            turned = rotated(split[:, :, : query_heads + heads], cos, sin)
            query, key = tf.split(tf.transpose(turned, [0, 2, 1, 3]), [query_heads, heads], 1)
            value = tf.transpose(split[:, :, query_heads + heads :], [0, 2, 1, 3])
            y = project(attended(query, key, value, mask), [attention._output_dense])
            x += tf.cast(dropout_of(layer._self_attention_dropout)(y, training), x.dtype)
            read = tf.cast(_rms_norm(layer._feedforward_layernorm, x), kind)
            gates = [layer._feedforward_gate_dense, layer._feedforward_intermediate_dense]
            y = project(swiglu(project(read, gates)), [layer._feedforward_output_dense])
            x += tf.cast(y, x.dtype)
        return tf.cast(_rms_norm(backbone.layer_norm, x), kind)

    return decode


QUICK = {
    "GPT2Backbone": _gpt2,
    "UntiedGPT2Backbone": _gpt2,
    "OPTBackbone": _gpt2,
    "LlamaBackbone": _llama,
    "Llama3Backbone": _llama,
    "BiasedLlamaBackbone": _llama,
    "MistralBackbone": _llama,
    "QwenBackbone": _llama,
}


def _embedded(tables: Any, token_ids: Any) -> Any:
    """Returns the embeddings of tokens, float32 [rows * tokens, width].

    What layers add to them stays float32: of many small additions bfloat16 would lose some.
    """
    import tensorflow as tf

    table = tf.convert_to_tensor(tables.token_embedding.embeddings)
    return tf.cast(tf.gather(table, tf.reshape(token_ids, [-1])), tf.float32)


def _angles(position: Any, steps: Any) -> tuple[Any, Any]:
    """Returns cosines and sines of each place, float32 [rows, tokens, 1, size].

    Args:
        position: int32 [rows, tokens].
        steps: By how much each pair of numbers turns from place to place, float [size / 2].
    """
    import tensorflow as tf

    angles = tf.cast(position, tf.float32)[:, :, None, None] * tf.constant(steps, tf.float32)
    angles = tf.concat([angles, angles], -1)
    return tf.cos(angles), tf.sin(angles)


def _mask(document: Any, kind: str) -> Any:
    """Returns what is added to scores: 0 where a token may look, [rows, 1, tokens, tokens]."""
    import tensorflow as tf

    same = document[:, :, None] == document[:, None, :]
    width = tf.shape(document)[1]
    earlier = tf.range(width)[:, None] >= tf.range(width)[None, :]
    return tf.where(same & earlier, tf.constant(0, kind), tf.constant(MASKED, kind))[:, None]


def _rms_norm(layer: Any, x: Any) -> Any:
    import tensorflow as tf

    return rms_norm(x, tf.convert_to_tensor(layer.scale), layer.epsilon)
