"""One label for one text: softmax over classes on the backbone's pooled output."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from textmill.artifact import LabelKind
from textmill.models.task import Predictions

if TYPE_CHECKING:
    from pathlib import Path

    import keras
    import numpy as np
    import numpy.typing as npt
    import tensorflow as tf

    from textmill.models.task import Scored

NAME = "text_classification"
LABELS: LabelKind = "one"


def build(backbone: keras.Model, labels: list[str], *, dropout: float) -> keras.Model:
    """Returns KerasHub's text classifier for the backbone, with a new head.

    The backbone is the classifier's own from then on: its last layer gives the first token only.

    Source: https://arxiv.org/abs/1810.04805, section 4.1.
    """
    from textmill.models.checkpoint import classifier_class
    from textmill.models.quick_encoder import quicken

    quicken(backbone)
    return classifier_class(backbone)(backbone=backbone, num_classes=len(labels), dropout=dropout)


def loss(labels: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
    """Returns the cross-entropy of each row's logits with its label, in nats.

    Args:
        labels: int32 [rows].
        logits: float32 [rows, classes].
    """
    import keras

    return keras.losses.sparse_categorical_crossentropy(labels, logits, from_logits=True)


def right(labels: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
    """Returns 1 for each row whose likeliest label is the true one, else 0: float32 [rows]."""
    import tensorflow as tf

    return tf.cast(tf.argmax(logits, -1, labels.dtype) == labels, tf.float32)


def metrics(
    labels: npt.NDArray[np.int32], logits: npt.NDArray[np.float32], names: list[str]
) -> dict[str, float]:
    """Returns accuracy, mean cross-entropy in nats, and macro-averaged f1, precision and recall.

    Args:
        labels: Label ids [rows].
        logits: [rows, classes].
        names: The labels' names, by id.
    """
    from textmill.models.metrics import classification_metrics

    scores = decode(logits, {})
    found = classification_metrics(labels.astype("int64"), scores.argmax(1), scores, names)
    wanted = ("accuracy", "loss", "f1_macro", "precision_macro", "recall_macro")
    return {name: float(found[name]) for name in wanted}


def settle(scored: Scored, names: list[str]) -> dict[str, Any]:
    """Returns nothing: the likeliest label is the predicted one."""
    return {}


def decode(logits: npt.NDArray[np.float32], about: Mapping[str, Any]) -> npt.NDArray[np.float32]:
    """Returns the softmax of each row's logits.

    Args:
        logits: float32 [rows, classes].
        about: `task.json`.

    Returns:
        float32 [rows, classes] that sum to 1.

    Example:
        >>> import numpy as np
        >>> decode(np.array([[0.0, 0.0], [-9.0, 9.0]], np.float32), {}).round(2)
        array([[0.5, 0.5],
               [0. , 1. ]], dtype=float32)
    """
    import numpy as np

    shifted = np.exp(logits - logits.max(axis=-1, keepdims=True))
    scores: npt.NDArray[np.float32] = shifted / shifted.sum(axis=-1, keepdims=True)
    return scores


def predictions(
    labels: npt.NDArray[np.int32],
    logits: npt.NDArray[np.float32],
    about: Mapping[str, Any],
    texts: list[str],
) -> Predictions:
    """Returns the likeliest labels, with the usual figures of a classifier.

    A wrong prediction is the worse the surer it is.
    """
    import numpy as np

    from textmill.models.metrics import classification_metrics

    names, scores = about["labels"], decode(logits, about)
    predicted = scores.argmax(1)
    return Predictions(
        figures=classification_metrics(labels.astype(np.int64), predicted, scores, names),
        columns={
            "label": [names[i] for i in labels],
            "predicted": [names[i] for i in predicted],
            "scores": list(scores),
        },
        doubt=np.where(predicted == labels, 0, scores.max(1)),
        predicted=predicted,
        scores=scores,
    )


def load(path: Path) -> keras.Model:
    """Returns the classifier of a Model artifact; it takes token ids and gives logits."""
    from textmill.models.checkpoint import load_task

    return load_task(path)
