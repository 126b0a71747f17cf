"""The page that shows how good a model is, for each kind of label."""

from __future__ import annotations

import html.parser
import json
import re
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from textmill.artifact import LabelKind
from textmill.components.report import report
from textmill.models import multi_label_classification, text_regression

HISTORY = [
    {"epoch": i, "loss": 1 / i, "val_f1_micro": i / 9, "val_loss": 2 / i} for i in (1.0, 2.0)
]


class Open(html.parser.HTMLParser):
    """Sees that every tag that is opened is closed, in its order."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        if tag not in ("meta", "br", "line", "circle", "polyline"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in ("line", "circle", "polyline"):
            assert self.open.pop() == tag


def page(kind: LabelKind, figures: dict[str, Any], columns: dict[str, Any], doubt: Any) -> str:
    texts = [f"text <{i}>" for i in range(len(doubt))]
    table = pa.table({"text": texts, **columns})
    made = report("some_task", kind, figures, table, np.array(doubt), HISTORY)
    tags = Open()
    tags.feed(made)
    assert tags.open == []
    assert "<title>Some task: evaluation</title>" in made
    assert "text <0" not in made
    return made


def test_a_figure_that_only_validation_has_is_not_called_training() -> None:
    made = page("one", {"rows": 1, "loss": 0.5}, {"label": ["a"], "predicted": ["b"]}, [0.9])
    heads = re.findall(r'<span class="soft">(Loss|F1 micro):\s*(.*?)</span></span>', made, re.S)
    assert [(name, re.findall("training|validation", rest)) for name, rest in heads] == [
        ("Loss", ["training", "validation"]), ("F1 micro", ["validation"])
    ]  # fmt: skip


def test_spans_stand_with_their_words_and_wrong_ones_are_marked() -> None:
    true, said = [[[0, 4, "who"]], [[5, 8, "it"]]], [[[0, 4, "who"], [5, 8, "<it>"]], []]
    figures = {"rows": 2, "loss": 0.1, "word_accuracy": 0.905, "labels": ["who", "it"]}
    figures["per_class"] = {
        name: {"precision": 0.5, "recall": 1.0, "f1": 2 / 3, "support": 1} for name in ("who", "it")
    }
    columns = {"label": list(map(json.dumps, true)), "predicted": list(map(json.dumps, said))}
    made = page("spans", figures, columns, [1, 1])
    assert "90.5 %" in made
    assert "<th>Spans</th>" in made
    assert '<div>text <span class="soft">who</span></div>' in made
    assert '<div class="wrong">&lt;0&gt; <span class="soft">&lt;it&gt;</span></div>' in made
    assert '<div class="wrong">&lt;1&gt; <span class="soft">it</span></div>' in made


def test_labels_stand_with_their_thresholds() -> None:
    labels, logits = np.eye(3, dtype=np.float32), np.eye(3, dtype=np.float32)[::-1] - 0.5
    about = {"labels": ["a", "b", "c"], "separator": "|", "thresholds": [0.25, 0.5, 0.125]}
    found = multi_label_classification.predictions(labels, logits, about, ["x"] * 3)
    made = page("many", found.figures, found.columns, found.doubt)
    for threshold in ("0.250", "0.500", "0.125"):
        assert f"<td>{threshold}</td>" in made
    assert "given where its score is at least" in made


@pytest.mark.parametrize("rows", [1, 2, 2500])
def test_numbers_are_points_on_one_scale(rows: int) -> None:
    true = np.linspace(0, 10, rows).astype(np.float32)
    found = text_regression.predictions(true, true[::-1, None], {}, ["x"] * rows)
    made = page("number", found.figures, found.columns, found.doubt)
    places = re.findall(r'<circle cx="([\d.]+)" cy="([\d.]+)" r="2"', made)
    points = np.array(places, np.float64)
    assert len(points) <= 1000
    if rows > 1:  # true and its mirror: from the upper left to the lower right
        assert points[:, 0] == pytest.approx(points[:, 1], abs=0.11)
        assert (points[0, 0], points[-1, 0]) == pytest.approx((0, 320), abs=1)
