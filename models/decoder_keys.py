"""What becomes of each key in the config of a checkpoint that writes.

`docs/checkpoints.md` shows these tables. Where a key is without effect, it is so in transformers
5.24 too: in what `modeling_llama.py` and the like compute of a text.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from textmill.errors import UserError, one_of
from textmill.models.checkpoint_config import Keys
from textmill.models.numerics import ACTIVATIONS
from textmill.models.preset import Preset

_TRAINING = "for training"
_TOKENS = "told by the tokenizer, or by how a text is decoded"
_CLASSIFIER = "for classifying texts"
_IDS = ("bos_token_id", "eos_token_id", "pad_token_id")
# Keys that the classes do not know, and that the mask or the cache of transformers heeds yet.
_MASK = {"is_causal": (None, True), "attention_chunk_size": (None,)}
_SIZES = (
    "hidden_size",
    "intermediate_size",
    "max_position_embeddings",
    "num_attention_heads",
    "num_hidden_layers",
    "num_key_value_heads",
    "vocab_size",
)
_ROPE = ("head_dim", "rope_parameters")
_NORM = ("rms_norm_eps",)
_ALONE = {"is_encoder_decoder": (False,), "use_bidirectional_attention": (None, False), **_MASK}
_SILU = {"hidden_act": ("silu", "swish")}
_GATED_GELU = ("gelu_pytorch_tanh", "gelu_new", "gelu_fast")  # one formula, under three names

GPT2 = Keys(
    (
        "layer_norm_epsilon",
        "n_embd",
        "n_head",
        "n_inner",
        "n_layer",
        "n_positions",
        "tie_word_embeddings",
        "vocab_size",
    ),
    {
        **_ALONE,
        "activation_function": tuple(ACTIVATIONS),
        "add_cross_attention": (False,),
        "scale_attn_by_inverse_layer_idx": (False,),
        "scale_attn_weights": (True,),
    },
    {
        _TRAINING: ("attn_pdrop", "embd_pdrop", "resid_pdrop"),
        _TOKENS: _IDS,
        _CLASSIFIER: (
            "classifier_dropout",
            "hidden_dropout",
            "summary_activation",
            "summary_first_dropout",
            "summary_last_dropout",
            "summary_proj_to_labels",
            "summary_type",
            "summary_use_proj",
        ),
        "for float16": ("reorder_and_upcast_attn",),
    },
)
LLAMA = Keys(
    (*_SIZES, *_ROPE, *_NORM, "attention_bias", "layer_types", "mlp_bias", "tie_word_embeddings"),
    {**_ALONE, **_SILU, "sliding_window": (None,)},
    {
        _TRAINING: ("attention_dropout",),
        _TOKENS: _IDS,
        "for tensors in parts": ("pretraining_tp",),
    },
)
MISTRAL = Keys(
    (*_SIZES, *_ROPE, *_NORM, "layer_types", "sliding_window", "tie_word_embeddings"),
    {**_ALONE, **_SILU},
    {_TRAINING: ("attention_dropout",), _TOKENS: _IDS},
)
QWEN2 = Keys(
    (
        *_SIZES,
        *_ROPE,
        *_NORM,
        "layer_types",
        "max_window_layers",
        "sliding_window",
        "tie_word_embeddings",
        "use_sliding_window",
    ),
    {**_ALONE, **_SILU},
    {_TRAINING: ("attention_dropout",), _TOKENS: _IDS},
)
GEMMA = Keys(
    (*_SIZES, *_ROPE, "layer_types", "tie_word_embeddings"),
    {
        **_ALONE,
        "attention_bias": (False,),
        "hidden_act": _GATED_GELU,
        "rms_norm_eps": (1e-6,),
        "sliding_window": (None,),
    },
    {_TRAINING: ("attention_dropout",), _TOKENS: _IDS},
)
GEMMA2 = Keys(
    (
        *_SIZES,
        *_ROPE,
        "attn_logit_softcapping",
        "final_logit_softcapping",
        "layer_types",
        "query_pre_attn_scalar",
        "sliding_window",
        "tie_word_embeddings",
    ),
    {
        **_ALONE,
        "attention_bias": (False,),
        "hidden_activation": _GATED_GELU,
        "rms_norm_eps": (1e-6,),
    },
    {_TRAINING: ("attention_dropout",), _TOKENS: _IDS},
)
BART = Keys(
    (
        "d_model",
        "decoder_attention_heads",
        "decoder_ffn_dim",
        "decoder_layers",
        "encoder_attention_heads",
        "encoder_ffn_dim",
        "encoder_layers",
        "max_position_embeddings",
        "vocab_size",
    ),
    {
        "activation_function": tuple(ACTIVATIONS),
        "is_causal": (None, True),
        "is_decoder": (False,),
        "is_encoder_decoder": (True,),
        "scale_embedding": (False, None),
        "tie_word_embeddings": (True,),
        # Of the first checkpoints, which transformers reads no more.
        "add_final_layer_norm": (False, None),
        "normalize_before": (False, None),
        "normalize_embedding": (True, None),
        "static_position_embeddings": (False, None),
    },
    {
        _TRAINING: (
            "activation_dropout",
            "attention_dropout",
            "decoder_layerdrop",
            "dropout",
            "encoder_layerdrop",
            "init_std",
        ),
        _TOKENS: (*_IDS, "decoder_start_token_id", "forced_eos_token_id"),
        _CLASSIFIER: ("classifier_dropout",),
    },
)
DECODER_KEYS = {
    "gpt2": GPT2,
    "llama": LLAMA,
    "mistral": MISTRAL,
    "qwen2": QWEN2,
    "gemma": GEMMA,
    "gemma2": GEMMA2,
}
# Weights without effect: buffers of older versions of transformers, which are computed anew.
BUFFERS = (
    "*.rotary_emb.inv_freq",
    "h.*.attn.bias",
    "h.*.attn.masked_bias",
    "*coder.version",
)


def check_decoder(preset: Preset, config: Mapping[str, Any]) -> None:
    """Raises where keys together say what KerasHub's layers do not compute.

    Args:
        preset: Whose config it is.
        config: As `read_config` returns it; `check_config` has passed it.

    Raises:
        UserError: They do.
    """
    kind = config["model_type"]
    if kind == "gpt2":
        return
    _check_rope(preset, config)
    whole = config["hidden_size"] // config["num_attention_heads"]
    size = config.get("head_dim") or whole
    if kind in ("llama", "qwen2") and size != whole:
        raise not_computed(preset, "head_dim", size, f"{whole}, hidden_size a head")
    if kind == "gemma2":
        # KerasHub 0.32 has an argument for another one, which its layers do not hand on.
        scalar = config["query_pre_attn_scalar"]
        if scalar != size:
            raise not_computed(preset, "query_pre_attn_scalar", scalar, f"{size}, as head_dim")
    _check_windows(preset, config)


def _check_windows(preset: Preset, config: Mapping[str, Any]) -> None:
    """Raises where a token of some layers does not see all before it, or of Gemma 2 does."""
    kind, found = config["model_type"], config.get("layer_types")
    whole = ["full_attention"] * config["num_hidden_layers"]
    if kind == "gemma2":
        turns = [("sliding_attention", "full_attention")[i % 2] for i in range(len(whole))]
        if found != turns or not config["sliding_window"]:
            raise not_computed(preset, "layer_types", found, "sliding and full attention in turns")
        return
    window = config.get("sliding_window")
    slides = window is not None and window < config["max_position_embeddings"]
    if kind == "qwen2" and found == whole:
        return  # none of the layers has the window
    if slides:
        raise not_computed(preset, "sliding_window", window, "none, or all positions")
    if kind != "mistral" and found not in (None, whole) and window is None:
        raise not_computed(preset, "layer_types", found, "full_attention in all layers")


def _check_rope(preset: Preset, config: Mapping[str, Any]) -> None:
    """Raises where queries and keys are turned otherwise than KerasHub's layers turn them."""
    rope, kind = config["rope_parameters"], config["model_type"]
    turned = rope.get("rope_type")
    known: dict[str, tuple[Any, ...]] = {"rope_type": ("default",)}
    if kind == "llama":
        known["rope_type"] = ("default", "llama3")
    if kind.startswith("gemma"):
        known["rope_theta"] = (10000,)
    if turned != "default":  # else transformers does not heed it either
        known["partial_rotary_factor"] = (1, None)
    for key, values in known.items():
        if rope.get(key) not in values:
            where = f"{key} of rope_parameters, which may be rope_scaling,"
            raise not_computed(preset, where, rope.get(key), one_of(map(repr, values)))


def not_computed(preset: Preset, key: str, value: object, expected: str) -> UserError:
    """Returns an error that names a key whose value no layers of ours compute."""
    return UserError(
        f"{preset.name}: {key} {value!r} is not computed here"[:300],
        expected=expected,
        received=repr(value)[:100],
        fix="take another model",
    )
