"""Files of tagged words, in every scheme that they come in."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from textmill.components.sources.by_name import open_source
from textmill.components.sources.conll import Conll
from textmill.components.sources.source import Rejected

Span = tuple[int, int, str]


def read(folder: Path, content: str | bytes, **options: Any) -> tuple[list[Any], list[Rejected]]:
    """Returns (line, text, spans) of each sentence, and what was rejected."""
    file = folder / "a.conll"
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    rows, rejected = [], []
    for batch in Conll((str(file),), **options).batches():
        lines = batch.line.to_pylist()
        for line, row in zip(lines, batch.rows.to_pylist(), strict=True):
            rows.append((line, row["text"], [tuple(span) for span in json.loads(row["label"])]))
        rejected += batch.rejected
    return rows, rejected


def tagged(folder: Path, *tags: str) -> list[Span]:
    """Returns the spans that tags of the words a, b, c … mark."""
    lines = (f"{word} {tag}" for word, tag in zip("abcdefgh", tags, strict=False))
    [(_, _, spans)], rejected = read(folder, "\n".join(lines))
    assert not rejected
    return spans


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        ("B-x I-x O B-x", [(0, 3, "x"), (6, 7, "x")]),
        ("B-x B-x I-x", [(0, 1, "x"), (2, 5, "x")]),
        ("I-x I-x O I-x", [(0, 3, "x"), (6, 7, "x")]),  # BIO of the first kind
        ("I-x B-x I-x", [(0, 1, "x"), (2, 5, "x")]),
        ("I-x I-y", [(0, 1, "x"), (2, 3, "y")]),
        ("B-x I-y I-y", [(0, 1, "x"), (2, 5, "y")]),
        ("O I-x O", [(2, 3, "x")]),
        ("B-x E-x S-x S-x", [(0, 3, "x"), (4, 5, "x"), (6, 7, "x")]),  # BIOES
        ("B-x I-x E-x I-x", [(0, 5, "x"), (6, 7, "x")]),
        ("S-x I-x", [(0, 1, "x"), (2, 3, "x")]),
        ("E-x E-x", [(0, 1, "x"), (2, 3, "x")]),
        ("B-x L-x U-x B-y I-y L-y", [(0, 3, "x"), (4, 5, "x"), (6, 11, "y")]),  # BILOU
        ("B-x-y I-x-y", [(0, 3, "x-y")]),  # a name with the sign in it
        ("O O", []),
    ],
)
def test_schemes(tmp_path: Path, tags: str, expected: list[Span]) -> None:
    assert tagged(tmp_path, *tags.split()) == expected


CONTENT = """-DOCSTART- -X- -X- O

EU NNP B-NP B-ORG
rejects VBZ B-VP O

-DOCSTART- -X- -X- O
Peter NNP B-NP B-PER
Blackburn NNP I-NP I-PER
-DOCSTART- -X- -X- O

  \t
