"""Encoders of Hugging Face checkpoints as KerasHub models that compute the same numbers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from textmill.errors import UserError, one_of
from textmill.models.numerics import ACTIVATIONS, Numerics, set_numerics
from textmill.models.preset import Preset
from textmill.models.weight_files import open_weights
from textmill.progress import warn

if TYPE_CHECKING:
    import keras

Array = npt.NDArray[Any]
Hook = Callable[[Array, list[int]], Array]

ENCODER_PREFIXES = ("albert.", "bert.", "deberta.", "distilbert.", "electra.", "roberta.")
ENCODERS = ("albert", "bert", "deberta-v2", "distilbert", "electra", "roberta", "xlm-roberta")


def load_encoder(preset: Preset, *, dropout: float, precision: str = "float32") -> keras.Model:
    """Returns the backbone of a checkpoint, with the activation and the epsilon of its config.

    KerasHub converts the weights of most; ELECTRA and DeBERTa-v3 are converted here.

    Args:
        preset: A Hugging Face model.
        dropout: Share of activations that training drops, 0 to 1.
        precision: Keras's dtype policy.

    Raises:
        UserError: The model is of another kind, its weights are missing or damaged, or do not fit
            what its config says.
    """
    config = preset.config()
    numerics = _numerics(preset, config)
    kind = config.get("model_type")
    if kind not in ENCODERS:
        raise UserError(
            f"{preset.name}: no classifier can be made of a {kind} model",
            expected=f"model_type {one_of(ENCODERS)} in config.json",
            received=repr(kind),
            fix="take another model",
        )
    if kind == "deberta-v2":
        _check_deberta(preset, config)
    converter = converter_of(kind)
    try:
        arguments = converter.arguments(config)
    except KeyError as missing:
        raise UserError(
            f"{preset.name}: config.json does not say {missing}",
            expected=f"the whole config of a {kind} model",
            received=f"one without {missing}",
            fix="take the folder again from where it came",
        ) from missing
    given = arguments | {"dropout": dropout, "dtype": precision}
    backbone: keras.Model = converter.backbone(**given)
    converter.convert(backbone, Source(preset), config)
    set_numerics(backbone, numerics)
    return backbone


class Source:
    """Gives KerasHub's converters the weights, whatever kind of file they are in.

    It stands in for `keras_hub.src.utils.transformers.safetensor_utils.SafetensorLoader`.

    Args:
        preset: A Hugging Face model.
        prefixes: What the names of weights may begin with. A model with a head has those of its
            backbone under one of them, a model without has them bare.
    """

    def __init__(self, preset: Preset, prefixes: Sequence[str] = ENCODER_PREFIXES) -> None:
        self._preset, self._weights, self._prefixes = preset, open_weights(preset), prefixes
        self._names = {_bare(name, prefixes): name for name in self._weights}

    def has(self, name: str) -> bool:
        """Returns whether there is a weight of this name, the model's prefix counted."""
        return name in self._weights

    def get_tensor(self, name: str) -> Array:
        """Returns a weight by its name, with or without the model's prefix.

        Raises:
            KeyError: There is none.
        """
        return self._weights[self._names[_bare(name, self._prefixes)]]

    def port_weight(
        self, keras_variable: keras.Variable, hf_weight_key: str, hook_fn: Hook | None = None
    ) -> None:
        """Sets a variable.

        Args:
            keras_variable: Which.
            hf_weight_key: The name of its value.
            hook_fn: Brings the value into the variable's shape.

        Raises:
            UserError: There is no such weight, or it has another shape.
        """
        try:
            value = self.get_tensor(hf_weight_key)
        except KeyError:
            if _bare(hf_weight_key, self._prefixes).startswith("pooler."):
                # A model for tagging or for masked words has none; training makes one.
                warn(
                    f"{self._preset.name} has no {hf_weight_key}, which only classifiers of texts "
                    "read; it begins with random values"
                )
                return
            raise self._preset.lacks(f"weight {hf_weight_key}") from None
        try:
            fitting = hook_fn(value, list(keras_variable.shape)) if hook_fn else value
        except ValueError:
            fitting = value
        if tuple(fitting.shape) != tuple(keras_variable.shape):
            raise UserError(
                f"{self._preset.name}: weight {hf_weight_key} does not fit config.json",
                expected=f"{np.prod(keras_variable.shape)} values for {keras_variable.path}, "
                f"{list(keras_variable.shape)}",
                received=f"shape {list(value.shape)}",
                fix="take the folder again from where it came, whole",
            )
        keras_variable.assign(fitting)


