"""The weights of a trained encoder-decoder as arrays, for the graph that serves it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from textmill.decoder_weights import Cross, DecoderBlock, DecoderWeights
from textmill.encoder_decoder_weights import EncoderDecoderWeights
from textmill.errors import UserError
from textmill.models.layer_weights import activation, array, epsilon, joined, narrowing, scale

if TYPE_CHECKING:
    import keras


def encoder_decoder_serving_weights(backbone: keras.Model) -> EncoderDecoderWeights:
    """Returns the weights of a KerasHub encoder-decoder.

    Args:
        backbone: BART's, computing in float32.

    Raises:
        UserError: It is of another kind.
    """
    import keras_hub

    hub: Any = keras_hub.models
    # A subclass may compute otherwise, so that only this very class is known.
    if type(backbone) is hub.BartBackbone:
        return _bart(backbone)
    raise UserError(
        f"a model of {type(backbone).__name__} can't be served yet",
        expected="BART",
        received=type(backbone).__name__,
        fix="take a model of this kind",
    )


def _bart(backbone: Any) -> EncoderDecoderWeights:
    def half(layers: list[Any], position_embedding: Any, norm: Any) -> DecoderWeights:
        positions = array(position_embedding.position_embeddings)
        return DecoderWeights(
            tokens=tokens,
            positions=positions,
            turns=None,
            blocks=tuple(map(_block, layers)),
            heads=layers[0].num_heads,
            key_heads=layers[0].num_heads,
            activation=activation(layers[0]._feedforward_intermediate_dense.activation),
            gated=False,
            epsilon=epsilon([norm, *_norms(layers)]),
            norm=None,
            logits=None,
            longest=len(positions),
            first_norm=scale(norm),
            norm_behind=True,
        )

    tokens = array(backbone.token_embedding.embeddings)
    return EncoderDecoderWeights(
        half(
            backbone.encoder_transformer_layers,
            backbone.encoder_position_embedding,
            backbone.encoder_embeddings_layer_norm,
        ),
        half(
            backbone.decoder_transformer_layers,
            backbone.decoder_position_embedding,
            backbone.decoder_embeddings_layer_norm,
        ),
    )


def _block(layer: Any) -> DecoderBlock:
    """Returns a KerasHub `TransformerEncoder` or `TransformerDecoder`."""
    attention = layer._self_attention_layer
    return DecoderBlock(
        attend_norm=scale(layer._self_attention_layer_norm),
        project=joined(attention._query_dense, attention._key_dense, attention._value_dense),
        attend=narrowing(attention._output_dense),
        feed_norm=scale(layer._feedforward_layer_norm),
        widen=joined(layer._feedforward_intermediate_dense),
        narrow=narrowing(layer._feedforward_output_dense),
        cross=_cross(layer),
    )


def _cross(layer: Any) -> Cross | None:
    attention = getattr(layer, "_cross_attention_layer", None)
    if attention is None:
        return None
    return Cross(
        norm=scale(layer._cross_attention_layer_norm),
        query=joined(attention._query_dense),
        memory=joined(attention._key_dense, attention._value_dense),
        attend=narrowing(attention._output_dense),
    )


def _norms(layers: list[Any]) -> list[Any]:
    """Returns all norms of some layers."""
    names = ("_self_attention", "_cross_attention", "_feedforward")
    every = [getattr(each, f"{name}_layer_norm", None) for each in layers for name in names]
    return [each for each in every if each is not None]
