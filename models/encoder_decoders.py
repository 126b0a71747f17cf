"""Encoder-decoders: new ones, and those of checkpoints with the same numbers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from textmill.errors import UserError, one_of
from textmill.models.checkpoint import load_backbone
from textmill.models.huggingface import Source
from textmill.models.numerics import ACTIVATIONS, Numerics, set_numerics
from textmill.models.preset import Preset, Scratch

if TYPE_CHECKING:
    import keras

BART_EPSILON = 1e-5
BIAS = "final_logits_bias"
# What KerasHub's BART has once and for all -> the values that it may have in `config.json`.
_FIXED: dict[str, tuple[Any, ...]] = {
    "scale_embedding": (False, None),
    "normalize_before": (False, None),
    "add_final_layer_norm": (False, None),
    "normalize_embedding": (True, None),
    "static_position_embeddings": (False, None),
    "tie_word_embeddings": (True, None),
}


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
    for key, known in _FIXED.items():
        if config.get(key) not in known:
            raise _strange(preset, key, str(known[0]), config.get(key))
    for key in ("layers", "attention_heads", "ffn_dim"):
        sides = [config.get(f"{side}_{key}") for side in ("encoder", "decoder")]
        if sides[0] != sides[1]:
            raise _strange(preset, f"decoder_{key}", f"{sides[0]}, as of the encoder", sides[1])
    activation = config.get("activation_function", "gelu")
    if activation not in ACTIVATIONS:
        raise _strange(preset, "activation_function", one_of(ACTIVATIONS), activation)


def longest(preset: Preset | Scratch) -> int | None:
    """Returns the tokens that a text may have; None: any number, where places are sines."""
    if isinstance(preset, Scratch):
        return None
    config = preset.config()
    found = config.get("config", {}).get("max_sequence_length") or config.get(
        "max_position_embeddings"
    )
    return None if found is None else int(found)


def _bart(preset: Preset, dropout: float, precision: str) -> keras.Model:
    from keras_hub.src.utils.transformers import convert_bart

    config: Mapping[str, Any] = preset.config()
    layers = config.get("num_hidden_layers") or config.get("encoder_layers")
    known = {**config, "num_hidden_layers": layers, "dropout": dropout}
    try:
        arguments = convert_bart.convert_backbone_config(known)
    except KeyError as missing:
        raise UserError(
            f"{preset.name}: config.json does not say {missing}",
            expected="the whole config of a bart model",
            received=f"one without {missing}",
            fix="take the folder again from where it came",
        ) from missing
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
    activation = config.get("activation_function", "gelu")
    set_numerics(backbone, Numerics(activation, BART_EPSILON))
    return backbone


def _strange(preset: Preset, key: str, expected: str, received: object) -> UserError:
    return UserError(
        f"{preset.name}: {key} {received!r} is not there in KerasHub's BART",
        expected=expected,
        received=repr(received),
        fix="take another model",
    )


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
