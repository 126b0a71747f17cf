"""The head of a checkpoint, which KerasHub leaves behind, what it is for, and its label names."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from textmill.errors import UserError, one_of
from textmill.models import (
    multi_label_classification,
    text_classification,
    text_regression,
    token_classification,
)
from textmill.models.huggingface import Array, Hook, Source
from textmill.models.preset import Preset
from textmill.models.task import Task

if TYPE_CHECKING:
    import keras

# Model type in `config.json` -> Dense layer of KerasHub's classifier -> its name in PyTorch.
HEADS = {
    "albert": {"logits": "classifier"},
    "bert": {"logits": "classifier"},
    "deberta-v2": {"pooled_dense": "pooler.dense", "logits": "classifier"},
    "distilbert": {"pooled_dense": "pre_classifier", "logits": "classifier"},
    "electra": {"pooled_dense": "classifier.dense", "logits": "classifier.out_proj"},
    "roberta": {"pooled_dense": "classifier.dense", "logits": "classifier.out_proj"},
    "xlm-roberta": {"pooled_dense": "classifier.dense", "logits": "classifier.out_proj"},
}
# What a classifier of texts reads, and the encoder's files of other models lack.
POOLERS = {"albert": ("pooler",), "bert": ("pooler.dense",)}
TOKEN_HEAD = {"logits": "classifier"}  # of all kinds, where each token has logits
# What a file may have beside them, for what it did before: masked words, and the rest of what
# encoders are trained for first.
OTHER_HEADS = (
    "cls.*",
    "discriminator_predictions.*",
    "generator_lm_head.*",
    "generator_predictions.*",
    "lm_head.*",
    "lm_predictions.*",
    "mask_predictions.*",
    "pooler.*",
    "predictions.*",
    "qa_outputs.*",
    "sop_classifier.*",
    "vocab_*",
)


def task_of(preset: Preset) -> Task:
    """Returns the task that a checkpoint has a head for.

    Raises:
        UserError: It has no head, or one for something else.

    Source: `problem_type` in https://huggingface.co/docs/transformers/main_classes/configuration.
    """
    config = preset.config()
    architecture = (config.get("architectures") or ["nothing"])[0]
    if architecture.endswith("ForTokenClassification"):
        return token_classification
    if not architecture.endswith("ForSequenceClassification"):
        raise UserError(
            f"{preset.name} has no head for a task of ours",
            expected="a model such as BertForSequenceClassification or BertForTokenClassification",
            received=architecture,
            fix="train it first: textmill run, with this folder as model.preset",
        )
    # Left out, transformers takes one logit for a number.
    default = "regression" if len(_names(config)) == 1 else "single_label_classification"
    problem = config.get("problem_type") or default
    if problem not in _PROBLEMS:
        raise UserError(
            f"{preset.name}: its head is for a problem that nobody knows",
            expected=f"problem_type {one_of(_PROBLEMS)}",
            received=repr(problem),
            fix="mend problem_type in config.json",
        )
    return _PROBLEMS[problem]


_PROBLEMS: dict[str, Task] = {
    "single_label_classification": text_classification,
    "multi_label_classification": multi_label_classification,
    "regression": text_regression,
}


# Labels that a head has, at least and at most, and in words.
_COUNTS = {
    multi_label_classification.NAME: (1, math.inf, "one label or more"),
    text_classification.NAME: (2, math.inf, "two labels or more"),
    text_regression.NAME: (1, 1, "one label, which stands for the number"),
    token_classification.NAME: (2, math.inf, "two tags or more"),
}


def labels(preset: Preset) -> list[str]:
    """Returns the names of a checkpoint's labels, in the order of its ids.

    Raises:
        UserError: The ids are not those of a head for its task, or two have the same name.
    """
    named = _names(preset.config())
    least, most, wanted = _COUNTS[task_of(preset).NAME]
    ids = {str(i) for i in range(len(named))}
    if set(named) != ids or not least <= len(named) <= most:
        raise UserError(
            f"{preset.name}: id2label is not right",
            expected=f"{wanted}, with ids from 0",
            received=", ".join(map(str, named)),
            fix="mend id2label in config.json",
        )
    found = [str(named[str(i)]) for i in range(len(named))]
    for i, name in enumerate(found):
        if name in found[:i]:
            raise UserError(
                f"{preset.name}: two labels have one name",
                expected="each label under id2label with a name of its own",
                received=f"{name!r} for {found.index(name)} and for {i}",
                fix="mend id2label in config.json",
            )
    return found


def _names(config: Mapping[str, Any]) -> Mapping[str, str]:
    # A config leaves them out where they are LABEL_0, LABEL_1 and so on.
    count = config.get("num_labels", config.get("_num_labels", 2))
    return config.get("id2label") or {str(i): f"LABEL_{i}" for i in range(count)}


def served_labels(preset: Preset) -> list[str]:
    """Returns the names of a checkpoint's labels, in the order in which Textmill has them.

    That is the order of the ids; of tags "O" comes first, then "B-" and "I-" of each name; a number
    has none.

    Raises:
        UserError: A tag is none of these.
    """
    task, found = task_of(preset), labels(preset)
    if task is text_regression:
        return []
    if task is not token_classification:
        return found
    strange = [tag for tag in found if tag != "O" and tag[:2] not in ("B-", "I-")]
    if strange or "O" not in found:
        raise UserError(
            f"{preset.name}: its labels are not tags of spans",
            expected='"O", and "B-" or "I-" before each name',
            received=", ".join((strange or found)[:8]),
            fix="rename them under id2label in config.json",
        )
    names = sorted({tag[2:] for tag in found if tag != "O"})
    return ["O", *(f"{part}-{name}" for name in names for part in "BI")]


def load_head(model: keras.Model, preset: Preset) -> None:
    """Sets the weights of a classifier's head to those of a checkpoint.

    Args:
        model: The task's model for the checkpoint's kind of encoder.
        preset: The checkpoint.

    Raises:
        UserError: A weight is missing, or does not fit the labels or `config.json`.
    """
    source = Source(preset)
    theirs, ours = labels(preset), served_labels(preset) or labels(preset)
    kind = preset.config()["model_type"]
    layers, needed = HEADS[kind], POOLERS.get(kind, ())
    if task_of(preset) is token_classification:
        layers, needed = TOKEN_HEAD, ()
    _check_whole(source, preset, layers, needed, len(theirs))
    for layer_name, name in layers.items():
        layer: Any = model.get_layer(layer_name)
        kernel, bias = (lambda x, shape: x.T), None
        if layer_name == "logits" and theirs != ours:
            places = [theirs.index(tag) if tag in theirs else -1 for tag in ours]
            kernel, bias = _ordered(places, 0.0), _ordered(places, NEVER)
        source.port_weight(layer.kernel, f"{name}.weight", kernel)
        source.port_weight(layer.bias, f"{name}.bias", bias)
    source.check_read(*OTHER_HEADS, part="head")


def _check_whole(
    source: Source, preset: Preset, layers: Mapping[str, str], needed: Sequence[str], count: int
) -> None:
    """Raises where a part of a head is missing, or it has not as many outputs as labels."""
    rows = 0
    for name in (*needed, *layers.values()):
        try:
            rows = len(source.get_tensor(f"{name}.weight"))
        except KeyError:
            raise preset.lacks(f"weight {name}.weight, of its head") from None
    if rows != count:
        raise UserError(
            f"{preset.name}: id2label does not fit the head",
            expected=f"{rows} labels, as many as {layers['logits']}.weight has rows",
            received=f"{count} labels",
            fix="mend id2label in config.json, or take the folder again from where it came",
        )


NEVER = -1e4  # the logit of a tag that a checkpoint does not have


def _ordered(places: list[int], missing: float) -> Hook:
    """Returns what puts the outputs of a head in the order of `places`, -1 for one it lacks."""

    def hook(value: Array, shape: list[int]) -> Array:
        filled = np.concatenate([value, np.full_like(value[:1], missing)])
        return filled[places].T

    return hook
