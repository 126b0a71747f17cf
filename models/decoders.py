"""Backbones of causal language models: new ones, and those of checkpoints with the same numbers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from textmill.errors import UserError, one_of
from textmill.models.causal_lm import task_class
from textmill.models.checkpoint import load_backbone
from textmill.models.checkpoint_config import check_config, read_config
from textmill.models.decoder_keys import BUFFERS, DECODER_KEYS, check_decoder
from textmill.models.huggingface import Source
from textmill.models.numerics import Numerics, set_numerics
from textmill.models.preset import Preset, Scratch
from textmill.models.quick_decoder import QUICK

if TYPE_CHECKING:
    import keras

SCRATCH_POSITIONS = 1024  # of a new model, as GPT-2 has
GPT2_DEVIATION = 0.02  # of KerasHub's new kernels, as of GPT-2's own
PAIR_ENDS = ("ForConditionalGeneration", "Seq2SeqLM")  # of architectures with an encoder
# Before the names of a backbone's weights, in a model with a head: of GPT-2, and of all others.
PREFIXES = ("transformer.", "model.")
HEAD = "lm_head.weight"
# KerasHub's -> whether the last layer may be the embeddings, or another.
_TIES = {"gemma": (True,), "gemma2": (True,), "mistral": (False,)}


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
        from textmill.models import more_weights  # noqa: F401 - it registers what the files name

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
    config = preset.config() if preset.from_keras else read_config(preset)
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

    kind = str(preset.config().get("model_type"))
    if kind not in DECODER_KEYS:
        raise _unknown(preset, kind)
    config = read_config(preset)
    check_config(preset, config, DECODER_KEYS[kind])
    check_decoder(preset, config)
    source = Source(preset, PREFIXES)
    tied = _tied(preset, source, config)
    converter = TransformersPresetLoader(None, {"model_type": kind}).converter
    known = _for_keras_hub(config, tied)
    made, more = _class_of(config, tied) or (converter.backbone_cls, {})
    try:
        arguments = {**converter.convert_backbone_config(known), **more}
        arguments.pop("use_sliding_window", None)  # KerasHub's class knows it by another name
        if kind == "gpt2" and config["n_inner"] is not None:
            arguments["intermediate_dim"] = config["n_inner"]
        if "rms_norm_eps" in config:  # of Llama, KerasHub takes 1e-6 for every model
            arguments["layer_norm_epsilon"] = config["rms_norm_eps"]
        backbone: keras.Model = made(**{**arguments, "dropout": dropout, "dtype": precision})
    except (KeyError, TypeError, ValueError, ZeroDivisionError) as error:
        raise UserError(
            f"{preset.name}: config.json does not suit a {kind} model",
            expected=f"the whole config of a {kind} model that KerasHub can convert",
            received=f"{type(error).__name__}: {error}"[:200],
            fix="take the folder again from where it came, or another model",
        ) from error
    convert = converter.convert_weights
    if kind == "mistral":
        # KerasHub's converter rounds Mistral's weights to float16. Its layers are named as Llama's.
        backbone.tie_word_embeddings = False
        convert = convert_llama3.convert_weights
    convert(backbone, source, known)
    _port_more(backbone, source)
    source.check_read(*BUFFERS)
    if kind == "gpt2":
        numerics = Numerics(config["activation_function"], float(config["layer_norm_epsilon"]))
        set_numerics(backbone, numerics)
    return backbone


def _tied(preset: Preset, source: Source, config: Mapping[str, Any]) -> bool:
    """Returns whether the last layer of a model is its embeddings.

    Of a file that has both, transformers takes them for one only if they are equal, whatever its
    config says.
    """
    tied = bool(config["tie_word_embeddings"])
    if tied and source.has(HEAD):
        embedded = "wte.weight" if config["model_type"] == "gpt2" else "model.embed_tokens.weight"
        tied = np.array_equal(source.get_tensor(HEAD), source.get_tensor(embedded))
    usable = _TIES.get(config["model_type"], (False, True))
    if tied not in usable:
        last = "that is the embeddings" if tied else "of its own"
        raise UserError(
            f"{preset.name}: a last layer {last} is not computed here",
            expected=f"tie_word_embeddings {usable[0]}, of a {config['model_type']} model",
            received=f"{config['tie_word_embeddings']}, and {HEAD} is "
            + ("there" if source.has(HEAD) else "not there"),
            fix="take another model",
        )
    return tied


def _class_of(config: Mapping[str, Any], tied: bool) -> tuple[Any, dict[str, Any]] | None:
    """Returns a class of ours, and what it is given beside, where KerasHub's lacks weights."""
    from textmill.models.more_weights import BiasedLlamaBackbone, UntiedGPT2Backbone

    if config["model_type"] == "gpt2" and not tied:
        return UntiedGPT2Backbone, {}
    biases = {key: config.get(key, False) for key in ("attention_bias", "mlp_bias")}
    if config["model_type"] == "llama" and any(biases.values()):
        return BiasedLlamaBackbone, biases
    return None


def _port_more(backbone: Any, source: Source) -> None:
    """Sets the weights that KerasHub's classes lack."""
    from textmill.models.more_weights import BiasedLlamaBackbone, UntiedGPT2Backbone

    if isinstance(backbone, UntiedGPT2Backbone):
        kernel = backbone.token_embedding.reverse_embeddings
        source.port_weight(kernel, HEAD, lambda x, _: x.T)
    if isinstance(backbone, BiasedLlamaBackbone):
        for name, bias in backbone.biases():
            source.port_weight(bias, name, lambda x, shape: x.reshape(shape))


def _for_keras_hub(config: Mapping[str, Any], tied: bool) -> dict[str, Any]:
    """Returns a config with the keys that KerasHub's converters read."""
    rope = config.get("rope_parameters") or {}
    scaled = rope if rope.get("rope_type", "default") != "default" else None
    return {**config, "rope_scaling": scaled, "tie_word_embeddings": tied}


def _unknown(preset: Preset, kind: str) -> UserError:
    return UserError(
        f"{preset.name}: no causal language model can be made of a {kind} model",
        expected=f"model_type {one_of(DECODER_KEYS)} in config.json",
        received=repr(kind),
        fix="take another model",
    )
