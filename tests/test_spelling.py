"""Labels that are spelled in several ways are told, and merged where that is asked for."""

from __future__ import annotations

import unicodedata
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ingesting import Rows, all_rows, ingested, quarantine
from textmill.artifact import Examples, Statistics
from textmill.components.cleaning import UNTOUCHED
from textmill.components.sources.by_name import open_source
from textmill.components.spelling import Merging, merged, remarks
from textmill.components.validate import validate

TWINS = [
    ("values", "1", "1.0"),
    ("values", "-3", "-3.00"),
    ("values", "true", "True"),
    ("values", "FALSE", "false"),
    ("spelling", "caf\u00e9", "cafe\u0301"),
    ("spelling", "a b", "a\u00a0b"),
    ("spelling", "a b", "a  b"),
    ("spelling", "a b", "a\u3000b"),
    ("spelling", "ab", "a\u200bb"),
    ("spelling", "ab", "\ufeffab"),
    ("spelling", "so\u00adft", "soft"),
    ("spelling", "\u2764", "\u2764\ufe0f"),
    ("spelling", "\uac00", "\u1100\u1161"),  # Hangul
    ("spelling", "R&D", "R&amp;D"),
    ("case", "Spam", "spam"),
    ("case", "STRASSE", "stra\u00dfe"),
    ("case", "\uff33pam", "spam"),  # full width
]
APART = [("1", "1.0.0"), ("a b", "ab"), ("x", "y"), ("1", "-1"), ("10", "1_0"), ("1", "yes")]
CODES = [("1", "01"), ("1.5", "1.50"), ("1", "true"), ("0", "-0"), ("1000", "1e3")]


@pytest.mark.parametrize(("how", "one", "other"), TWINS, ids=lambda value: ascii(value))
def test_twins(how: Merging, one: str, other: str) -> None:
    order: list[Merging] = ["none", "values", "spelling", "case"]
    for place, asked in enumerate(order):
        expected = {other: one} if place >= order.index(how) else {}
        assert merged({one: 3, other: 2}, asked) == expected
    [said] = remarks({one: 3, other: 2}, {})
    assert f'merge_labels = "{how}" merges them' in said
    assert said.isascii() or how == "case"


@pytest.mark.parametrize(("one", "other"), APART)
def test_labels_that_are_two(one: str, other: str) -> None:
    assert merged({one: 3, other: 2}, "case") == {}
    assert list(remarks({one: 3, other: 2}, {})) == []


def test_the_commonest_spelling_stays() -> None:
    assert merged({"a": 1, "A": 5, " a": 5}, "case") == {"a": "A", " a": "A"}
    assert merged({"a": 2, "A": 2}, "case") == {"a": "A"}


def validated(examples: Examples, folder: Path) -> list[str]:
    out = Statistics(folder)
    out.path.mkdir()
    validate(out, examples)
    found: list[str] = out.read()["warnings"]
    return [line for line in found if line.startswith("labels ")]


def test_numbers_of_two_files_are_one_label(tmp_path: Path) -> None:
    columns = (pa.array([0, 1] * 150), pa.array([0.0, 1.0, None] * 100))
    for i, labels in enumerate(columns):
        texts = [f"text {i} {j}" for j in range(300)]
        pq.write_table(pa.table({"text": texts, "label": labels}), tmp_path / f"{i}.parquet")
    examples = ingested(tmp_path / "out", open_source(f"{tmp_path}/*.parquet"))
    assert {row["label"] for row in all_rows(examples)} == {"0", "1"}
    assert examples.schema()["merged_labels"] == {"0.0": "0", "1.0": "1"}
    assert validated(examples, tmp_path / "statistics") == [
        "labels that are equal were merged: '0.0' as '0', '1.0' as '1': data.merge_labels"
    ]


def test_twins_are_told_and_merged(tmp_path: Path) -> None:
    forms = [unicodedata.normalize(form, "café") for form in ("NFC", "NFC", "NFD")]
    rows = Rows(tuple((f"text {i}", [*forms, "b"][i % 4]) for i in range(400)))
    examples = ingested(tmp_path / "out", rows)
    [told] = validated(examples, tmp_path / "told")
    assert "'caf\\xe9' (200)" in told
    assert "'cafe\\u0301' (100)" in told
    one = ingested(tmp_path / "one", rows, merge_labels="spelling")
    assert {row["label"] for row in all_rows(one)} == {"café", "b"}
    assert len(validated(one, tmp_path / "merged")) == 1


def test_twins_are_no_conflict(tmp_path: Path) -> None:
    rows = Rows((("x", "Spam"), ("x", "spam"), ("x", "Spam"), ("y", "ham"), ("z", "")))
    examples = ingested(tmp_path / "out", rows, merge_labels="case")
    assert [(row["text"], row["label"]) for row in all_rows(examples)] == [
        ("x", "Spam"), ("y", "ham")
    ]  # fmt: skip
    assert examples.schema()["conflicts"] == 0
    assert [row["label"] for row in quarantine(examples)] == [""]


@pytest.mark.parametrize(
    ("kind", "labels", "expected"),
    [
        ("many", ["Spam|b", "spam|b", "Spam|spam", ""], ["Spam|b", "Spam|b", "Spam", ""]),
        (
            "spans",
            ['[[0, 2, "Who"]]', '[[0, 1, "who"]]', '[[0, 1, "Who"]]', "[]"],
            ['[[0, 2, "Who"]]', '[[0, 1, "Who"]]', '[[0, 1, "Who"]]', "[]"],
        ),
    ],
)
def test_names_of_several(
    tmp_path: Path, kind: Any, labels: list[str], expected: list[str]
) -> None:
    rows = Rows(tuple((f"text {i}", label) for i, label in enumerate(labels)))
    options: dict[str, Any] = {"labels": kind, "cleaning": UNTOUCHED, "merge_labels": "case"}
    found = all_rows(ingested(tmp_path / "out", rows, **options))
    assert [row["label"] for row in found] == expected


@pytest.mark.parametrize(("one", "other"), CODES)
def test_numbers_that_may_be_codes_are_told(one: str, other: str) -> None:
    assert merged({one: 3, other: 2}, "case") == {}
    [said] = remarks({one: 3, other: 2}, {})
    assert said.startswith("labels of one value: ")


def test_numbers_are_told_once() -> None:
    counts = {"1": 5, "01": 3, "1e0": 1, "true": 2, "10": 9, "1_0": 1, "one": 2, "1.0": 4}
    twins, values = remarks(counts, {})
    assert twins.startswith("labels that may be one: '1' (5), '1.0' (4): merge_labels")
    assert values == (
        "labels of one value: '01' (3), '1' (5), '1.0' (4), '1e0' (1), 'true' (2); "
        "write them alike if they are one"
    )


def test_what_may_be_missing_is_told() -> None:
    assert list(remarks({"nan": 3, "en": 5}, {})) == [
        "labels that may stand for a missing one: 'nan' (3); leave them empty if so"
    ]
