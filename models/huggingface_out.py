"""A trained classifier as a Hugging Face folder, which transformers loads."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from textmill.artifact import Model, read_json, write_json
from textmill.errors import UserError, one_of
from textmill.models.checkpoint_config import first_position
from textmill.models.heads import HEADS, TOKEN_HEAD
from textmill.models.huggingface import Hook, converter_of
from textmill.models.numerics import get_numerics

if TYPE_CHECKING:
    import keras

Array = npt.NDArray[Any]

# KerasHub's class -> model type, and what classes of transformers begin with.
_KINDS = {
    "AlbertBackbone": ("albert", "Albert"),
    "BertBackbone": ("bert", "Bert"),
    "DebertaV3Backbone": ("deberta-v2", "DebertaV2"),
    "DistilBertBackbone": ("distilbert", "DistilBert"),
    "ElectraBackbone": ("electra", "Electra"),
    "RobertaBackbone": ("roberta", "Roberta"),
    "XLMRobertaBackbone": ("xlm-roberta", "XLMRoberta"),
}
# What a label is -> `problem_type` in config.json; of spans it says nothing.
_PROBLEMS = {
    "one": "single_label_classification",
    "many": "multi_label_classification",
    "number": "regression",
}
# Special tokens of a tokenizer, by any of the names that they have.
_SPECIAL = {
    "unk_token": ("[UNK]", "<unk>"),
    "cls_token": ("[CLS]", "<s>"),
    "sep_token": ("[SEP]", "</s>"),
    "pad_token": ("[PAD]", "<pad>"),
    "mask_token": ("[MASK]", "<mask>"),
}
TOKENIZER_CLASS = "PreTrainedTokenizerFast"
_PREFIXES = {"deberta-v2": "deberta", "xlm-roberta": "roberta"}


def save_huggingface(classifier: keras.Model, model: Model, folder: Path) -> None:
    """Writes what transformers' `AutoTokenizer` and `AutoModelFor…Classification` load.

    Args:
        classifier: The network of `model`, as its task loads it.
        model: Knows the labels, the tokenizer and the maximum length.
        folder: Where to; made if missing.

    Raises:
        UserError: transformers has no such classifier.
    """
    from safetensors.numpy import save_file
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerFast

    backbone: Any = classifier.backbone
    name = type(backbone).__name__
    if name not in _KINDS:
        raise UserError(
            f"a {name} can't be written for Hugging Face",
            expected=", ".join(_KINDS),
            received=name,
            fix="export it as a SavedModel",
        )
    kind, prefix = _KINDS[name]
    about = model.task()
    spans = about["kind"] == "spans"
    known = Tokenizer.from_file(str(model.tokenizer_file)).get_vocab(with_added_tokens=True)
    special = {
        role: next(token for token in names if token in known)
        for role, names in _SPECIAL.items()
        if not known.keys().isdisjoint(names)
    }
    ids = {role: known[token] for role, token in special.items()}
    if kind in ("roberta", "xlm-roberta") and "pad_token" not in ids:
        raise UserError(
            f"a {name} without padding can't be written for Hugging Face",
            expected=f"a tokenizer with {one_of(_SPECIAL['pad_token'])}, whose id says where "
            "transformers begins to count places",
            received=f"{model.tokenizer_file.name} with {one_of(special.values())}",
            fix="export it as a SavedModel",
        )
    config = _config(kind, backbone, about["labels"] or ["LABEL_0"], ids)
    config.architectures = [f"{prefix}For{'Token' if spans else 'Sequence'}Classification"]
    config.problem_type = _PROBLEMS.get(about["kind"])
    weights = Sink(_PREFIXES.get(kind, kind), first_position(config.to_dict()))
    converter_of(kind).convert(backbone, weights, config.to_dict())
    if spans or kind == "electra":  # transformers has nothing there that pools
        weights.tensors = {n: x for n, x in weights.tensors.items() if ".pooler." not in n}
    for layer_name, theirs in (TOKEN_HEAD if spans else HEADS[kind]).items():
        layer: Any = classifier.get_layer(layer_name)
        weights.tensors[f"{theirs}.weight"] = layer.kernel.numpy().T
        weights.tensors[f"{theirs}.bias"] = layer.bias.numpy()
    folder.mkdir(parents=True, exist_ok=True)
    config.save_pretrained(folder)
    arrays = {key: np.ascontiguousarray(value) for key, value in sorted(weights.tensors.items())}
    save_file(arrays, folder / "model.safetensors", metadata={"format": "pt"})
    segments = ["token_type_ids"] if getattr(config, "type_vocab_size", 0) > 1 else []
    tokenizer = PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_file=str(model.tokenizer_file),
        model_max_length=about["max_length"],
        # What a model's `forward` takes: DistilBERT's knows no segments.
        model_input_names=["input_ids", *segments, "attention_mask"],
        **_prefix_space(model.tokenizer_file),
        **special,
    )
    tokenizer.save_pretrained(folder)
    # transformers 5 writes the name of a class that 4 does not have. This one both have, and with
    # it both take tokenizer.json as it is.
    about_tokenizer = folder / "tokenizer_config.json"
    write_json(about_tokenizer, read_json(about_tokenizer) | {"tokenizer_class": TOKENIZER_CLASS})


def _prefix_space(tokenizer_file: Path) -> dict[str, bool]:
    """Returns what a byte-level tokenizer says of a space in front, where it says it.

    transformers 4 sets it to False where `tokenizer_config.json` is silent.

    Source: `PreTrainedTokenizerFast.__init__` of transformers 4.49, `tokenization_utils_fast.py`.
    """
    parts = read_json(tokenizer_file).get("pre_tokenizer") or {}
    return {key: value for key, value in parts.items() if key == "add_prefix_space"}


class Sink:
    """Takes from a backbone what KerasHub's converters would put into it.

    A converter names a weight and says how to bring it into a variable's shape. What that does to
    the places of its values is found by handing it their numbers, and undone.

    Args:
        prefix: What the encoder's weights begin with in a model that has a head.
        first: The row of the position embeddings that the first token gets.

    Attributes:
        tensors: By their names in PyTorch.
    """

    def __init__(self, prefix: str, first: int) -> None:
        self._prefix, self._first = prefix, first
        self.tensors: dict[str, Array] = {}

    def get_tensor(self, name: str) -> Array:
        """Raises a `KeyError`: converters ask so whether a weight has an older name."""
        raise KeyError(name)

    def port_weight(
        self, keras_variable: keras.Variable, hf_weight_key: str, hook_fn: Hook | None = None
    ) -> None:
        """Takes a variable's value, by the name that it has in PyTorch."""
        value = keras_variable.numpy()
        if hf_weight_key.endswith("bias"):
            value = value.ravel()  # of several heads it is [heads, size] here
        elif hook_fn:
            value = _undo(value, hook_fn, self._first)
        whole = hf_weight_key.removeprefix(f"{self._prefix}.")
        self.tensors[f"{self._prefix}.{whole}"] = value