def _bare(name: str, prefixes: Sequence[str] = ENCODER_PREFIXES) -> str:
    """Returns a weight's name without the prefix that a backbone has in a model with a head.

    Example:
        >>> _bare("roberta.pooler.dense.weight"), _bare("classifier.dense.weight")
        ('pooler.dense.weight', 'classifier.dense.weight')
    """
    prefix = next((p for p in prefixes if name.startswith(p)), "")
    return name.removeprefix(prefix)


@dataclass(frozen=True)
class Converter:
    """How a kind of model becomes KerasHub's.

    Attributes:
        backbone: KerasHub's class.
        arguments: From `config.json` to the arguments of that class.
        convert: Ports every weight of a backbone; given it, a source of weights, and the config.
    """

    backbone: type[keras.Model]
    arguments: Callable[[Mapping[str, Any]], dict[str, Any]]
    convert: Callable[[Any, Any, Mapping[str, Any]], None]


def converter_of(kind: str) -> Converter:
    """Returns the converter of a model type of `ENCODERS`."""
    import keras_hub
    from keras_hub.src.utils.transformers import preset_loader

    if kind == "electra":
        return Converter(keras_hub.models.ElectraBackbone, _electra, _convert_electra)
    if kind == "deberta-v2":
        return Converter(keras_hub.models.DebertaV3Backbone, _deberta, _convert_deberta)
    found = preset_loader.TransformersPresetLoader(None, {"model_type": kind}).converter

    def bert(config: Mapping[str, Any]) -> dict[str, Any]:
        given: dict[str, Any] = found.convert_backbone_config(config)
        return given | {"num_segments": config.get("type_vocab_size", 2)}

    return Converter(
        found.backbone_cls,
        bert if kind == "bert" else found.convert_backbone_config,
        _convert_roberta if kind == "roberta" else found.convert_weights,
    )


def _numerics(preset: Preset, config: Mapping[str, Any]) -> Numerics:
    activation = config.get("hidden_act", config.get("activation", "gelu"))
    positions = config.get("position_embedding_type", "absolute")
    for key, value, known in (
        ("hidden_act", activation, tuple(ACTIVATIONS)),
        ("position_embedding_type", positions, ("absolute",)),
    ):
        if value not in known:
            raise UserError(
                f"{preset.name}: {key} {value!r} is not there in KerasHub's encoders",
                expected=one_of(known),
                received=repr(value),
                fix="take another model",
            )
    return Numerics(activation, float(config.get("layer_norm_eps", 1e-12)))


def _convert_roberta(backbone: Any, source: Source, config: Mapping[str, Any]) -> None:
    from keras_hub.src.utils.transformers import convert_roberta

    convert_roberta.convert_weights(backbone, source, config)
    # RoBERTa has one segment, whose embedding every token gets; KerasHub's model has no place
    # for it, and its converter leaves it out.
    positions = backbone.embeddings.position_embedding.position_embeddings
    segment = source.get_tensor("roberta.embeddings.token_type_embeddings.weight")[0]
    positions.assign(positions + segment)


def _electra(config: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "vocab_size": config["vocab_size"],
        "num_layers": config["num_hidden_layers"],
        "num_heads": config["num_attention_heads"],
        "hidden_dim": config["hidden_size"],
        "embedding_dim": config["embedding_size"],
        "intermediate_dim": config["intermediate_size"],
        "max_sequence_length": config["max_position_embeddings"],
        "num_segments": config.get("type_vocab_size", 2),
    }


