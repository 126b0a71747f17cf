"""Whether less or more of a figure is better, beside Keras's and scikit-learn's own metrics."""

from __future__ import annotations

import inspect
from typing import Any

import keras
import numpy as np
import pytest
from sklearn import metrics as sk

from textmill.errors import UserError
from textmill.models.objective import direction_of, objective_of

PLAIN = {"Metric", "Mean", "MeanMetricWrapper", "Sum"}  # of anything
GIVEN: dict[str, dict[str, Any]] = {
    "BinaryIoU": {"target_class_ids": [0, 1]},
    "IoU": {"num_classes": 2, "target_class_ids": [0, 1]},
    "MeanIoU": {"num_classes": 2},
    "OneHotIoU": {"num_classes": 2, "target_class_ids": [0, 1]},
    "OneHotMeanIoU": {"num_classes": 2},
    "PrecisionAtRecall": {"recall": 0.5},
    "RecallAtPrecision": {"precision": 0.9},
    "SensitivityAtSpecificity": {"specificity": 0.5},
    "SpecificityAtSensitivity": {"sensitivity": 0.5},
    "TopKCategoricalAccuracy": {"k": 1},
    "SparseTopKCategoricalAccuracy": {"k": 1},
}
IDS = np.array([0, 1, 1, 0, 1, 1])
HOT = np.eye(2, dtype=np.float32)[IDS]
NEAR = np.where(HOT > 0, 0.9, 0.1).astype(np.float32)


def value(metric: Any, *, good: bool) -> float:
    """Returns what a metric of Keras says of predictions that are right, or wrong everywhere."""
    name = type(metric).__name__
    said = NEAR if good else 1 - NEAR
    if name in ("IoU", "MeanIoU", "Accuracy"):
        metric.update_state(IDS, said.argmax(1))
    elif name.startswith("Sparse"):
        metric.update_state(IDS, said)
    elif name == "BinaryIoU":
        metric.update_state(IDS, said[:, 1])
    else:
        metric.update_state(HOT, said)
    return float(np.mean(metric.result()))


CLASSES = sorted(
    name
    for name, kind in vars(keras.metrics).items()
    if inspect.isclass(kind) and name not in PLAIN
)


@pytest.mark.parametrize("kind", CLASSES)
def test_every_metric_of_keras(kind: str) -> None:
    metric = getattr(keras.metrics, kind)(**GIVEN.get(kind, {}))
    good, bad = (value(getattr(keras.metrics, kind)(**GIVEN.get(kind, {})), good=g) for g in (1, 0))
    assert good != bad
    expected = "max" if good > bad else "min"
    names = [metric.name, kind, f"val_{metric.name}", f"{metric.name}_1", f"val_{metric.name}_12"]
    assert {name: direction_of(name) for name in names} == dict.fromkeys(names, expected)


def test_every_function_of_keras() -> None:
    for name, function in vars(keras.metrics).items():
        if inspect.isclass(function) or name in ("get", "serialize", "deserialize"):
            continue
        if not callable(function):
            continue
        more = {"k": 1} if "top_k" in name else {}
        true = IDS if name.startswith("sparse") else HOT
        good, bad = (float(np.mean(function(true, said, **more))) for said in (NEAR, 1 - NEAR))
        assert direction_of(f"val_{name}") == ("max" if good > bad else "min"), name
    for name in ("mse", "MSE", "mae", "MAE", "mape", "MAPE", "msle", "MSLE", "bce", "BCE", "kld"):
        assert direction_of(name) == direction_of(f"val_{name}_3") == "min", name


def test_every_scorer_of_scikit_learn() -> None:
    """More of a scorer is better always; its sign says whether more of its function is."""
    for name in sk.get_scorer_names():
        scorer = sk.get_scorer(name)
        assert direction_of(name) == direction_of(f"val_{name}_1") == "max", name
        function = scorer._score_func.__name__
        assert direction_of(function) == ("max" if scorer._sign > 0 else "min"), function


# Functions that give no figure, or of which nobody says whether more is better.
NO_FIGURE = """
    check_scoring class_likelihood_ratios classification_report cluster confusion_matrix
    confusion_matrix_at_thresholds det_curve get_scorer get_scorer_names
    homogeneity_completeness_v_measure make_scorer metric_at_thresholds multilabel_confusion_matrix
    pair_confusion_matrix pairwise_distances_argmin pairwise_distances_argmin_min
    pairwise_distances_chunked pairwise_kernels precision_recall_curve
    precision_recall_fscore_support roc_curve
"""
# Losses and scores of which there is no scorer, as scikit-learn's user guide describes them.
LOWER = """
    brier_score_loss coverage_error davies_bouldin_score euclidean_distances hamming_loss hinge_loss
    label_ranking_loss log_loss mean_pinball_loss mean_tweedie_deviance nan_euclidean_distances
    pairwise_distances zero_one_loss
"""


def test_every_name_of_scikit_learn() -> None:
    scored = {sk.get_scorer(name)._score_func.__name__ for name in sk.get_scorer_names()}
    for name in sk.__all__:
        if name[0].isupper() or name in scored:
            continue
        lower = "min" if name in LOWER.split() else "max"
        expected = None if name in NO_FIGURE.split() else lower
        assert direction_of(name) == expected, name


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("val_loss", "min"),
        ("loss_1", "min"),
        ("topic_loss", "min"),
        ("val_topic_1_auc_2", "max"),
        ("val_f1_macro", "max"),
        ("val_bits_per_byte", "min"),
        ("perplexity", "min"),
        ("val_r2", "max"),
        ("word_accuracy", "max"),
        ("recall@5", "max"),
        ("top_5_accuracy", "max"),
        ("val_loss_mean", "min"),
        ("negative_log_likelihood", "min"),
        ("negative_predictive_value", "max"),
        ("neg_mean_squared_error_2", "max"),
        # A class may be called neg.
        ("neg_recall", None),
        ("negative_samples_accuracy", None),
        ("accuracy_std", None),
        # The error, or what is made of it.
        ("val_mae_score", None),
        ("ter_score", None),
        ("d2_loss", "min"),
        ("inverse_loss", "max"),
        ("one_minus_f1", None),
        ("dice", None),  # the loss, or the coefficient
        ("learning_rate", None),
        ("copied", None),
        ("mean", None),
        ("val_", None),
        ("at_5", None),
        ("", None),
    ],
)
def test_other_names(name: str, expected: str | None) -> None:
    assert direction_of(name) == expected


def test_a_name_that_does_not_tell_asks() -> None:
    with pytest.raises(
        UserError, match="does not tell whether less or more of 'val_width'"
    ) as told:
        objective_of("val_width")
    assert told.value.fix == 'set direction = "min" or direction = "max" under [tune]'
    with pytest.raises(UserError, match=r"direction is 'lowest'"):
        objective_of("val_loss", "lowest")  # type: ignore[arg-type]
    assert objective_of("val_width", "min").sign == -1
    assert objective_of("val_loss", "max").words == "val_loss (more is better)"
