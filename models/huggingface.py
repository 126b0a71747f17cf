"""Encoders of Hugging Face checkpoints as KerasHub models that compute the same numbers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from textmill.errors import UserError, one_of
from textmill.models.checkpoint_config import first_position, longest_row, read_config
from textmill.models.encoder_keys import ENCODER_KEYS, check_encoder
from textmill.models.numerics import Numerics, set_numerics
from textmill.models.preset import Preset
from textmill.models.weight_files import open_weights
from textmill.progress import warn

if TYPE_CHECKING:
    import keras

Array = npt.NDArray[Any]
Hook = Callable[[Array, list[int]], Array]

ENCODER_PREFIXES = ("albert.", "bert.", "deberta.", "distilbert.", "electra.", "roberta.")
# Weights that no classifier reads, by names without a prefix.
BUFFERS = ("embeddings.position_ids", "embeddings.token_type_ids")  # 0, 1, 2 and so on, or 0
# Of heads, which are ours when a training begins; a file whose encoder has a prefix tells them by
# having none.
HEADS = ("classifier.*", "cls.*", "lm_head.*", "pre_classifier.*", "predictions.*", "qa_outputs.*")
UNREAD = {
    "deberta-v2": ("embeddings.position_embeddings.*", "pooler.*"),  # the latter is of its head
    "roberta": ("pooler.*",),  # its classifiers have a dense layer of their own in its place
    "xlm-roberta": ("pooler.*",),
}


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
    kind = preset.config().get("model_type")
    if kind not in ENCODER_KEYS:
        raise UserError(
            f"{preset.name}: no classifier can be made of a {kind} model",
            expected=f"model_type {one_of(ENCODER_KEYS)} in config.json",
            received=repr(kind),
            fix="take another model",
        )
    config = read_config(preset)
    check_encoder(preset, config)
    converter = converter_of(kind)
    given = converter.arguments(config) | {"dropout": dropout, "dtype": precision}
    try:
        backbone: keras.Model = converter.backbone(**given)
    except (ArithmeticError, TypeError, ValueError) as error:
        raise UserError(
            f"{preset.name}: KerasHub has no {kind} model of these sizes",
            expected=f"the sizes of a {kind} model in config.json",
            received=str(error).partition("\n")[0][:200],
            fix="mend config.json, or take another model",
        ) from error
    source = Source(preset)
    converter.convert(backbone, source, config)
    source.check_read(*UNREAD.get(kind, ()), *BUFFERS, *HEADS, part="backbone")
    set_numerics(backbone, _numerics(config))
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
        self._read: set[str] = set()

    def has(self, name: str) -> bool:
        """Returns whether there is a weight of this name, the model's prefix counted."""
        return name in self._weights

    def get_tensor(self, name: str) -> Array:
        """Returns a weight by its name, with or without the model's prefix.

        Raises:
            KeyError: There is none.
        """
        whole = self._names[_bare(name, self._prefixes)]
        self._read.add(whole)
        return self._weights[whole]

    def check_read(
        self, *without_effect: str, part: Literal["backbone", "head", "all"] = "all"
    ) -> None:
        """Raises where there is a weight that nobody read, for it may bear on the numbers.

        Args:
            *without_effect: Which need not be read: names without the model's prefix, with `*` for
                any characters.
            part: Which are looked at: those with the model's prefix, those without, or all. Where
                no weight has it, the file is a backbone's.

        Raises:
            UserError: There is one.
        """
        prefixed = {name for name in self._weights if _bare(name, self._prefixes) != name}
        parts = {"backbone": prefixed or set(self._weights), "all": set(self._weights)}
        parts["head"] = parts["all"] - parts["backbone"]
        for name in sorted(parts[part] - self._read):
            if not any(fnmatchcase(_bare(name, self._prefixes), each) for each in without_effect):
                raise UserError(
                    f"{self._preset.name}: weight {name} has no place in the model that config.json"
                    " describes",
                    expected="weights that our layers have, and no others",
                    received=f"{name}, {list(self._weights[name].shape)}",
                    fix="take another model; or the folder again from where it came, whole",
                )

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
    arguments: Callable[[Mapping[str, Any]], dict[str, Any]] = found.convert_backbone_config
    if kind == "bert":
        return Converter(
            found.backbone_cls,
            lambda config: arguments(config) | {"num_segments": config["type_vocab_size"]},
            found.convert_weights,
        )
    if kind in ("roberta", "xlm-roberta"):
        return Converter(
            found.backbone_cls,
            lambda config: arguments(config) | {"max_sequence_length": longest_row(config)},
            _convert_roberta,
        )
    return Converter(found.backbone_cls, arguments, found.convert_weights)


def _numerics(config: Mapping[str, Any]) -> Numerics:
    if config["model_type"] == "distilbert":  # its norms heed no config
        return Numerics(config["activation"], 1e-12)
    return Numerics(config["hidden_act"], float(config["layer_norm_eps"]))


def _convert_roberta(backbone: Any, source: Source, config: Mapping[str, Any]) -> None:
    import keras

    # KerasHub's own converters begin with the third position, wherever padding is.
    positions, first = (
        backbone.embeddings.position_embedding.position_embeddings,
        first_position(config),
    )
    source.port_weight(backbone.token_embedding.embeddings, "embeddings.word_embeddings.weight")
    source.port_weight(
        positions, "embeddings.position_embeddings.weight", lambda x, shape: x[first:]
    )
    # There is no place for the embedding of its one segment, which every token gets.
    size = (config["type_vocab_size"], positions.shape[-1])
    segments = keras.Variable(np.zeros(size, np.float32))
    source.port_weight(segments, "embeddings.token_type_embeddings.weight")
    positions.assign(positions + segments[0])
    _norm(source, backbone.embeddings_layer_norm, "embeddings.LayerNorm")
    _convert_layers(backbone, source, "query", "key", "value")


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
        "max_sequence_length": _reach(config),  # it is read for distances alone
        "bucket_size": config["position_buckets"],
    }


def _reach(config: Mapping[str, Any]) -> int:
    """Returns up to how far apart tokens may be in DeBERTa for their distance to be told."""
    given = int(config["max_relative_positions"])
    return given if given >= 1 else int(config["max_position_embeddings"])


def _convert_deberta(backbone: Any, source: Source, config: Mapping[str, Any]) -> None:
    source.port_weight(backbone.token_embedding.embeddings, "embeddings.word_embeddings.weight")
    _norm(source, backbone.embeddings_layer_norm, "embeddings.LayerNorm")
    relative = backbone.relative_embeddings
    source.port_weight(relative.rel_embeddings, "encoder.rel_embeddings.weight")
    _norm(source, relative.layer_norm, "encoder.LayerNorm")
    _convert_layers(backbone, source, "query_proj", "key_proj", "value_proj")


def _convert_layers(backbone: Any, source: Source, query: str, key: str, value: str) -> None:
    for i, layer in enumerate(backbone.transformer_layers):
        name, attention = f"encoder.layer.{i}", layer._self_attention_layer
        _dense(source, attention._query_dense, f"{name}.attention.self.{query}")
        _dense(source, attention._key_dense, f"{name}.attention.self.{key}")
        _dense(source, attention._value_dense, f"{name}.attention.self.{value}")
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
