"""A number for one text: a straight line on the backbone's pooled output."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from textmill.artifact import LabelKind
from textmill.models import text_classification
from textmill.models.task import Predictions

if TYPE_CHECKING:
    import keras
    import numpy as np
    import numpy.typing as npt
    import tensorflow as tf

    from textmill.models.task import Scored

    Floats = npt.NDArray[np.float32]

NAME = "text_regression"
LABELS: LabelKind = "number"

load = text_classification.load


def build(backbone: keras.Model, labels: list[str], *, dropout: float) -> keras.Model:
    """Returns KerasHub's text classifier with one logit, which is the number."""
    return text_classification.build(backbone, ["number"], dropout=dropout)


def loss(labels: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
    """Returns the squared error of each row.

    Args:
        labels: float32 [rows], less the training rows' mean, in their standard deviations.
        logits: float32 [rows, 1].
    """
    import tensorflow as tf

    return tf.square(logits[:, 0] - labels)


def right(labels: tf.Tensor, logits: tf.Tensor) -> None:
    """Returns None: a number is near or far, not right or wrong."""
    return None  # noqa: RET501 - AutoGraph, which traces it, chokes on a body without statements


def metrics(labels: Floats, logits: Floats, names: list[str]) -> dict[str, float]:
    """Returns R², mean squared error, and Pearson's correlation; all are free of the unit."""
    found = _figures(labels, logits[:, 0])
    return {"r2": found["r2"], "loss": found["loss"], "pearson": found["pearson"]}


def settle(scored: Scored, names: list[str]) -> dict[str, Any]:
    """Returns nothing: the logit is the prediction."""
    return {}


def rescale(model: keras.Model, mean: float, deviation: float) -> None:
    """Gives a model that learned standardized numbers the unit of the data."""
    head: Any = model.get_layer("logits")
    head.kernel.assign(head.kernel * deviation)
    head.bias.assign(head.bias * deviation + mean)


def decode(logits: Floats, about: Mapping[str, Any]) -> Floats:
    """Returns the numbers: float32 [rows].

    Example:
        >>> import numpy as np
        >>> decode(np.array([[3.5], [1.0]], np.float32), {}).tolist()
        [3.5, 1.0]
    """
    return logits[:, 0]


def predictions(
    labels: Floats, logits: Floats, about: Mapping[str, Any], texts: list[str]
) -> Predictions:
    """Returns the numbers; a row's doubt is its absolute error."""
    import numpy as np

    values = decode(logits, about)
    return Predictions(
        figures=_figures(labels, values),
        columns={"label": labels.tolist(), "predicted": values.tolist()},
        doubt=np.abs(values - labels),
    )


def _figures(labels: Floats, values: Floats) -> dict[str, Any]:
    """Returns R², errors in the data's unit, and correlations, as scikit-learn and SciPy have them.

    `baseline_mae` is the error of always saying the median. A correlation with what does not vary
    is 0.
    """
    import numpy as np
    from scipy import stats
    from sklearn import metrics as sk

    true, said = labels.astype(np.float64), values.astype(np.float64)
    varied = len(true) > 1 and true.std() > 0 and said.std() > 0
    squared = float(sk.mean_squared_error(true, said))
    return {
        "rows": len(true),
        "r2": float(sk.r2_score(true, said)) if len(true) > 1 else 0.0,
        "loss": squared,
        "mae": float(sk.mean_absolute_error(true, said)),
        "rmse": squared**0.5,
        "baseline_mae": float(np.abs(true - np.median(true)).mean()),
        "pearson": float(stats.pearsonr(true, said).statistic) if varied else 0.0,
        "spearman": float(stats.spearmanr(true, said).statistic) if varied else 0.0,
    }
