"""The weights of a trained encoder-decoder as arrays, for the graph that serves it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from textmill.decoder_weights import Cross, DecoderBlock, DecoderWeights
from textmill.encoder_decoder_weights import EncoderDecoderWeights
from textmill.errors import UserError
from textmill.models.layer_weights import activation, array, epsilon, joined, narrowing, scale

if TYPE_CHECKING:
    import keras


def encoder_decoder_serving_weights(
    backbone: keras.Model, *, longest_source: int, longest: int
) -> EncoderDecoderWeights:
    """Returns the weights of an encoder-decoder of KerasHub's layers.

    Args:
        backbone: BART's or `EncoderDecoderBackbone`, computing in float32.
        longest_source: Tokens that a source may have; fewer where embeddings tell fewer places.
        longest: Tokens that what is written may have, those that begin it too; likewise.

    Raises:
        UserError: It is of another kind.
    """
    import keras_hub

    from textmill.models.encoder_decoder import EncoderDecoderBackbone

    hub: Any = keras_hub.models
    # A subclass may compute otherwise, so that only these very classes are known.
    if type(backbone) not in (hub.BartBackbone, EncoderDecoderBackbone):
        raise UserError(
            f"a model of {type(backbone).__name__} can't be served yet",
            expected="BART, or an encoder-decoder made from scratch",
            received=type(backbone).__name__,
            fix="take a model of one of these kinds",
        )
    tokens = array(backbone.token_embedding.embeddings)
    return EncoderDecoderWeights(
        _half(backbone, "encoder", tokens, longest_source),
        _half(backbone, "decoder", tokens, longest),
    )


def _half(backbone: Any, side: str, tokens: Any, longest: int) -> DecoderWeights:
    """Returns the encoder or the decoder.

    Args:
        backbone: The whole.
        side: Which, as its attributes name it.
        tokens: Embeddings of both.
        longest: Tokens that a row may have.
    """
    layers = getattr(backbone, f"{side}_transformer_layers")
    behind = not layers[0].normalize_first
    places = getattr(backbone, f"{side}_position_embedding")
    # BART's norm is on the embeddings, that of a model from scratch behind the last block.
    norm = getattr(backbone, f"{side}_embeddings_layer_norm" if behind else f"{side}_layer_norm")
    positions = array(places.position_embeddings) if behind else None
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
        norm=None if behind else scale(norm),
        logits=None,
        longest=longest if positions is None else min(longest, len(positions)),
        waves=_waves(places, tokens.shape[1]) if positions is None else None,
        by=1.0 if behind else tokens.shape[1] ** 0.5,
        first_norm=scale(norm) if behind else None,
        norm_behind=behind,
    )


def _waves(layer: Any, width: int) -> Any:
    """Returns the rates of a `SinePositionEncoding`, in the operations that it computes them in."""
    from keras import ops

    pair = ops.cast(2 * (ops.arange(width) // 2), "float32") / width
    return array(ops.power(ops.cast(1 / layer.max_wavelength, "float32"), pair))


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