def _undo(value: Array, hook: Hook, left_out: int = 0) -> Array:
    """Returns what `hook` makes `value` of; of the first `left_out` rows it makes nothing.

    Example:
        >>> _undo(np.array([[1, 2, 3], [4, 5, 6]]), lambda x, shape: x.T)
        array([[1, 4],
               [2, 5],
               [3, 6]])
    """
    shape = value.shape
    inputs = math.prod(shape[:-1]) if math.prod(shape[:-1]) == shape[-1] else shape[0]
    for given in (
        (value.size // inputs, inputs),  # a kernel
        (shape[0] + left_out, shape[-1]),  # RoBERTa's positions
    ):
        places = np.arange(math.prod(given)).reshape(given)
        try:
            moved = hook(places, list(shape))
        except ValueError:
            continue
        if moved.shape == shape:
            found = np.zeros(math.prod(given), value.dtype)
            found[moved.ravel()] = value.ravel()
            return found.reshape(given)
    raise ValueError(f"no weight becomes one of shape {shape}")


def _config(kind: str, backbone: Any, labels: list[str], special: Mapping[str, int]) -> Any:
    """Returns a config of transformers; `special` has the ids of special tokens."""
    from transformers import AutoConfig

    numerics = get_numerics(backbone)
    assert numerics is not None
    named = {"id2label": dict(enumerate(labels)), "label2id": {n: i for i, n in enumerate(labels)}}
    if kind == "distilbert":
        return AutoConfig.for_model(
            kind,
            vocab_size=backbone.vocabulary_size,
            n_layers=backbone.num_layers,
            n_heads=backbone.num_heads,
            dim=backbone.hidden_dim,
            hidden_dim=backbone.intermediate_dim,
            max_position_embeddings=backbone.max_sequence_length,
            activation=numerics.activation,
            **named,
        )
    more: dict[str, Any] = {}
    positions = backbone.max_sequence_length
    if kind in ("roberta", "xlm-roberta"):
        padding = special["pad_token"]
        positions += padding + 1
        more = {
            "type_vocab_size": 1,
            "pad_token_id": padding,
            "bos_token_id": special.get("cls_token"),
            "eos_token_id": special.get("sep_token"),
        }
    elif kind == "deberta-v2":
        more = {
            "relative_attention": True,
            "share_att_key": True,
            "norm_rel_ebd": "layer_norm",
            "position_biased_input": False,
            "type_vocab_size": 0,
            "pos_att_type": ["p2c", "c2p"],
            "position_buckets": backbone.bucket_size,
        }
    else:
        more = {"type_vocab_size": backbone.num_segments}
        if kind != "bert":
            more["embedding_size"] = backbone.embedding_dim
        if kind == "albert":
            more["num_hidden_groups"] = backbone.num_groups
            more["inner_group_num"] = backbone.num_inner_repetitions
    return AutoConfig.for_model(
        kind,
        vocab_size=backbone.vocab_size if kind == "electra" else backbone.vocabulary_size,
        num_hidden_layers=backbone.num_layers,
        num_attention_heads=backbone.num_heads,
        hidden_size=backbone.hidden_dim,
        intermediate_size=backbone.intermediate_dim,
        max_position_embeddings=positions,
        hidden_act=numerics.activation,
        layer_norm_eps=numerics.layer_norm_epsilon,
        **more,
        **named,
    )
