from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import precision_recall_fscore_support

from textmill.models.metrics import classification_metrics

# Three classes, counted by hand: a is right twice of three times, b once of two, c never predicted.
TRUTH = np.array([0, 0, 0, 1, 1, 2])
SAID = np.array([0, 0, 1, 1, 0, 0])
SCORES = np.full((6, 3), 0.1, np.float32)
SCORES[np.arange(6), SAID] = 0.8


def test_a_small_case_counted_by_hand() -> None:
    found = classification_metrics(TRUTH, SAID, SCORES, ["a", "b", "c"])
    assert found["accuracy"] == 3 / 6
    assert found["baseline_accuracy"] == 3 / 6
    assert found["confusion_matrix"] == [[2, 1, 0], [1, 1, 0], [1, 0, 0]]
    each = found["per_class"]
    assert each["a"] == {
        "precision": 2 / 4,
        "recall": 2 / 3,
        "f1": pytest.approx(4 / 7),
        "support": 3,
    }
    assert each["b"] == {"precision": 1 / 2, "recall": 1 / 2, "f1": 1 / 2, "support": 2}
    assert each["c"] == {"precision": 0, "recall": 0, "f1": 0, "support": 1}
    assert found["precision_macro"] == pytest.approx((1 / 2 + 1 / 2 + 0) / 3)
    assert found["recall_macro"] == pytest.approx((2 / 3 + 1 / 2 + 0) / 3)
    assert found["f1_macro"] == pytest.approx((4 / 7 + 1 / 2 + 0) / 3)
    assert found["f1_weighted"] == pytest.approx((3 * 4 / 7 + 2 * 1 / 2 + 0) / 6)
    assert found["recall_weighted"] == pytest.approx(found["accuracy"])
    assert found["loss"] == pytest.approx(-(3 * np.log(0.8) + 3 * np.log(0.1)) / 6, rel=1e-6)


def test_a_class_that_the_rows_lack_still_has_its_place() -> None:
    found = classification_metrics(TRUTH[:3], SAID[:3], SCORES[:3], ["a", "b", "c"])
    assert found["confusion_matrix"] == [[2, 1, 0], [0, 0, 0], [0, 0, 0]]
    assert found["per_class"]["c"]["support"] == 0
    assert found["baseline_accuracy"] == 1.0
    # Neither in the rows nor predicted, it is in no mean.
    means = [found[f"{kind}_macro"] for kind in ("precision", "recall", "f1")]
    given = {"average": "macro", "zero_division": 0}
    assert means == list(precision_recall_fscore_support(TRUTH[:3], SAID[:3], **given)[:3])
    assert found["f1_macro"] == pytest.approx((4 / 5 + 0) / 2)


def test_float32_scores_that_sum_to_almost_one_are_no_warning() -> None:
    scores = np.random.default_rng(0).dirichlet(np.ones(3), 6).astype(np.float32)
    assert classification_metrics(TRUTH, SAID, scores, ["a", "b", "c"])["loss"] > 0