def _convert_electra(backbone: Any, source: Source, config: Mapping[str, Any]) -> None:
    from keras_hub.src.utils.transformers import convert_bert

    convert_bert.convert_weights(backbone, source, config)  # its layers have BERT's names
    if config["hidden_size"] != config["embedding_size"]:
        _dense(source, backbone.embeddings_projection, "embeddings_project")


def _deberta(config: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "vocabulary_size": config["vocab_size"],
        "num_layers": config["num_hidden_layers"],
        "num_heads": config["num_attention_heads"],
        "hidden_dim": config["hidden_size"],
        "intermediate_dim": config["intermediate_size"],
        "max_sequence_length": config["max_position_embeddings"],
        "bucket_size": config["position_buckets"],
    }


def _check_deberta(preset: Preset, config: Mapping[str, Any]) -> None:
    """Raises where a model is DeBERTa-v2 and not v3, which KerasHub has."""
    parts = config.get("pos_att_type", [])
    found = {
        "relative_attention": config.get("relative_attention"),
        "share_att_key": config.get("share_att_key"),
        "norm_rel_ebd": config.get("norm_rel_ebd"),
        "position_biased_input": config.get("position_biased_input"),
        "type_vocab_size": config.get("type_vocab_size"),
        "conv_kernel_size": config.get("conv_kernel_size", 0),
        "pos_att_type": sorted(parts.split("|") if isinstance(parts, str) else parts),
    }
    wanted = {
        "relative_attention": True,
        "share_att_key": True,
        "norm_rel_ebd": "layer_norm",
        "position_biased_input": False,
        "type_vocab_size": 0,
        "conv_kernel_size": 0,
        "pos_att_type": ["c2p", "p2c"],
    }
    for key, value in found.items():
        if value != wanted[key]:
            raise UserError(
                f"{preset.name}: it is not DeBERTa-v3",
                expected=f"{key} = {wanted[key]!r} in config.json",
                received=repr(value),
                fix="take a DeBERTa-v3 model, or another kind",
            )


def _convert_deberta(backbone: Any, source: Source, config: Mapping[str, Any]) -> None:
    source.port_weight(backbone.token_embedding.embeddings, "embeddings.word_embeddings.weight")
    _norm(source, backbone.embeddings_layer_norm, "embeddings.LayerNorm")
    relative = backbone.relative_embeddings
    source.port_weight(relative.rel_embeddings, "encoder.rel_embeddings.weight")
    _norm(source, relative.layer_norm, "encoder.LayerNorm")
    for i, layer in enumerate(backbone.transformer_layers):
        name, attention = f"encoder.layer.{i}", layer._self_attention_layer
        _dense(source, attention._query_dense, f"{name}.attention.self.query_proj")
        _dense(source, attention._key_dense, f"{name}.attention.self.key_proj")
        _dense(source, attention._value_dense, f"{name}.attention.self.value_proj")
        _dense(source, attention._output_dense, f"{name}.attention.output.dense")
        _norm(source, layer._self_attention_layer_norm, f"{name}.attention.output.LayerNorm")
        _dense(source, layer._feedforward_intermediate_dense, f"{name}.intermediate.dense")
        _dense(source, layer._feedforward_output_dense, f"{name}.output.dense")
        _norm(source, layer._feedforward_layer_norm, f"{name}.output.LayerNorm")


def _dense(source: Source, layer: Any, name: str) -> None:
    # PyTorch's kernels are [outputs, inputs].
    source.port_weight(layer.kernel, f"{name}.weight", lambda x, shape: x.T.reshape(shape))
    source.port_weight(layer.bias, f"{name}.bias", lambda x, shape: x.reshape(shape))


def _norm(source: Source, layer: Any, name: str) -> None:
    source.port_weight(layer.gamma, f"{name}.weight")
    source.port_weight(layer.beta, f"{name}.bias")
