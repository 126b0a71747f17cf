"""One label for one text: softmax over classes on the backbone's pooled output."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    import keras
    import numpy as np
    import numpy.typing as npt
    import tensorflow as tf

NAME = "text_classification"


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

    found = classification_metrics(labels.astype("int64"), *decode(logits), names)
    wanted = ("accuracy", "loss", "f1_macro", "precision_macro", "recall_macro")
    return {name: float(found[name]) for name in wanted}


def decode(
    logits: npt.NDArray[np.float32],
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
    """Returns the likeliest label of each row, and the softmax of its logits.

    Args:
        logits: float32 [rows, classes].

    Returns:
        Label ids int64 [rows], scores float32 [rows, classes] that sum to 1.

    Example:
        >>> import numpy as np
        >>> decode(np.array([[0.0, 0.0], [-9.0, 9.0]], np.float32))[1].round(2)
        array([[0.5, 0.5],
               [0. , 1. ]], dtype=float32)
    """
    import numpy as np

    shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
    scores = shifted / shifted.sum(axis=1, keepdims=True)
    return scores.argmax(axis=1), scores


def load(path: Path) -> keras.Model:
    """Returns the classifier of a Model artifact; it takes token ids and gives logits."""
    import keras_hub

    from textmill.models.checkpoint import restore_numerics

    model = keras_hub.models.TextClassifier.from_preset(str(path), preprocessor=None)
    restore_numerics(model.backbone, path)
    return model


def logits(model: keras.Model, token_ids: tf.Tensor, padding_mask: tf.Tensor) -> tf.Tensor:
    """Returns the logits of a batch; can be traced with open dimensions.

    Args:
        model: What `build` or `load` returned.
        token_ids: Integers [batch, tokens].
        padding_mask: Integers or booleans [batch, tokens], true where there is a token.

    Returns:
        float32 [batch, classes].
    """
    import tensorflow as tf

    token_ids = tf.cast(token_ids, tf.int32)
    every = {
        "token_ids": token_ids,
        "padding_mask": tf.cast(padding_mask, tf.int32),
        "segment_ids": tf.zeros_like(token_ids),
    }
    taken = {name: every[name] for name in model.input}
    return tf.cast(model(taken, training=False), tf.float32)
