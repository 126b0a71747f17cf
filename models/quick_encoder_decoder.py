"""KerasHub's encoder-decoders in fewer and larger operations, with the same numbers."""

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
from textmill.models.quick_layers import gelu, tanh_gelu

if TYPE_CHECKING:
    import keras
    import tensorflow as tf

    # source and its mask, int32 [rows, tokens of sources], token_ids, int32 [rows, tokens], and
    # whether it is training; to what the decoder gives, [rows * tokens, width].
    EncoderDecoder = Callable[[tf.Tensor, tf.Tensor, tf.Tensor, bool], tf.Tensor]


def quick_encoder_decoder(backbone: keras.Model) -> EncoderDecoder:
    """Returns what computes a backbone on rows that are padded at their ends.

    A padded place of the decoder's stands behind all others, which so never see it: it needs no
    mask.

    Args:
        backbone: `EncoderDecoderBackbone`, or KerasHub's BART.

    Source: https://arxiv.org/abs/1706.03762, section 3; https://arxiv.org/abs/1910.13461.
    """
    import tensorflow as tf

    kind = backbone.dtype_policy.compute_dtype
    encoder, decoder = backbone.encoder_transformer_layers, backbone.decoder_transformer_layers
    activation = _activation(encoder[0]._feedforward_intermediate_dense.activation)

    def compute(source: Any, source_mask: Any, token_ids: Any, training: bool) -> Any:
        rows = tf.shape(source)[0]
        hidden = tf.where(source_mask[:, None, None, :] > 0, 0.0, MASKED)
        hidden = tf.cast(hidden, kind)
        x = _embedded(backbone, "encoder", source, training)
        for layer in encoder:
            block = _Block(layer, rows, kind, training)
            x = block.part(x, "self_attention", lambda y, b=block: b.attend_itself(y, hidden))
            x = block.part(x, "feedforward", lambda y, b=block: b.feed(y, activation))
        memory = tf.cast(_last_norm(backbone, "encoder", x), kind)
        places = tf.range(tf.shape(token_ids)[1])
        later = tf.where(places[:, None] >= places[None, :], 0.0, MASKED)
        later = tf.cast(later, kind)[None, None]
        x = _embedded(backbone, "decoder", token_ids, training)
        for layer in decoder:
            block = _Block(layer, rows, kind, training)
            x = block.part(x, "self_attention", lambda y, b=block: b.attend_itself(y, later))
            x = block.part(x, "cross_attention", lambda y, b=block: b.attend(y, memory, hidden))
            x = block.part(x, "feedforward", lambda y, b=block: b.feed(y, activation))
        return tf.cast(_last_norm(backbone, "decoder", x), kind)

    return compute


class _Block:
    """A layer of KerasHub's on tokens one behind the other, [rows * tokens, width]."""

    def __init__(self, layer: Any, rows: Any, kind: str, training: bool) -> None:
        self._layer, self._rows, self._kind, self._training = layer, rows, kind, training

    def part(self, x: Any, name: str, compute: Any) -> Any:
        """Adds what a part of the layer computes to its input, float32, and normalizes."""
        import tensorflow as tf

        norm = getattr(self._layer, f"_{name}_layer_norm")
        first = self._layer.normalize_first
        y = compute(tf.cast(layer_norm_of(norm, x) if first else x, self._kind))
        y = dropout_of(getattr(self._layer, f"_{name}_dropout"))(y, self._training)
        # What layers add stays float32: of many small additions bfloat16 would lose some.
        x += tf.cast(y, x.dtype)
        return x if first else layer_norm_of(norm, x)

    def attend_itself(self, x: Any, mask: Any) -> Any:
        """Returns what the self-attention gives."""
        attention = self._layer._self_attention_layer
        parts = [attention._query_dense, attention._key_dense, attention._value_dense]
        query, key, value = self._by_head(project(x, parts), 3, attention)
        return self._attended(query, key, value, mask, attention)

    def attend(self, x: Any, memory: Any, mask: Any) -> Any:
        """Returns what the attention to what was read gives."""
        attention = self._layer._cross_attention_layer
        (query,) = self._by_head(project(x, [attention._query_dense]), 1, attention)
        parts = [attention._key_dense, attention._value_dense]
        key, value = self._by_head(project(memory, parts), 2, attention)
        return self._attended(query, key, value, mask, attention)

    def feed(self, x: Any, activation: Any) -> Any:
        """Returns what the feed-forward part gives."""
        x = activation(project(x, [self._layer._feedforward_intermediate_dense]))
        return project(x, [self._layer._feedforward_output_dense])

    def _by_head(self, x: Any, parts: int, attention: Any) -> Any:
        """From [rows * tokens, parts * width] to `parts` of [rows, heads, tokens, size]."""
        import tensorflow as tf

        shape = [self._rows, -1, parts, attention.num_heads, attention.key_dim]
        return tf.unstack(tf.transpose(tf.reshape(x, shape), [2, 0, 3, 1, 4]), parts)

    def _attended(self, query: Any, key: Any, value: Any, mask: Any, attention: Any) -> Any:
        drop = dropout_of(attention._dropout_layer)
        found = attended(query, key, value, mask, lambda scores: drop(scores, self._training))
        return project(found, [attention._output_dense])


def _embedded(backbone: Any, side: str, token_ids: Any, training: bool) -> Any:
    """Returns tokens with their places, float32 [rows * tokens, width]."""
    import tensorflow as tf

    table = tf.convert_to_tensor(backbone.token_embedding.embeddings)
    width = table.shape[1]
    x = tf.cast(tf.gather(table, token_ids), tf.float32)
    places = getattr(backbone, f"{side}_position_embedding")
    learned = getattr(places, "position_embeddings", None)
    if learned is None:
        x = x * width**0.5
        x += tf.convert_to_tensor(places(x[:1]))
    else:
        x += tf.cast(tf.convert_to_tensor(learned)[: tf.shape(token_ids)[1]], tf.float32)
    x = tf.reshape(x, [-1, width])
    norm = getattr(backbone, f"{side}_embeddings_layer_norm", None)
    if norm is not None:
        x = layer_norm_of(norm, x)
    return dropout_of(getattr(backbone, f"{side}_embeddings_dropout"))(x, training)


def _last_norm(backbone: Any, side: str, x: Any) -> Any:
    norm = getattr(backbone, f"{side}_layer_norm", None)
    return x if norm is None else layer_norm_of(norm, x)


def _activation(given: Any) -> Any:
    import keras

    if is_tanh_gelu(given):
        return tanh_gelu
    return gelu if given is keras.activations.gelu else given
