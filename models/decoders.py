"""Backbones of causal language models: new ones, and those of checkpoints with the same numbers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from textmill.errors import UserError, one_of
from textmill.models.causal_lm import task_class
from textmill.models.checkpoint import load_backbone
from textmill.models.huggingface import Source
from textmill.models.numerics import ACTIVATIONS, Numerics, set_numerics
from textmill.models.preset import Preset, Scratch
from textmill.models.quick_decoder import QUICK

if TYPE_CHECKING:
    import keras

SCRATCH_POSITIONS = 1024  # of a new model, as GPT-2 has
GPT2_DEVIATION = 0.02  # of KerasHub's new kernels, as of GPT-2's own
PAIR_ENDS = ("ForConditionalGeneration", "Seq2SeqLM")  # of architectures with an encoder
# Before the names of a backbone's weights, in a model with a head: of GPT-2, and of all others.
PREFIXES = ("transformer.", "model.")
# What KerasHub's layers have once and for all -> the one value that it may have in `config.json`.
_FIXED: dict[str, dict[str, tuple[Any, ...]]] = {
    "gpt2": {
        "scale_attn_weights": (True, None),
        "scale_attn_by_inverse_layer_idx": (False, None),
        "reorder_and_upcast_attn": (False, None),
        "add_cross_attention": (False, None),
    },
    "gemma": {"rms_norm_eps": (1e-6, None)},
    "gemma2": {"rms_norm_eps": (1e-6, None)},
    "llama": {
        "hidden_act": ("silu", None),
        "attention_bias": (False, None),
        "mlp_bias": (False, None),
    },
    "mistral": {"hidden_act": ("silu", None), "tie_word_embeddings": (False, None)},
    "qwen2": {"hidden_act": ("silu", None)},
}


def load_decoder(
    preset: Preset | Scratch, *, vocabulary_size: int, dropout: float, precision: str = "float32"
) -> keras.Model:
    """Returns the decoder of a preset, or a new one of GPT-2's kind with random weights.

    Args:
        preset: What to load.
        vocabulary_size: Tokens of a new model; a preset has its own.
        dropout: Share of activations that training drops, 0 to 1.
        precision: Keras's dtype policy: what it computes in; its weights stay float32.

    Raises:
        UserError: The weights are missing, damaged, of a kind that KerasHub can't convert, or of
            a model that is no causal language model.
    """
    if isinstance(preset, Scratch):
        return _new(preset, vocabulary_size, dropout, precision)
    if preset.from_keras:
        backbone = load_backbone(preset, vocabulary_size=0, dropout=dropout, precision=precision)
    else:
        backbone = _converted(preset, dropout, precision)
    task_class(backbone, preset.name)
    _tell_ties(backbone)
    return backbone


def _tell_ties(backbone: Any) -> None:
    """Makes a config say whether the last layer is the embeddings; KerasHub's of Llama forgets."""
    known = backbone.get_config()
    tied = getattr(backbone, "tie_word_embeddings", None)
    if tied is not None and "tie_word_embeddings" not in known:
        backbone.get_config = lambda: {**known, "tie_word_embeddings": tied}


def packs(preset: Preset | Scratch) -> bool:
    """Returns whether documents may share rows: `quick_decoder.packed_decoder` knows the model."""
    if isinstance(preset, Scratch):
        return True
    config = preset.config()
    kind = str(config.get("registered_name", "")).split(">")[-1]
    return kind in QUICK or config.get("model_type") in ("gpt2", "llama", "mistral", "qwen2")


def writes(preset: Preset) -> bool:
    """Says whether a checkpoint is a model that writes, as its files tell."""
    if preset.gguf:
        return True
    ours = preset.read("textmill/task.json") if preset.local else None
    if ours is not None:
        return ours["task"] in ("text_generation", "seq2seq")
    ends = ("ForCausalLM", "LMHeadModel", "CausalLM", *PAIR_ENDS)
    return any(kind.endswith(ends) for kind in _architectures(preset))


def reads_and_writes(preset: Preset) -> bool:
    """Says whether a checkpoint that writes has an encoder."""
    return not preset.gguf and any(kind.endswith(PAIR_ENDS) for kind in _architectures(preset))


def _architectures(preset: Preset) -> list[str]:
    named = str((preset.read("task.json") or {}).get("registered_name", ""))
    return [*map(str, preset.config().get("architectures") or []), named.split(">")[-1]]


def positions(preset: Preset | Scratch) -> int:
    """Returns the longest row in tokens that a model can read and write."""
    if isinstance(preset, Scratch):
        return SCRATCH_POSITIONS
    config = preset.config()
    inner = config.get("config", {})
    found = [config.get(k) for k in ("max_position_embeddings", "n_positions")]
    found.append(inner.get("max_sequence_length"))
    # Where places are angles, KerasHub's config names no longest row: any will do.
    return next((int(n) for n in found if n), 1 << 20)


def _new(scratch: Scratch, vocabulary_size: int, dropout: float, precision: str) -> keras.Model:
    import keras_hub

    size = {**scratch.dimensions(), "max_sequence_length": SCRATCH_POSITIONS}
    made: keras.Model = keras_hub.models.GPT2Backbone(
        **size, vocabulary_size=vocabulary_size, dropout=dropout, dtype=precision
    )
    # What the layers add to a token grows with their number; GPT-2 makes each smaller (section 2.3
    # of its paper).
    share = (2 * size["num_layers"]) ** -0.5
    for layer in made.transformer_layers:
        for last in (layer._self_attention_layer._output_dense, layer._feedforward_output_dense):
            last.kernel.assign(last.kernel * share)
    return made


