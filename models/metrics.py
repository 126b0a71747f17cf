"""Figures that say how good a classifier is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

from textmill.errors import UserError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from textmill.models.task import Predictions

    Ids = npt.NDArray[np.int64]
    Scores = npt.NDArray[np.float32]


class Metric(Protocol):
    """A figure of one's own: a plain function, whose name is the figure's.

    `labels` and `predicted` are label ids [rows], `scores` [rows, classes] sum to 1 in each row.

    Example:
        >>> def sure(labels, predicted, scores):
        ...     "Share of rows with a score above 0.9."
        ...     return float((scores.max(axis=1) > 0.9).mean())
    """

    @property
    def __name__(self) -> str:
        """What the figure is called in `metrics.json`."""

    def __call__(self, labels: Ids, predicted: Ids, scores: Scores, /) -> float:
        """Returns the figure."""


def own_figures(
    metrics: Sequence[Metric], task: str, labels: npt.NDArray[Any], found: Predictions
) -> dict[str, float]:
    """Returns figures of one's own by their names.

    Args:
        metrics: What computes them.
        task: The name of what the model learned.
        labels: True label ids [rows].
        found: What it predicted.

    Raises:
        UserError: Predictions of this task are no label for each text.
    """
    if not metrics:
        return {}
    if found.predicted is None or found.scores is None:
        raise UserError(
            f"metrics of your own are for one label a text, not for {task}",
            expected="a task with one label a text",
            received=", ".join(metric.__name__ for metric in metrics),
            fix="compute them from predictions.parquet",
        )
    ids = labels.astype("int64")
    return {each.__name__: float(each(ids, found.predicted, found.scores)) for each in metrics}


def classification_metrics(
    labels: Ids, predicted: Ids, scores: Scores, names: Sequence[str]
) -> dict[str, Any]:
    """Returns the usual figures of a classifier, as scikit-learn computes them.

    A class that nobody predicted has a precision of 0, one without a row a recall of 0. One that
    has no row and that nobody predicted is left out of the means, as scikit-learn 1.6 and newer
    leave it out where they are told of no other labels than those that occur.

    Args:
        labels: True label ids [rows].
        predicted: Predicted label ids [rows].
        scores: Probabilities [rows, classes].
        names: The labels' names, by id.

    Returns:
        `accuracy`, `baseline_accuracy` (of always saying the most frequent label), `loss` (mean
        cross-entropy in nats), precision, recall and f1 each `_macro` and `_weighted`, the same
        with `support` for each label under `per_class`, and `confusion_matrix`: rows are true,
        columns predicted.

    Example:
        >>> import numpy as np
        >>> truth, said = np.array([0, 1, 1]), np.array([0, 1, 0])
        >>> found = classification_metrics(truth, said, np.eye(2)[said] * 0.8 + 0.1, ["no", "yes"])
        >>> round(found["accuracy"], 3), found["per_class"]["yes"]["recall"]
        (0.667, 0.5)
    """
    import numpy as np
    from sklearn import metrics

    ids = range(len(names))
    # float32 sums to 1 less exactly than scikit-learn demands.
    probabilities = scores.astype(np.float64)
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    figures: dict[str, Any] = {
        "rows": len(labels),
        "accuracy": metrics.accuracy_score(labels, predicted),
        "baseline_accuracy": np.bincount(labels).max() / len(labels),
        "loss": metrics.log_loss(labels, probabilities, labels=ids),
    }
    for average in ("macro", "weighted"):
        found = metrics.precision_recall_fscore_support(
            labels, predicted, average=average, zero_division=0
        )
        for kind, value in zip(("precision", "recall", "f1"), found, strict=False):
            figures[f"{kind}_{average}"] = value
    each = metrics.precision_recall_fscore_support(
        labels, predicted, labels=ids, average=None, zero_division=0
    )
    figures["per_class"] = {
        name: {"precision": p, "recall": r, "f1": f, "support": int(n)}
        for name, p, r, f, n in zip(names, *(e.tolist() for e in each), strict=True)
    }
    figures["labels"] = list(names)
    figures["confusion_matrix"] = metrics.confusion_matrix(labels, predicted, labels=ids).tolist()
    return {k: v.item() if isinstance(v, np.generic) else v for k, v in figures.items()}
