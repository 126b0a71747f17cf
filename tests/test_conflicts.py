"""Which label a text has that comes several times with different ones, and what is said of it."""

from __future__ import annotations

import statistics
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingesting import Rows, all_rows, ingested, quarantine
from textmill.artifact import Examples, Statistics
from textmill.components.cleaning import UNTOUCHED
from textmill.components.conflicts import combine
from textmill.components.ingest import ingest
from textmill.components.validate import validate
from textmill.errors import UserError

WHO, DID, WIDE = '[[0, 3, "who"]]', '[[4, 9, "did"]]', '[[0, 9, "all"]]'


def labels(folder: Path, rows: list[tuple[str, str]], **options: Any) -> list[str]:
    """Returns the labels of the rows that stay, in their order."""
    examples = ingested(folder / "out", Rows(tuple(rows)), **options)
    return [row["label"] for row in all_rows(examples)]


def test_numbers_of_one_text_have_their_mean(tmp_path: Path) -> None:
    rows = [(f"text {i}", str(i / 10 + more)) for i in range(300) for more in (0, 0.5, 0.5)]
    rows += [("text 0", "none"), ("text 1", "")]
    expected = [repr(statistics.fmean([i / 10, i / 10 + 0.5, i / 10 + 0.5])) for i in range(300)]
    assert labels(tmp_path, rows, labels="number") == expected
    examples = ingested(tmp_path / "b", Rows(tuple(rows[::-1])), labels="number")
    assert sorted(row["label"] for row in all_rows(examples)) == sorted(expected)
    schema = examples.schema()
    assert (schema["conflicts"], schema["duplicates"], schema["settled_by"]) == (300, 600, "mean")
    assert schema["rejected"] == {"label is no number": 1, "missing label": 1}


@given(st.lists(st.floats(-1e30, 1e30), min_size=1, max_size=8), st.randoms())
def test_a_mean_does_not_depend_on_the_order(values: list[float], random: Any) -> None:
    votes = [(values.count(value), repr(value)) for value in dict.fromkeys(values)]
    expected = combine(votes, "number")
    random.shuffle(votes)
    assert combine(votes, "number") == expected == repr(statistics.fmean(values))


def test_a_row_a_name(tmp_path: Path) -> None:
    rows = [("x", "b"), ("y", "a"), ("x", "a"), ("x", "b|c"), ("y", ""), ("z", "")]
    assert labels(tmp_path, rows, labels="many") == ["a|b|c", "a", ""]


def test_spans_of_several_annotators(tmp_path: Path) -> None:
    rows = [("Ann slept.", WHO), ("Ann slept.", WHO), ("Ann slept.", DID), ("Bob slept.", DID)]
    options: dict[str, Any] = {"labels": "spans", "cleaning": UNTOUCHED}
    assert labels(tmp_path, rows, **options) == [WHO, DID]
    assert labels(tmp_path / "all", rows, conflicts="union", **options) == [
        '[[0, 3, "who"], [4, 9, "did"]]', DID
    ]  # fmt: skip
    rows.append(("Ann slept.", WIDE))
    overlapping = ingested(tmp_path / "wide", Rows(tuple(rows)), conflicts="union", **options)
    assert [row["label"] for row in all_rows(overlapping)] == [DID]
    assert [(row["line"], row["label"], row["reason"]) for row in quarantine(overlapping)] == [
        (line, label, "conflicting labels: spans that overlap")
        for line, label in ((1, WHO), (2, WHO), (3, DID), (5, WIDE))
    ]


def test_a_split_that_has_a_text_has_it_alone(tmp_path: Path) -> None:
    train = Rows((("both", "4"), ("both", "5"), ("one", "1")))
    test = Rows((("both", "1"), ("both", "2")), file="test")
    examples = ingested(tmp_path / "out", train, test_source=test, labels="number")
    assert examples.table("test")["label"].to_pylist() == ["1.5"]
    assert (examples.schema()["leaked"], examples.schema()["duplicates"]) == (2, 1)


@pytest.mark.parametrize(
    ("kind", "conflicts"),
    [("one", "mean"), ("one", "union"), ("number", "union"), ("many", "mean"), ("spans", "mean")],
)
def test_what_does_not_suit_a_task_is_refused(tmp_path: Path, kind: str, conflicts: str) -> None:
    options: dict[str, Any] = {"labels": kind, "cleaning": UNTOUCHED, "conflicts": conflicts}
    with pytest.raises(UserError, match=rf"(?s)data.conflicts = '{conflicts}'.*set data.conflicts"):
        ingest(Examples(tmp_path / "out"), Rows((("a", "x"),)), **options)


def test_rows_that_go_are_told(tmp_path: Path) -> None:
    words = [f"text {i}" for i in range(400)]
    rows = [(text, str(i % 7)) for i, text in enumerate(words)]
    again = [(text, "9") for text in words[:40]]

    def warnings(**options: Any) -> list[str]:
        name = str(len(list(tmp_path.iterdir())))
        examples = ingested(tmp_path / f"{name} out", Rows((*rows, *again)), **options)
        out = Statistics(tmp_path / name)
        out.path.mkdir()
        validate(out, examples)
        found: list[str] = [w for w in out.read()["warnings"] if "different labels" in w]
        return found

    assert warnings(labels="number") == [
        '40 texts came with different labels and got the mean of their numbers: conflicts = "mean"'
    ]
    [warning] = warnings(labels="number", conflicts="reject")
    assert warning.startswith("80 rows are in quarantine, because 40 texts came with different")
    assert warning.endswith('data.conflicts is "reject", and may be "mean", or "majority"')
    rows, again = [(text, WHO) for text in words], [(text, '[[0, 4, "all"]]') for text in words[:2]]
    combined, lost = warnings(labels="spans", conflicts="union", cleaning=UNTOUCHED)
    assert "got all of their labels, but for those with spans that overlap" in combined
    assert lost.startswith("4 rows are in quarantine, because 2 texts")
    with pytest.raises(UserError, match=r"(?s)none of 2 rows.*fix: +give each text one label"):
        ingest(Examples(tmp_path / "none"), Rows((("a", "x"), ("a", "y"))))
    spans: dict[str, Any] = {"labels": "spans", "cleaning": UNTOUCHED}
    with pytest.raises(UserError, match=r'(?s)none of 2 rows.*set data.conflicts to "union", or'):
        ingest(
            Examples(tmp_path / "spans"), Rows((("Ann slept.", WHO), ("Ann slept.", DID))), **spans
        )
