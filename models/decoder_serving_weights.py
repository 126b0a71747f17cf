"""The weights of a trained causal decoder as arrays, for the graph that serves it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from textmill.decoder_weights import DecoderBlock, DecoderWeights, Scale
from textmill.errors import UserError
from textmill.models.layer_weights import activation, array, epsilon, joined, narrowing, scale

if TYPE_CHECKING:
    import keras

SERVED = "GPT-2, Llama, Llama 3, Mistral or Qwen 2"


def decoder_serving_weights(backbone: keras.Model, *, longest: int) -> DecoderWeights:
    """Returns the weights of a KerasHub decoder.

    Args:
        backbone: Of GPT-2's or Llama's kind, computing in float32.
        longest: Tokens that a row may have; of a model with positions, as many as it has at most.

    Raises:
        UserError: It is of another kind.
    """
    import keras_hub

    hub: Any = keras_hub.models
    llamas = (hub.LlamaBackbone, hub.Llama3Backbone, hub.MistralBackbone, hub.QwenBackbone)
    # A subclass may compute otherwise, so that only these very classes are known.
    if type(backbone) is hub.GPT2Backbone:
        return _gpt2(backbone, longest)
    if type(backbone) in llamas and not _slides(backbone, longest):
        return _llama(backbone, longest)
    raise UserError(
        f"a model of {type(backbone).__name__} can't be served yet",
        expected=SERVED,
        received=type(backbone).__name__,
        fix="take a model of one of these kinds",
    )


def _slides(backbone: Any, longest: int) -> bool:
    """Says whether a token at the end of a row would not see the first one."""
    if not getattr(backbone, "use_sliding_window_attention", True):
        return False
    window = getattr(backbone, "sliding_window", getattr(backbone, "sliding_window_size", None))
    return window is not None and window < longest


def _gpt2(backbone: Any, longest: int) -> DecoderWeights:
    layers = backbone.transformer_layers
    positions = array(backbone.position_embedding.position_embeddings)[:longest]
    norms = [backbone.layer_norm]
    for each in layers:
        norms += [each._self_attention_layer_norm, each._feedforward_layer_norm]
    return DecoderWeights(
        tokens=array(backbone.token_embedding.embeddings),
        positions=positions,
        turns=None,
        blocks=tuple(map(_gpt2_block, layers)),
        heads=layers[0].num_heads,
        key_heads=layers[0].num_heads,
        activation=activation(layers[0]._feedforward_intermediate_dense.activation),
        gated=False,
        epsilon=epsilon(norms),
        norm=scale(backbone.layer_norm),
        logits=None,
        longest=len(positions),
    )


def _gpt2_block(layer: Any) -> DecoderBlock:
    attention = layer._self_attention_layer
    before, between = layer._self_attention_layer_norm, layer._feedforward_layer_norm
    return DecoderBlock(
        attend_norm=scale(before),
        project=joined(attention._query_dense, attention._key_dense, attention._value_dense),
        attend=narrowing(attention._output_dense),
        feed_norm=scale(between),
        widen=joined(layer._feedforward_intermediate_dense),
        narrow=narrowing(layer._feedforward_output_dense),
    )


def _llama(backbone: Any, longest: int) -> DecoderWeights:
    layers, embeddings = backbone.transformer_layers, backbone.token_embedding
    first = layers[0]._self_attention_layer
    heads, size = first._query_dense.kernel.shape[1:]
    norms = [backbone.layer_norm]
    for each in layers:
        norms += [each._self_attention_layernorm, each._feedforward_layernorm]
    rotary = first.rotary_embedding_layer
    turns = array(rotary._get_inverse_freq(size)) / rotary.scaling_factor
    return DecoderWeights(
        tokens=array(embeddings.embeddings),
        positions=None,
        turns=turns.astype("float32"),
        blocks=tuple(map(_llama_block, layers)),
        heads=heads,
        key_heads=first._key_dense.kernel.shape[1],
        activation=activation(layers[0].activation),
        gated=True,
        epsilon=epsilon(norms),
        norm=Scale(array(backbone.layer_norm.scale)),
        logits=None if embeddings.tie_weights else array(embeddings.reverse_embeddings),
        longest=longest,
    )


def _llama_block(layer: Any) -> DecoderBlock:
    attention = layer._self_attention_layer
    return DecoderBlock(
        attend_norm=Scale(array(layer._self_attention_layernorm.scale)),
        project=joined(attention._query_dense, attention._key_dense, attention._value_dense),
        attend=narrowing(attention._output_dense),
        feed_norm=Scale(array(layer._feedforward_layernorm.scale)),
        # KerasHub names them the other way round: its gate is what Llama calls up.
        widen=joined(layer._feedforward_gate_dense, layer._feedforward_intermediate_dense),
        narrow=narrowing(layer._feedforward_output_dense),
    )