BRUSSELS NNP B-NP B-LOC"""
SENTENCES = [
    (3, "EU rejects", [(0, 2, "ORG")]),
    (7, "Peter Blackburn", [(0, 15, "PER")]),
    (12, "BRUSSELS", [(0, 8, "LOC")]),
]


@pytest.mark.parametrize("end", ["", "\n", "\n\n\n", "\n-DOCSTART- -X- -X- O\n"])
def test_documents_empty_lines_and_any_end(tmp_path: Path, end: str) -> None:
    assert read(tmp_path, CONTENT + end) == (SENTENCES, [])


def test_other_line_ends_tabs_and_byte_order_marks(tmp_path: Path) -> None:
    for other in (
        CONTENT.replace("\n", "\r\n"),
        CONTENT.replace(" ", "\t"),
        CONTENT.replace(" ", "   "),
        "\ufeff" + CONTENT,
    ):
        assert read(tmp_path, other) == (SENTENCES, [])
    assert read(tmp_path, CONTENT.encode("utf-16"), encoding="utf-16") == (SENTENCES, [])


def test_words_between_tabs_may_hold_spaces(tmp_path: Path) -> None:
    assert read(tmp_path, "New York\tB-LOC\nslept\tO\t\n")[0] == [
        (1, "New York slept", [(0, 8, "LOC")])
    ]


def test_a_no_break_space_is_part_of_its_word(tmp_path: Path) -> None:
    assert read(tmp_path, "10\u00a0000 B-SUM\n\u2003 O\nEUR\u3000 I-SUM\n")[0] == [
        (1, "10\u00a0000 \u2003 EUR\u3000", [(0, 6, "SUM"), (9, 13, "SUM")])
    ]


def test_characters_count_not_bytes(tmp_path: Path) -> None:
    [(_, text, spans)], _ = read(tmp_path, "Zoë B-who\n👍🏽 O\n好看 B-it\n")
    assert [text[a:b] for a, b, _ in spans] == ["Zoë", "好看"]


def test_what_is_wrong_costs_its_sentence(tmp_path: Path) -> None:
    content = (
        b"good B-x\n\nAda\nslept O\n\nAda B-x\nslept Z-x\n\ncaf\xe9 B-x\nopen O\n\n"
        b"a B-\n\nb B\n\nc -x\n\nalso O\n"
    )
    rows, rejected = read(tmp_path, content)
    assert [row[:2] for row in rows] == [(1, "good"), (18, "also")]
    assert [(each.line, each.reason) for each in rejected] == [
        (3, "invalid line: no tag behind 'Ada'"),
        (6, "invalid tag: Z-x"),
        (9, "invalid encoding"),
        (12, "invalid tag: B-"),
        (14, "invalid tag: B"),
        (16, "invalid tag: -x"),
    ]
    assert rejected[2].text == "caf\\xe9 B-x open O"
    assert {each.file for each in rejected} == {str(tmp_path / "a.conll")}


def test_names_of_files(tmp_path: Path) -> None:
    (tmp_path / "a.bio").write_text("Ada B-x\n")
    (tmp_path / "b.conll").write_text("Bob B-x\n")
    with gzip.open(tmp_path / "c.conll.gz", "wt") as file:
        file.write("Cy B-x\n")
    for name, words in (("a.bio", ["Ada"]), ("*", ["Ada", "Bob", "Cy"])):
        batches = open_source(f"{tmp_path}/{name}").batches()
        assert [row["text"] for batch in batches for row in batch.rows.to_pylist()] == words
    (tmp_path / "empty.conll").write_text("\n\n-DOCSTART- O\n")
    [batch] = open_source(f"{tmp_path}/empty.conll").batches()
    assert (batch.rows.num_rows, batch.rows.schema.names) == (0, ["text", "label"])


WORD = st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=6)
WORDS = WORD.filter(lambda word: not word.startswith("-DOCSTART-"))
PART = st.tuples(st.sampled_from(["", "PER", "LOC", "a-b", "Ä"]), st.lists(WORDS, min_size=1))


def tags_in(scheme: str, parts: list[tuple[str, list[str]]]) -> list[str]:
    found: list[str] = []
    for place, (name, words) in enumerate(parts):
        if not name:
            found += ["O"] * len(words)
            continue
        before = parts[place - 1][0] if place else ""
        single, last = {"BIOES": "SE", "BILOU": "UL"}.get(scheme, "BI")
        first = "B" if scheme != "IOB" or before == name else "I"
        inner = ["I"] * (len(words) - 2)
        letters = (
            [first, *inner, last] if len(words) > 1 else [single if scheme != "IOB" else first]
        )
        found += [f"{letter}-{name}" for letter in letters]
    return found


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.lists(PART, min_size=1, max_size=5), max_size=4), st.sampled_from(" \t"),
       st.sampled_from(["BIO", "IOB", "BIOES", "BILOU"]))  # fmt: skip
def test_spans_come_back(
    tmp_path_factory: pytest.TempPathFactory, sentences: Any, between: str, scheme: str
) -> None:
    expected, lines = [], []
    for parts in sentences:
        words = [word for _, each in parts for word in each]
        spans, place = [], 0
        for name, each in parts:
            end = place + len(" ".join(each))
            spans += [(place, end, name)] if name else []
            place = end + 1
        expected.append((len(lines) + 1, " ".join(words), spans))
        rows = zip(words, tags_in(scheme, parts), strict=True)
        lines += [f"{word}{between}{tag}" for word, tag in rows] + [""]
    folder = tmp_path_factory.mktemp("conll")
    assert read(folder, "\n".join(lines)) == (expected, [])
