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

from hearing import warnings_heard
from textmill.components.sources.by_name import open_source
from textmill.components.sources.csv import Delimited
from textmill.components.sources.dialect import guess_delimiter
from textmill.components.sources.records import LONGEST_FIELD
from textmill.components.sources.source import ROWS_PER_BATCH, Rejected
from textmill.errors import UserError
from textmill.pipelines.data import Files

Read = tuple[list[tuple[int, list[str]]], list[Rejected]]


def read(content: str | bytes, suffix: str = ".csv", **options: Any) -> Read:
    """Returns (line, values) of every row, and the rejected rows."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, f"a{suffix}")
        file.write_bytes(content if isinstance(content, bytes) else content.encode())
        rows: list[tuple[int, list[str]]] = []
        rejected: list[Rejected] = []
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
    rows = [(a.replace("\0", ""), b.replace("\0", "")) for a, b in rows]  # NUL is no text
    if end == "\n":  # csv writes "\r" bare there, and at the end of a line it is part of its end
        rows = [(a, b.rstrip("\r")) for a, b in rows]
    text, lines = io.StringIO(newline=""), []
    writer = csv.writer(text, delimiter=kind[1], quoting=quoting, lineterminator=end)
    writer.writerow(["text", "label"])
    for row in rows:
        lines.append(1 + text.getvalue().count("\n"))
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
    found, rejected = read('text,label\n"two,2\n' + line * many, quoting="standard")
    assert len(found) == many
    assert reasons(rejected) == [(2, f"bad quote: open for {LONGEST_FIELD} characters")]


def test_quotes_can_be_plain_characters() -> None:
    found, rejected = read('text\tlabel\n"one\t1\ntw"o"\t2\n', ".tsv", quoting="none")
    assert found == [(2, ['"one', "1"]), (3, ['tw"o"', "2"])]
    assert rejected == []


def raw_table(delimiter: str, labels: str, quoted: list[int]) -> tuple[str, list[list[str]]]:
    """Returns a table without quoted fields in which some texts hold quotes, and its rows."""
    rows = [[f"Film {i} was worth it", labels[i % len(labels)]] for i in range(120)]
    for i in quoted:
        rows[i][0] = f'"{rows[i][0]}' if i % 2 else f'{rows[i][0]}, he said "'
    if delimiter == ",":
        rows = [[row[0].replace(",", ""), row[1]] for row in rows]
    lines = [delimiter.join(row) for row in [["text", "label"], *rows]]
    return "\n".join([*lines, ""]), rows


@pytest.mark.parametrize("delimiter", ["\t", ",", ";", "|"])
@pytest.mark.parametrize("labels", ["ab", "05", "abcdefghijklmnopqrstuvwxyz"])
@pytest.mark.parametrize(
    "quoted",
    [
        "11 20 31 40",  # each takes in ten rows
        "1 118",  # nearly all rows in one field
        "1 2 3 4 5 6",  # of two rows each
        "119",  # on the last line, closed by none
        "7",
    ],
)
def test_quotes_of_a_text_take_in_no_rows(delimiter: str, labels: str, quoted: str) -> None:
    places = list(map(int, quoted.split()))
    content, rows = raw_table(delimiter, labels, places)
    with warnings_heard() as heard:
        found, rejected = read(content, delimiter=delimiter)
    assert [values for _, values in found] == rows
    assert [line for line, _ in found] == list(range(2, 122))
    assert rejected == []
    assert len(heard) == 1
    assert f"the first is line {next(i for i in places if i % 2) + 2}" in heard[0]
    assert 'quoting = "none"' in heard[0]
    # Python's csv module, and pandas with it, lose rows in all of these without a word.
    lines = content.splitlines(keepends=True)
    assert len(list(csv.reader(lines, delimiter=delimiter))) < 121 or quoted == "119"
    with warnings_heard() as heard:
        assert read(content, delimiter=delimiter, quoting="none") == (found, [])
    assert heard == []


def test_quotes_of_a_text_where_no_column_tells() -> None:
    pairs = [f"Line {i} here\tLinea {i} aqui" for i in range(60)]
    pairs[5], pairs[9], pairs[30] = f'"{pairs[5]}', f'{pairs[9]}"', f'"{pairs[30]}'
    content = "\n".join(["text\ttarget", *pairs, ""])
    found, rejected = read(content, ".tsv")
    assert ["\t".join(values) for _, values in found] == pairs
    assert rejected == []


POEM = "Roses are red, violets are blue\nSugar is sweet, and so are you"


@pytest.mark.parametrize("quoting", [csv.QUOTE_MINIMAL, csv.QUOTE_ALL])
@pytest.mark.parametrize("delimiter", [",", "\t", ";"])
@pytest.mark.parametrize("labels", ["ab", "12", None])
def test_quoted_fields_keep_their_lines(quoting: Any, delimiter: str, labels: str | None) -> None:
    rows = [
        [
            "\n".join([POEM] * (i % 3)) + f'\nverse, {i} of "all"' * (i % 2),
            labels[i % 2] if labels else f"answer {i}",
        ]
        for i in range(100)
    ]
    text = io.StringIO(newline="")
    csv.writer(text, delimiter=delimiter, quoting=quoting).writerows([["text", "label"], *rows])
    with warnings_heard() as heard:
        found, rejected = read(text.getvalue(), delimiter=delimiter)
    assert [values for _, values in found] == rows
    assert (rejected, heard) == ([], [])


def test_numbers_that_begin_lines_are_no_rows() -> None:
    rows = [[str(i), f"film {i}, well"] for i in range(100)] + [["100", "Steps\n1, go\n2, see"]]
    text = io.StringIO(newline="")
    csv.writer(text).writerows([["id", "text"], *rows])
    assert [values for _, values in read(text.getvalue())[0]] == rows


@pytest.mark.parametrize("header", ["text, label", "text,label"])
@pytest.mark.parametrize("some", [1, 2])
def test_blanks_before_quotes_are_none_of_the_field(header: str, some: int) -> None:
    rows = [[f'film {i}, "so"', "ab"[i % 2]] for i in range(60)]
    lines = [
        '"{}", "{}"'.format(text.replace('"', '""'), label)
        if i % some == 0
        else '"{}",{}'.format(text.replace('"', '""'), label)
        for i, (text, label) in enumerate(rows)
    ]
    content = "\n".join([header, *lines])
    assert [values for _, values in read(content)[0]] == rows
    # So do Python's csv and pandas, if they are told.
    told = csv.reader(io.StringIO(content), skipinitialspace=True)
    assert list(told) == [["text", "label"], *rows]


def test_blanks_of_a_text_stay() -> None:
    rows = [[f' "film" {i}, ', f" {i}"] for i in range(60)]
    text = io.StringIO(newline="")
    csv.writer(text).writerows([["text", "label"], *rows])
    assert [values for _, values in read(text.getvalue())[0]] == rows


@pytest.mark.parametrize("first", ["label", "text"])
def test_a_table_in_a_field_stays_there(first: str) -> None:
    table = "See:\n" + "".join(f"{'ab'[i % 2]},{'ba'[i % 2]}\n" for i in range(40)) + "That's all."
    rows = [[f"film {i}" if i != 50 else table, "ab"[i % 2]] for i in range(100)]
    rows = [row[:: -1 if first == "label" else 1] for row in [["text", "label"], *rows]]
    text = io.StringIO(newline="")
    csv.writer(text).writerows(rows)
    with warnings_heard() as heard:
        found, rejected = read(text.getvalue())
    assert [values for _, values in found] == rows[1:]
    assert rejected == []
    assert "the quoted field on line 52 may be several rows" in heard[0]


def test_quotes_take_in_no_class_that_is_nowhere_else() -> None:
    rows = [[f"Film {i}", f"class {i // 8}"] for i in range(120)]
    for i in range(0, 120, 20):
        rows[i + 3][0], rows[i + 11][0] = f'"{rows[i + 3][0]}', f'{rows[i + 11][0]}"'
    content = "".join(f"{text};{label}\n" for text, label in [["text", "label"], *rows])
    assert [values for _, values in read(content, delimiter=";")[0]] == rows


@pytest.mark.parametrize(
    ("content", "suffix", "rows"),
    [
        pytest.param('text\ttarget\na\tA\n"b\tB\nc\tC\nd"\tD\n', ".tsv", 2, id="few"),
        pytest.param('text,label\na,A\n"b,B\nc,C\nd",D\n', ".csv", 2, id="few with commas"),
        pytest.param(
            "text\nfilm\n" + '"film\nfilm\nfilm\nfilm\nfilm"\n' + "film\n" * 20,
            ".csv",
            22,
            id="one column",
        ),
    ],
)
def test_a_field_that_may_be_rows_is_told(content: str, suffix: str, rows: int) -> None:
    with warnings_heard() as heard:
        found, _ = read(content, suffix)
    assert len(found) == rows
    [warning] = heard
    assert "the quoted field on line 3 may be several rows" in warning
    assert 'set quoting = "none"; else quoting = "standard"' in warning


def test_quotes_by_the_config(tmp_path: Path) -> None:
    (tmp_path / "a.tsv").write_text(raw_table("\t", "ab", [11, 20])[0])
    counts = {
        quoting: sum(batch.rows.num_rows for batch in files.open(f"{tmp_path}/a.tsv").batches())
        for quoting, files in {
            "auto": Files(),
            "none": Files(quoting="none"),
            "": Files(quote=""),
            "standard": Files(quoting="standard"),
        }.items()
    }
    assert counts == {"auto": 120, "none": 120, "": 120, "standard": 111}


@pytest.mark.parametrize(
    ("line", "delimiter"),
    [
        ("sep=;", ";"),
        ("SEP=|", "|"),
        ('"sep=,"', ","),
        ("sep=\t", "\t"),
        ("sep=;;", ";"),
        ("sep=; ", ";"),
    ],
)
@pytest.mark.parametrize("suffix", [".csv", ".tsv"])
def test_a_first_line_that_names_the_delimiter(line: str, delimiter: str, suffix: str) -> None:
    content = f"{line}\r\ntext{delimiter}label\r\n\r\nwell{delimiter}a\r\n"
    for mark in ("", "\ufeff"):
        assert read(mark + content, suffix) == ([(4, ["well", "a"])], [])
    rows = content.replace(f"text{delimiter}label\r\n", "")
    assert read(rows, suffix, columns=["text", "label"])[0] == [(3, ["well", "a"])]
    if delimiter != ";":  # what the config says goes first
        assert read("sep=;\n" + content.split("\r\n", 1)[1], suffix, delimiter=delimiter)[0]


def test_each_file_has_its_delimiter(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("text,label\na\tb,x\n")
    (tmp_path / "b.tsv").write_text("text\tlabel\na,b\tx\n")
    (tmp_path / "c.csv").write_text("sep=;\ntext;label\na,b;x\n")
    batches = open_source(f"{tmp_path}/*").batches()
    assert [row["text"] for batch in batches for row in batch.rows.to_pylist()] == [
        "a\tb", "a,b", "a,b",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("lines", "delimiter"),
    [
        (["text,label", "a;b,x"], ","),
        (["text;label", "a, b;x", "c, d, e;x"], ";"),
        (["text\tlabel", "a, b\tx"], "\t"),
        (["text|label", "a|x"], "|"),
        (['"text, all";label', "a, b;x"], ";"),
        (["text", "a; b"], ","),
        (["sep=|", "a;b|c"], "|"),
        ([], ","),
    ],
)
def test_a_guess_at_the_delimiter(lines: list[str], delimiter: str) -> None:
    assert guess_delimiter([f"{line}\n" for line in lines]) == delimiter


def test_lone_returns_are_characters_but_on_the_old_mac() -> None:
    content = "text\tlabel\none\rtwo\ta\n\rthree\tb\r\n"
    assert read(content, ".tsv")[0] == [(2, ["one\rtwo", "a"]), (3, ["\rthree", "b"])]
    assert read("text,label\rone,1\r\rtwo,2\r")[0] == [(2, ["one", "1"]), (4, ["two", "2"])]
    excel = 'text,label\rone,1\r"fo\nur",4\r"five\nlines\n",5\rsix,6'
    assert read(excel) == (
        [(2, ["one", "1"]), (3, ["fo\nur", "4"]), (5, ["five\nlines\n", "5"]), (8, ["six", "6"])],
        [],
    )


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
