"""The classification head of a checkpoint, which KerasHub leaves behind, and its label names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from textmill.errors import UserError
from textmill.models.huggingface import Source
from textmill.models.preset import Preset

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


def labels(preset: Preset) -> list[str]:
    """Returns the names of a checkpoint's classes, in the order of their ids.

    Raises:
        UserError: It has no head, or one for another task.
    """
    config = preset.config()
    architecture = (config.get("architectures") or ["nothing"])[0]
    problem = config.get("problem_type")
    if not architecture.endswith("ForSequenceClassification"):
        raise UserError(
            f"{preset.name} has no classification head",
            expected="a model such as BertForSequenceClassification",
            received=architecture,
            fix="train it first: textmill run, with this folder as model.preset",
        )
    if problem not in (None, "single_label_classification"):
        raise UserError(
            f"{preset.name}: its head is not for one label of several",
            expected='problem_type "single_label_classification"',
            received=repr(problem),
            fix="take a classifier for one label a text",
        )
    # A config leaves them out where they are LABEL_0 and LABEL_1.
    named: Mapping[str, str] = config.get("id2label") or {"0": "LABEL_0", "1": "LABEL_1"}
    ids = sorted(map(int, named))
    if ids != list(range(len(ids))) or len(ids) < 2:
        raise UserError(
            f"{preset.name}: id2label is not right",
            expected="two labels or more, with ids from 0",
            received=", ".join(map(str, ids)),
            fix="mend id2label in config.json",
        )
    return [str(named[str(i)]) for i in ids]


def load_head(model: keras.Model, preset: Preset) -> None:
    """Sets the weights of a classifier's head to those of a checkpoint.

    Args:
        model: KerasHub's classifier for the checkpoint's kind of model.
        preset: The checkpoint.

    Raises:
        UserError: A weight is missing or does not fit.
    """
    source = Source(preset)
    for layer_name, name in HEADS[preset.config()["model_type"]].items():
        layer: Any = model.get_layer(layer_name)
        source.port_weight(layer.kernel, f"{name}.weight", lambda x, shape: x.T)
        source.port_weight(layer.bias, f"{name}.bias")
