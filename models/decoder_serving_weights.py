"""The weights of a trained causal decoder as arrays, for the graph that serves it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from textmill.decoder_weights import DecoderBlock, DecoderWeights, Linear, Scale
from textmill.errors import UserError
from textmill.models.layer_weights import activation, array, epsilon, joined, narrowing, scale
from textmill.models.preset import Preset, Scratch

if TYPE_CHECKING:
    import keras

SERVED = "GPT-2, OPT, Llama, Llama 3, Mistral, Qwen 2 or the first Gemma"


# As `config.json` names them: of transformers, and the classes of KerasHub.
KINDS = ("gpt2", "opt", "llama", "mistral", "qwen2", "gemma")
_OURS = ("UntiedGPT2", "BiasedLlama")
CLASSES = tuple(
    f"{name}Backbone"
    for name in ("GPT2", "OPT", "Llama", "Llama3", "Mistral", "Qwen", "Gemma", *_OURS)
)


def check_served(preset: Preset | Scratch) -> None:
    """Refuses a model that could be trained and not served, before it is trained.

    Raises:
        UserError: It is of a kind that `decoder_serving_weights` does not know.
    """
    if isinstance(preset, Scratch):
        return
    config = preset.config()
    kind = str(config.get("model_type") or config.get("registered_name", "").split(">")[-1])
    if kind not in (*KINDS, *CLASSES):
        raise UserError(
            f"{preset.name}: a model of this kind can't be served yet",
            expected=SERVED,
            received=kind,
            fix="take one of these; or remove [push], to train and measure it",
        )


def decoder_serving_weights(backbone: keras.Model, *, longest: int) -> DecoderWeights:
    """Returns the weights of a KerasHub decoder.

    Args:
        backbone: Of GPT-2's or Llama's kind, computing in float32.
        longest: Tokens that a row may have; of a model with positions, as many as it has at most.

    Raises:
        UserError: It is of another kind.
    """
    import keras_hub

    from textmill.models.more_weights import BiasedLlamaBackbone, UntiedGPT2Backbone

    hub: Any = keras_hub.models
    llamas = (hub.LlamaBackbone, hub.Llama3Backbone, hub.MistralBackbone, hub.QwenBackbone)
    # A subclass may compute otherwise, so that only these very classes are known.
    if type(backbone) in (hub.GPT2Backbone, UntiedGPT2Backbone):
        return _gpt2(backbone, backbone.position_embedding, longest)
    if type(backbone) is hub.OPTBackbone:
        return _gpt2(backbone, backbone.embeddings.position_embedding, longest)
    if type(backbone) is hub.GemmaBackbone and not _is_gemma2(backbone):
        return _gemma(backbone, longest)
    if type(backbone) in (*llamas, BiasedLlamaBackbone) and not _slides(backbone, longest):
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


def _is_gemma2(backbone: Any) -> bool:
    """Says whether a model caps logits, norms what parts add, or hides tokens that are far off."""
    caps = (backbone.attention_logit_soft_cap, backbone.final_logit_soft_cap)
    norms = (backbone.use_post_ffw_norm, backbone.use_post_attention_norm)
    return any(caps) or any(norms) or bool(backbone.use_sliding_window_attention)


def _gpt2(backbone: Any, places: Any, longest: int) -> DecoderWeights:
    layers = backbone.transformer_layers
    positions = array(places.position_embeddings)[:longest]
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
        logits=_own_logits(backbone.token_embedding),
        longest=len(positions),
    )


def _own_logits(embeddings: Any) -> Any:
    """Returns the kernel of the last layer; None: it is the embeddings."""
    return None if embeddings.tie_weights else array(embeddings.reverse_embeddings)


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
        logits=_own_logits(embeddings),
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


def _gemma(backbone: Any, longest: int) -> DecoderWeights:
    import numpy as np

    layers, attention = backbone.transformer_layers, backbone.transformer_layers[0].attention
    norms = [backbone.layer_norm]
    for each in layers:
        norms += [each.pre_attention_norm, each.pre_ffw_norm]
    rotary = attention.rope_layer
    turns = array(rotary._get_inverse_freq(attention.head_dim)) / rotary.scaling_factor
    return DecoderWeights(
        tokens=array(backbone.token_embedding.embeddings),
        positions=None,
        turns=turns.astype("float32"),
        blocks=tuple(map(_gemma_block, layers)),
        heads=attention.num_query_heads,
        key_heads=attention.num_key_value_heads,
        activation="gelu_new",
        gated=True,
        epsilon=epsilon(norms),
        norm=_gemma_scale(backbone.layer_norm),
        logits=None,
        longest=longest,
        by=float(np.sqrt(backbone.hidden_dim)),
    )


def _gemma_block(layer: Any) -> DecoderBlock:
    import numpy as np

    attention = layer.attention
    # [heads, width, size] each. Gemma's heads have the numbers of a pair side by side where ours
    # have them half a head apart: queries and keys both, so that their products are the same.
    parts = (attention.query_dense, attention.key_dense, attention.value_dense)
    kernels = [np.concatenate(list(array(each.kernel)), -1) for each in parts]
    return DecoderBlock(
        attend_norm=_gemma_scale(layer.pre_attention_norm),
        project=Linear(np.concatenate(kernels, -1)),
        attend=narrowing(attention.output_dense),
        feed_norm=_gemma_scale(layer.pre_ffw_norm),
        widen=joined(layer.gating_ffw, layer.gating_ffw_2),
        narrow=narrowing(layer.ffw_linear),
    )


def _gemma_scale(norm: Any) -> Scale:
    return Scale(1 + array(norm.scale))
