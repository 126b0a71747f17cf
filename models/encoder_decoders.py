"""Encoder-decoders: new ones, and those of checkpoints with the same numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from textmill.errors import UserError
from textmill.models.checkpoint import load_backbone
from textmill.models.checkpoint_config import check_config, read_config
from textmill.models.decoder_keys import BART, BUFFERS, not_computed
from textmill.models.huggingface import Source
from textmill.models.numerics import Numerics, set_numerics
from textmill.models.preset import Preset, Scratch

if TYPE_CHECKING:
    import keras

BART_EPSILON = 1e-5
BIAS = "final_logits_bias"
# What is one with `shared.weight`; a file may have them all.
_SHARED = ("lm_head.weight", "encoder.embed_tokens.weight", "decoder.embed_tokens.weight")


def load_encoder_decoder(
    preset: Preset | Scratch, *, vocabulary_size: int, dropout: float, precision: str = "float32"
) -> keras.Model:
    """Returns the encoder-decoder of a preset, or a new one with random weights.

    Args:
        preset: What to load.
        vocabulary_size: Tokens of a new model; a preset has its own.
        dropout: Share of activations that training drops, 0 to 1.
        precision: Keras's dtype policy: what it computes in; its weights stay float32.

    Raises:
        UserError: The weights are missing, damaged, or of another kind of model.
    """
    import keras_hub

    from textmill.models.encoder_decoder import EncoderDecoderBackbone

    if isinstance(preset, Scratch):
        size = preset.dimensions()
        del size["max_sequence_length"]
        return EncoderDecoderBackbone(vocabulary_size, **size, dropout=dropout, dtype=precision)
    check_encoder_decoder(preset)
    if preset.from_keras:
        backbone = load_backbone(preset, vocabulary_size=0, dropout=dropout, precision=precision)
    else:
        backbone = _bart(preset, dropout, precision)
    known = (EncoderDecoderBackbone, keras_hub.models.BartBackbone)
    if not isinstance(backbone, known):
        raise _unknown(preset, type(backbone).__name__)
    return backbone


def check_encoder_decoder(preset: Preset) -> None:
    """Raises a `UserError` where a preset's config is of another kind of model."""
    config = preset.config()
    if preset.from_keras:
        kind = str(config.get("registered_name", "")).split(">")[-1]
        if kind not in ("BartBackbone", "EncoderDecoderBackbone"):
            raise _unknown(preset, kind)
        return
    kind = str(config.get("model_type"))
    if kind != "bart":
        raise _unknown(preset, kind)
    config = read_config(preset)
    check_config(preset, config, BART)
    for key in ("layers", "attention_heads", "ffn_dim"):
        ours, theirs = (config[f"{side}_{key}"] for side in ("encoder", "decoder"))
        if ours != theirs:
            both = f"encoder_{key} and decoder_{key}"
            raise not_computed(preset, both, (ours, theirs), "equal ones")


def longest(preset: Preset | Scratch) -> int | None:
    """Returns the tokens that a text may have; None: any number, where places are sines."""
    if isinstance(preset, Scratch):
        return None
    config = preset.config() if preset.from_keras else read_config(preset)
    found = config.get("config", {}).get("max_sequence_length") or config.get(
        "max_position_embeddings"
    )
    return None if found is None else int(found)


def _bart(preset: Preset, dropout: float, precision: str) -> keras.Model:
    from keras_hub.src.utils.transformers import convert_bart

    config = read_config(preset)
    known = {**config, "num_hidden_layers": config["encoder_layers"], "dropout": dropout}
    arguments = convert_bart.convert_backbone_config(known)
    backbone: keras.Model = convert_bart.backbone_cls(**arguments, dtype=precision)
    source = Source(preset, ("model.",))
    if source.has(BIAS) and np.any(source.get_tensor(BIAS)):
        raise UserError(
            f"{preset.name}: its logits have a bias, which KerasHub's BART has not",
            expected=f"{BIAS} of 0 everywhere",
            received=f"{BIAS} up to {np.abs(source.get_tensor(BIAS)).max():g}",
            fix="take another model",
        )
    convert_bart.convert_weights(backbone, source, known)
    _check_shared(preset, source)
    source.check_read(*BUFFERS)
    set_numerics(backbone, Numerics(config["activation_function"], BART_EPSILON))
    return backbone


def _check_shared(preset: Preset, source: Source) -> None:
    """Raises where tables that are one in KerasHub's BART differ: transformers then has several."""
    for name in _SHARED:
        if source.has(name) or source.has(f"model.{name}"):
            found, shared = source.get_tensor(name), source.get_tensor("shared.weight")
            if not np.array_equal(found, shared):
                raise UserError(
                    f"{preset.name}: weight {name} is not shared.weight, as in KerasHub's BART",
                    expected="one table for what is read and what is written",
                    received=f"others, which differ by up to {_apart(found, shared)}",
                    fix="take another model",
                )


def _apart(one: Any, other: Any) -> str:
    same = one.shape == other.shape
    return f"{np.abs(one - other).max():g}" if same else f"their shapes, {one.shape}"


def _unknown(preset: Preset, kind: str) -> UserError:
    t5 = " T5 comes with a SentencePiece tokenizer, for which there is no graph that writes."
    return UserError(
        f"{preset.name}: {kind} is no encoder-decoder that can be trained here."
        + t5 * ("t5" in kind.lower()),
        expected='a BART model with its byte-level BPE (model_type "bart"), KerasHub\'s BART, or a '
        "model of this pipeline",
        received=repr(kind),
        fix='take a BART model, or model.scratch = "mini" for a new one',
    )