def _converted(preset: Preset, dropout: float, precision: str) -> keras.Model:
    from keras_hub.src.utils.transformers import convert_llama3
    from keras_hub.src.utils.transformers.preset_loader import TransformersPresetLoader

    config = preset.config()
    kind = str(config["model_type"])
    _check(preset, kind, config)
    try:
        converter = TransformersPresetLoader(None, {"model_type": kind}).converter
    except ValueError as error:
        raise _unknown(preset, kind) from error
    known = dict(_of_today(kind, config))
    try:
        arguments = converter.convert_backbone_config(known)
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(
            f"{preset.name}: config.json does not suit a {kind} model",
            expected=f"the whole config of a {kind} model that KerasHub can convert",
            received=f"{type(error).__name__}: {error}"[:200],
            fix="take the folder again from where it came, or another model",
        ) from error
    arguments.pop("use_sliding_window", None)  # KerasHub's class knows it by another name
    if "rms_norm_eps" in config:  # of Llama, KerasHub takes 1e-6 for every model
        arguments["layer_norm_epsilon"] = config["rms_norm_eps"]
    given = {**arguments, "dropout": dropout, "dtype": precision}
    backbone: keras.Model = converter.backbone_cls(**given)
    convert = converter.convert_weights
    if kind == "mistral":
        # KerasHub's converter rounds Mistral's weights to float16. Its layers are named as Llama's.
        backbone.tie_word_embeddings = False
        convert = convert_llama3.convert_weights
    convert(backbone, Source(preset, PREFIXES), known)
    if kind == "gpt2":
        activation = config.get("activation_function", "gelu_new")
        set_numerics(backbone, Numerics(activation, float(config.get("layer_norm_epsilon", 1e-5))))
    return backbone


def _of_today(kind: str, config: Mapping[str, Any]) -> Mapping[str, Any]:
    """Returns a config with the keys that KerasHub's converters read, whoever wrote it."""
    found = dict(config)
    rope = config.get("rope_parameters") or {}
    # Since its fifth version transformers writes what turns queries and keys under one key.
    if rope.get("rope_type", "default") != "default":
        found["rope_scaling"] = rope
    scaling = found.get("rope_scaling")
    if scaling is not None:
        found["rope_scaling"] = {"rope_type": scaling.get("type"), **scaling}
    if kind == "gpt2":
        found.setdefault("resid_pdrop", 0.1)
    else:
        found.setdefault("rope_theta", rope.get("rope_theta", 10000.0))
        found.setdefault("num_key_value_heads", found.get("num_attention_heads"))
        found.setdefault("tie_word_embeddings", kind in ("gemma", "gemma2"))
    if kind == "qwen2":
        found.setdefault("use_sliding_window", False)
        found.setdefault("sliding_window", None)
    return found


def _check(preset: Preset, kind: str, config: Mapping[str, Any]) -> None:
    """Raises where a config says what KerasHub's layers do not have."""
    for key, known in _FIXED.get(kind, {}).items():
        if config.get(key) not in known:
            raise _strange(preset, key, str(known[0]), config.get(key))
    if kind == "gpt2":
        activation = config.get("activation_function", "gelu_new")
        if activation not in ACTIVATIONS:
            raise _strange(preset, "activation_function", one_of(ACTIVATIONS), activation)
        inner = config.get("n_inner")
        if inner not in (None, 4 * int(config.get("n_embd", 0))):
            raise _strange(preset, "n_inner", "four times n_embd", inner)
    if kind in ("llama", "qwen2") and config.get("head_dim"):
        size = config.get("hidden_size", 0) // config.get("num_attention_heads", 1)
        if config["head_dim"] != size:
            raise _strange(preset, "head_dim", str(size), config["head_dim"])
    rope = config.get("rope_parameters") or config.get("rope_scaling") or {}
    turned = rope.get("rope_type", rope.get("type", "default"))
    usable = ("default", "llama3") if kind == "llama" else ("default",)
    if kind in _FIXED and turned not in usable:
        raise _strange(preset, "rope_type", one_of(usable), turned)
    if kind in ("qwen2", "mistral"):
        window, longest = config.get("sliding_window"), config.get("max_position_embeddings")
        used = config.get("use_sliding_window", kind == "mistral")
        if used and window and longest and window < longest:
            raise _strange(preset, "sliding_window", "none", window)


def _strange(preset: Preset, key: str, expected: str, received: object) -> UserError:
    return UserError(
        f"{preset.name}: {key} {received!r} is not there in KerasHub's decoder",
        expected=expected,
        received=repr(received),
        fix="take another model",
    )


def _unknown(preset: Preset, kind: str) -> UserError:
    return UserError(
        f"{preset.name}: KerasHub has no causal language model for {kind}",
        expected=f"model_type {one_of(['gpt2', 'llama', 'qwen2', 'mistral', 'gemma'])} or the like",
        received=repr(kind),
        fix="take another model",
    )
