"""Any number of labels for one text: a sigmoid for each, given from a threshold of its own on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from textmill.artifact import LabelKind
from textmill.models import text_classification
from textmill.models.task import Predictions

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import tensorflow as tf

    from textmill.models.task import Scored

    Floats = npt.NDArray[np.float32]

NAME = "multi_label_classification"
LABELS: LabelKind = "many"

build = text_classification.build
load = text_classification.load


def loss(labels: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
    """Returns the mean over the labels of each row's binary cross-entropies, in nats.

    Args:
        labels: float32 [rows, classes], 1 where a row has the label.
        logits: float32 [rows, classes].
    """
    import tensorflow as tf

    return tf.reduce_mean(tf.nn.sigmoid_cross_entropy_with_logits(labels, logits), -1)


def right(labels: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
    """Returns the share of labels that each row has right at a threshold of 0.5: float32 [rows]."""
    import tensorflow as tf

    return tf.reduce_mean(tf.cast((logits > 0) == (labels > 0.5), tf.float32), -1)


def metrics(labels: Floats, logits: Floats, names: list[str]) -> dict[str, float]:
    """Returns f1 over all decisions at the best thresholds here, the loss, and macro-averages."""
    about = {"labels": names, "thresholds": _thresholds(labels, logits)}
    found = _figures(labels, logits, about)
    wanted = ("f1_micro", "loss", "f1_macro", "precision_macro", "recall_macro")
    return {name: float(found[name]) for name in wanted}


def settle(scored: Scored, names: list[str]) -> dict[str, Any]:
    """Returns the threshold of each label at which its f1 on the validation rows is highest.

    It lies halfway between two scores that occur. A label that no row there has keeps 0.5.

    Returns:
        `{"thresholds": […]}`, one a label.

    Source: https://arxiv.org/abs/1402.1892 (thresholds that make f1 highest).
    """
    labels, logits = scored()
    return {"thresholds": _thresholds(labels, logits) if len(labels) else [0.5] * len(names)}


def _thresholds(labels: Floats, logits: Floats) -> list[float]:
    scores = decode(logits, {})
    return [_threshold(truth > 0.5, each) for truth, each in zip(labels.T, scores.T, strict=True)]


def _threshold(labels: npt.NDArray[np.bool_], scores: Floats) -> float:
    import numpy as np

    if not labels.any():
        return 0.5
    order = np.argsort(-scores, kind="stable")
    found = np.cumsum(labels[order])
    given = np.arange(1, len(order) + 1)
    f1 = 2 * found / (given + labels.sum())
    # Equal scores can't be told apart: only the last of them is a place to cut.
    ordered = scores[order].astype(np.float64)
    below = np.append(ordered[1:], -1.0)
    f1[ordered == below] = -1
    best = int(f1.argmax())
    # Served scores are compared in float32, in which there may be nothing between the two.
    middle = np.float32((ordered[best] + max(below[best], 0.0)) / 2)
    return float(middle if middle > below[best] else ordered[best])


def decode(logits: Floats, about: Mapping[str, Any]) -> Floats:
    """Returns the sigmoid of each logit: float32 [rows, classes].

    Example:
        >>> import numpy as np
        >>> decode(np.array([[0.0, 2.0]], np.float32), {}).round(2)
        array([[0.5 , 0.88]], dtype=float32)
    """
    from scipy.special import expit

    scores: Floats = expit(logits)
    return scores


def predictions(
    labels: Floats, logits: Floats, about: Mapping[str, Any], texts: list[str]
) -> Predictions:
    """Returns the labels from their thresholds on; a row with a wrong one has its loss as doubt."""
    import numpy as np

    names, scores = about["labels"], decode(logits, about)
    given, true = scores >= np.array(about["thresholds"], np.float32), labels > 0.5

    def joined(rows: npt.NDArray[np.bool_]) -> list[str]:
        return [about["separator"].join(names[i] for i in np.flatnonzero(row)) for row in rows]

    return Predictions(
        figures=_figures(labels, logits, about),
        columns={"label": joined(true), "predicted": joined(given), "scores": list(scores)},
        doubt=np.where((given == true).all(1), 0, _losses(labels, logits)),
        scores=scores,
    )


def _losses(labels: Floats, logits: Floats) -> Floats:
    import numpy as np

    each = np.logaddexp(0, np.where(labels > 0.5, -logits, logits))
    losses: Floats = each.mean(1)
    return losses


def _figures(labels: Floats, logits: Floats, about: Mapping[str, Any]) -> dict[str, Any]:
    """Returns scikit-learn's figures.

    `accuracy` is the share of rows with exactly the right labels, `hamming_loss` that of wrong
    decisions, `average_precision_macro` does not depend on thresholds.
    """
    import numpy as np
    from sklearn import metrics as sk

    names, scores = about["labels"], decode(logits, about)
    true = (labels > 0.5).astype(int)
    given = (scores >= np.array(about["thresholds"], np.float32)).astype(int)
    there = np.flatnonzero(true.any(0))
    found: dict[str, Any] = {
        "rows": len(labels),
        "accuracy": float((true == given).all(1).mean()),
        "baseline_accuracy": float(
            np.unique(true, axis=0, return_counts=True)[1].max() / len(true)
        ),
        "loss": float(_losses(labels, logits).mean()),
        "hamming_loss": float((true != given).mean()),
        "average_precision_macro": float(
            np.mean([sk.average_precision_score(true[:, i], scores[:, i]) for i in there])
        )
        if len(there)
        else 0.0,
    }
    # Label by label: scikit-learn takes a single column for two classes.
    kinds = ("precision", "recall", "f1")
    each = [_shares(*columns) for columns in zip(true.T, given.T, strict=True)]
    support = true.sum(0)
    averages = {
        "micro": _shares(true.ravel(), given.ravel()),
        "macro": np.mean(each, 0),
        "weighted": np.average(each, 0, support) if support.any() else np.zeros(3),
    }
    for average, values in averages.items():
        found |= {f"{k}_{average}": float(v) for k, v in zip(kinds, values, strict=True)}
    found["per_class"] = {
        name: dict(zip(kinds, shares, strict=True)) | {"support": int(n), "threshold": t}
        for name, shares, n, t in zip(names, each, support, about["thresholds"], strict=True)
    }
    found["labels"] = list(names)
    return found


def _shares(true: npt.NDArray[Any], given: npt.NDArray[Any]) -> tuple[float, float, float]:
    """Returns precision, recall and f1 of one label; a share of nothing is 0."""
    from sklearn import metrics as sk

    *shares, _ = sk.precision_recall_fscore_support(true, given, average="binary", zero_division=0)
    precision, recall, f1 = map(float, shares)
    return precision, recall, f1
