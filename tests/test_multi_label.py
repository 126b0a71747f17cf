"""Any number of labels a text: figures, and the thresholds from which labels are given."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk

from textmill.models import multi_label_classification as task
from textmill.serving.heads import Head, answer

NAMES = ["art", "law", "sport", "war"]
ABOUT = {"labels": NAMES, "separator": "|", "thresholds": [0.3, 0.5, 0.7, 0.5]}


def made(rows: int = 200, seed: int = 0) -> tuple[Any, Any]:
    """Labels, of which the last is never there, and logits that know something of them."""
    draw = np.random.default_rng(seed)
    labels = (draw.random((rows, 4)) < [0.5, 0.1, 0.3, 0]).astype(np.float32)
    return labels, (draw.normal(size=(rows, 4)) * 2 + 2 * labels - 1).astype(np.float32)


def test_figures_are_scikit_learns() -> None:
    labels, logits = made()
    found = task.predictions(labels, logits, ABOUT, ["text"] * 200)
    scores = 1 / (1 + np.exp(-logits.astype(np.float64)))
    given = scores >= ABOUT["thresholds"]
    figures = found.figures
    assert figures["rows"] == 200
    assert figures["accuracy"] == pytest.approx(sk.accuracy_score(labels, given))
    assert figures["hamming_loss"] == pytest.approx(sk.hamming_loss(labels, given))
    for average in ("micro", "macro", "weighted"):
        for kind, of in (
            ("precision", sk.precision_score), ("recall", sk.recall_score), ("f1", sk.f1_score)
        ):  # fmt: skip
            expected = of(labels, given, average=average, zero_division=0)
            assert figures[f"{kind}_{average}"] == pytest.approx(expected)
    bce = tf.keras.losses.binary_crossentropy(labels, logits, from_logits=True).numpy()
    assert figures["loss"] == pytest.approx(bce.mean(), rel=1e-5)
    assert task.loss(labels, logits).numpy() == pytest.approx(bce, rel=1e-5)
    there = labels.any(0)  # a label that no row has has no precision at any recall
    expected = sk.average_precision_score(labels[:, there], scores[:, there], average="macro")
    assert figures["average_precision_macro"] == pytest.approx(expected)
    table = sk.classification_report(
        labels, given, target_names=NAMES, output_dict=True, zero_division=0
    )
    for name, threshold in zip(NAMES, ABOUT["thresholds"], strict=True):
        row = figures["per_class"][name]
        assert row["threshold"] == threshold
        assert row["f1"] == pytest.approx(table[name]["f1-score"])
        assert (row["precision"], row["recall"]) == pytest.approx(
            (table[name]["precision"], table[name]["recall"])
        )
        assert row["support"] == table[name]["support"]
    combinations = np.unique(labels, axis=0, return_counts=True)[1]
    assert figures["baseline_accuracy"] == combinations.max() / 200


def test_predictions_and_doubt() -> None:
    labels = np.array([[1, 0, 1, 0], [0, 0, 0, 0], [1, 0, 0, 0]], np.float32)
    logits = np.array([[9, -9, 9, -9], [-9, -9, -9, -9], [-9, 9, -9, -9]], np.float32)
    found = task.predictions(labels, logits, ABOUT, ["a", "b", "c"])
    assert found.columns["label"] == ["art|sport", "", "art"]
    assert found.columns["predicted"] == ["art|sport", "", "law"]
    assert found.doubt[:2].tolist() == [0, 0]
    assert found.doubt[2] == pytest.approx(18 / 4, abs=1e-3)  # two of four are 9 nats wrong


def test_a_validation_has_the_figures_at_its_own_thresholds() -> None:
    labels, logits = made(seed=1)
    found = task.metrics(labels, logits, NAMES)
    assert next(iter(found)) == "f1_micro"  # which picks the epoch
    settled = task.settle(lambda: (labels, logits), NAMES)
    figures = task.predictions(labels, logits, ABOUT | settled, ["text"] * 200).figures
    assert found == {name: figures[name] for name in found}
    assert settled["thresholds"][3] == 0.5  # no row has the label


def test_without_validation_rows_a_label_is_given_from_one_half_on() -> None:
    nothing = np.zeros((0, 4), np.float32)
    assert task.settle(lambda: (nothing, nothing), NAMES) == {"thresholds": [0.5] * 4}


def f1(labels: Any, given: Any) -> float:
    labels = labels.ravel() > 0
    return float(2 * (labels & given).sum() / max(labels.sum() + given.sum(), 1))


LOGIT = st.one_of(
    st.floats(-4, 4, width=32),
    st.floats(-30, -12, width=32),  # sigmoids of which six digits say nothing
    st.sampled_from([-200.0, -1.0, 0.0, 1.0, 20.0, 200.0]),
)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.booleans(), LOGIT), min_size=1, max_size=14))
def test_no_threshold_is_better(rows: list[tuple[bool, float]]) -> None:
    labels = np.array([[row[0]] for row in rows], np.float32)
    logits = np.array([[row[1]] for row in rows], np.float32)
    settled = task.settle(lambda: (labels, logits), ["only"])
    [threshold] = settled["thresholds"]
    scores = task.decode(logits, {})[:, 0]
    best = max(f1(labels, scores >= at) for at in [*scores, np.inf])
    given = scores >= np.float32(threshold)
    if labels.any():
        assert f1(labels, given) == pytest.approx(best)
    else:
        assert threshold == 0.5
    # Through the public face, in NumPy, and as it is served, in TensorFlow.
    about = {"labels": ["only"], "separator": "|", **settled}
    found = task.predictions(labels, logits, about, ["text"] * len(rows))
    assert [bool(label) for label in found.columns["predicted"]] == given.tolist()


def test_the_served_graph_gives_the_same_labels() -> None:
    labels, logits = made(seed=2)
    settled = task.settle(lambda: (labels, logits), NAMES)
    found = task.predictions(labels, logits, ABOUT | settled, ["text"] * 200)
    head = Head("many", tuple(NAMES), tuple(settled["thresholds"]), "|")
    served = answer(tf.constant(logits), head)
    assert [label.decode() for label in served["label"].numpy()] == found.columns["predicted"]
    assert served["scores"].numpy() == pytest.approx(np.array(found.columns["scores"]), abs=1e-6)
