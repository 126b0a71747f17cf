"""Delimited text: what Python's csv module writes comes back, each row with its line."""

from __future__ import annotations

import csv
import io
import re
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from textmill.components.sources.by_name import open_source
from textmill.components.sources.csv import LONGEST_FIELD, Delimited
from textmill.components.sources.source import ROWS_PER_BATCH, Rejected
from textmill.errors import UserError

Read = tuple[list[tuple[int, list[str]]], list[Rejected]]


def read(content: str | bytes, suffix: str = ".csv", **options: Any) -> Read:
    """Returns (line, values) of every row, and the rejected rows."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, f"a{suffix}")
        file.write_bytes(content if isinstance(content, bytes) else content.encode())
        rows, rejected = [], []
        for batch in open_source(str(file), **options).batches():
            values = [list(row.values()) for row in batch.rows.to_pylist()]
            rows += list(zip(batch.line.to_pylist(), values, strict=True))
            rejected += batch.rejected
        return rows, rejected


def reasons(rejected: list[Rejected]) -> list[tuple[int, str]]:
    return [(row.line, row.reason) for row in rejected]


FIELD = st.text(st.sampled_from("ab,;\t\"\n\r 'é😀\x0b\u2028") | st.characters(codec="utf-8"))


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.tuples(FIELD, FIELD), max_size=8),
    st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
    st.sampled_from(["\n", "\r\n"]),
    st.sampled_from([(".csv", ","), (".tsv", "\t"), (".tab", "\t")]),
)
def test_what_csv_writes_comes_back(
    rows: list[tuple[str, str]], quoting: Any, end: str, kind: tuple[str, str]
) -> None:
    # csv writes "\r" bare where the line ends in "\n" only; and NUL is no text.
    rows = [(a.replace("\0", ""), b.replace("\0", "")) for a, b in rows]
    if end == "\n":
        rows = [(a.replace("\r", ""), b.replace("\r", "")) for a, b in rows]
    text, lines = io.StringIO(newline=""), []
    writer = csv.writer(text, delimiter=kind[1], quoting=quoting, lineterminator=end)
    writer.writerow(["text", "label"])
    for row in rows:
        lines.append(1 + len(re.findall(r"\r\n|\r|\n", text.getvalue())))
        writer.writerow(row)
    found, rejected = read(text.getvalue(), kind[0])
    assert rejected == []
    assert found == [(line, list(row)) for line, row in zip(lines, rows, strict=True)]


@settings(max_examples=300, deadline=None)
@given(st.text(st.sampled_from('ab,"\n\r')), st.binary(max_size=4))
def test_any_text_is_rows_or_rejected_rows(text: str, tail: bytes) -> None:
    content = b"text,label\n" + text.encode() + tail.replace(b"\0", b"")
    found, rejected = read(content)
    lines = sorted([line for line, _ in found] + [row.line for row in rejected])
    assert len(set(lines)) == len(lines), "a line begins at most one row"
    last = len(re.findall(rb"\r\n|\r|\n", content)) + 1
    assert all(2 <= line <= last for line in lines)
    for row in rejected:
        (row.text or "").encode()
    # Nothing is swallowed: every letter is in a row or in a rejected one.
    kept = "".join(value for _, values in found for value in values)
    kept += "".join(row.text or "" for row in rejected)
    for letter in "ab":
        assert kept.count(letter) >= content[11:].count(letter.encode())


def test_rows_with_too_many_or_too_few_fields() -> None:
    found, rejected = read('text,label\none,1\ntwo\n\nthree,3,3\n"fo\nur",4\n,5\n')
    assert found == [(2, ["one", "1"]), (6, ["fo\nur", "4"]), (8, ["", "5"])]
    assert rejected == [
        Rejected(ANY, 3, "wrong number of fields: 2 expected, 1 found", "two"),
        Rejected(ANY, 5, "wrong number of fields: 2 expected, 3 found", "three,3,3"),
    ]


class _Any(str):
    def __eq__(self, other: object) -> bool:
        return True

    __hash__ = str.__hash__


ANY = _Any()


def test_a_quote_that_is_never_closed_costs_one_line() -> None:
    found, rejected = read('text,label\none,1\n"two,2\nthree,3\n"fo\nur",4\nfive,"5\n')
    assert found == [(2, ["one", "1"]), (4, ["three", "3"]), (5, ["fo\nur", "4"])]
    assert [(row.line, row.text) for row in rejected] == [(3, '"two,2'), (7, 'five,"5')]
    assert rejected[0].reason.startswith("bad quote: ")
    assert rejected[1].reason == "bad quote: never closed"


def test_a_quote_open_for_megabytes_is_given_up() -> None:
    line = "x" * 99 + ",1\n"
    many = LONGEST_FIELD // len(line) + 10
    found, rejected = read('text,label\n"two,2\n' + line * many)
    assert len(found) == many
    assert reasons(rejected) == [(2, f"bad quote: open for {LONGEST_FIELD} characters")]


def test_quotes_can_be_plain_characters() -> None:
    found, rejected = read('text\tlabel\n"one\t1\ntw"o"\t2\n', ".tsv", quote=None)
    assert found == [(2, ['"one', "1"]), (3, ['tw"o"', "2"])]
    assert rejected == []


def test_a_row_in_another_encoding_is_rejected_alone() -> None:
    found, rejected = read(b"\xef\xbb\xbftext,label\ncaf\xc3\xa9,1\ncaf\xe9,2\nfine,3\n")
    assert found == [(2, ["café", "1"]), (4, ["fine", "3"])]
    assert rejected == [Rejected(ANY, 3, "invalid encoding", "caf\\xe9,2")]


def test_other_encodings() -> None:
    content = "text,label\ncafé,1\n"
    for encoding in ("cp1252", "utf-16", "utf-16-le", "utf-8"):
        assert read(content.encode(encoding), encoding=encoding) == ([(2, ["café", "1"])], [])


def test_rows_below_the_header_and_files_without_one() -> None:
    orange = "Category\tText\nd\tstring\nclass\t\n\nearn\tone\n"
    assert read(orange, ".tab", skip_rows_after_header=2) == ([(5, ["earn", "one"])], [])
    assert read("a,1\nb,2\n", columns=["text", "label"])[0] == [(1, ["a", "1"]), (2, ["b", "2"])]
    assert read("text;label\na;1\n", delimiter=";")[0] == [(2, ["a", "1"])]


def test_a_header_and_nothing_else() -> None:
    assert read("text,label") == ([], [])


def test_a_column_without_a_name(tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    file.write_text(",text,\n0,a,x\n")
    [batch] = Delimited((str(file),)).batches()
    assert batch.rows.schema.names == ["column_1", "text", "column_3"]


@pytest.mark.parametrize(
    ("content", "options", "message"),
    [
        (b"", {}, r"(?s)a\.csv: is empty.*expected: a header line"),
        (b"\n\n", {}, r"a\.csv: is empty"),
        (b"text,label,text\na,b,c\n", {}, r"(?s)1 column names stand twice.*received: text"),
        (b"t\xe9xt,label\na,b\n", {}, r"(?s)header is not utf-8.*cp1252"),
        (b'"text,label\na,b\n', {}, r"(?s)the header can't be read.*never closed"),
        (b"text\na", {"delimiter": ",,"}, r"(?s)delimiter = ',,'.*expected: one character"),
        (b"text\na", {"quote": ""}, r"(?s)quote = ''.*expected: one character"),
    ],
)
def test_files_that_can_not_be_read(content: bytes, options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        read(content, **options)


def test_long_files_come_in_batches(tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    many = 2 * ROWS_PER_BATCH + 1
    file.write_text("text\n" + "".join(f"{i}\n" for i in range(many)))
    sizes = [batch.rows.num_rows for batch in Delimited((str(file),)).batches()]
    assert sizes == [ROWS_PER_BATCH, ROWS_PER_BATCH, 1]
    file.write_text("text\n" + ("x" * 1_000_000 + "\n") * 40)
    sizes = [batch.rows.num_rows for batch in Delimited((str(file),)).batches()]
    assert sizes == [34, 6]
