"""Which rows each kind of source hands over, and how it says what is wrong with a file."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hearing import warnings_heard
from ingesting import rows_of
from textmill.components.sources.by_name import open_source
from textmill.components.sources.folders import ClassFolders, LabelledLines
from textmill.components.sources.source import Rejected, Source
from textmill.errors import UserError


def rejected_of(source: Source) -> list[Rejected]:
    return [row for batch in source.batches() for row in batch.rejected]


def texts_of(source: Source) -> list[str]:
    return [row["text"] for row in rows_of(source)]


def test_json_lines(tmp_path: Path) -> None:
    file = tmp_path / "a.jsonl"
    values: list[Any] = [
        {"text": "one", "stars": 5, "half": 1.0, "ok": True},
        {"text": None, "new": ["ä", {"b": None}]},
    ]
    file.write_text("\n".join(map(json.dumps, values[:1])) + "\n\n" + json.dumps(values[1]))
    assert rows_of(open_source(str(file))) == [
        {"text": "one", "stars": "5", "half": "1.0", "ok": "true", "new": None}
        | {"file": str(file), "line": 1},
        {"text": None, "stars": None, "half": None, "ok": None, "new": '["ä", {"b": null}]'}
        | {"file": str(file), "line": 3},
    ]


def test_bad_json_lines_are_rejected_one_by_one(tmp_path: Path) -> None:
    file = tmp_path / "a.jsonl"
    bad = [
        (b'{"text": ', "invalid JSON: Expecting value, column 9"),
        (b'["text"]', "invalid JSON: an object expected, list found"),
        (b'{"text": "caf\xe9"}', "invalid encoding"),
        (b'{"text": "\\ud83d"}', "invalid encoding"),
        (b'{"text": ["\\ud83d"]}', "invalid encoding"),
        (b"[" * 100_000, "invalid JSON: maximum recursion depth exceeded"),
        (b'{"text": ' + b"1" * 5000 + b"}", "invalid JSON: Exceeds the limit"),
    ]
    file.write_bytes(b'{"text": "good"}\n' + b"\n".join(line for line, _ in bad) + b"\n")
    source = open_source(str(file))
    assert texts_of(source) == ["good"]
    rejected = rejected_of(source)
    assert [row.line for row in rejected] == list(range(2, 2 + len(bad)))
    for row, (_, reason) in zip(rejected, bad, strict=True):
        assert row.reason.startswith(reason)
        (row.text or "").encode()
    assert rejected[2].text == '{"text": "caf\\xe9"}'


ROWS = [{"text": "one", "label": "a"}, {"text": "two\nlines", "label": "b"}, {"text": "three"}]


@pytest.mark.parametrize(
    "written",
    [
        json.dumps(ROWS),
        json.dumps(ROWS, indent=2),
        "\n\n  " + json.dumps(ROWS),
        "[\n" + ",\n".join(map(json.dumps, ROWS)) + "\n]",
        "\n".join(json.dumps(row, indent=4) for row in ROWS),
        json.dumps({"data": ROWS}),
        json.dumps({"version": "1.0", "rows": ROWS}, indent=1),
        json.dumps({"examples": ROWS}) + "\n",
        json.dumps({name: [row.get(name) for row in ROWS] for name in ("text", "label")}),
        json.dumps(  # as pandas writes a table where nothing is said
            {name: {i: row.get(name) for i, row in enumerate(ROWS)} for name in ("text", "label")}
        ),
        json.dumps(  # orient="split"
            {
                "columns": ["text", "label"],
                "index": [0, 1, 2],
                "data": [[row["text"], row.get("label")] for row in ROWS],
            }
        ),
        json.dumps({i: {"label": None, **row} for i, row in enumerate(ROWS)}),  # orient="index"
        json.dumps({"tweets": ROWS}),
        json.dumps({"count": 3, "next": None, "results": ROWS}),
    ],
)
def test_a_json_document(tmp_path: Path, written: str) -> None:
    file = tmp_path / "a.json"
    file.write_text("\ufeff" + written)
    found = rows_of(open_source(str(file)))
    assert [(row["text"], row["label"]) for row in found] == [
        (row["text"], row.get("label")) for row in ROWS
    ]
    assert [row["line"] for row in found] == [1, 2, 3]


def test_a_json_document_of_splits(tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    file.write_text(json.dumps({"train": ROWS[:2], "test": [{**ROWS[2], "split": "own"}]}))
    found = [(row["text"], row["split"]) for row in rows_of(open_source(str(file)))]
    assert found == [("one", "train"), ("two\nlines", "train"), ("three", "own")]


def test_a_line_that_looks_like_a_document_is_a_row_of_many(tmp_path: Path) -> None:
    file = tmp_path / "a.jsonl"
    rows = [{"items": [{"x": 1}], "text": "one"}, {"items": [], "text": "two"}]
    file.write_text("\n".join(map(json.dumps, rows)))
    assert [(row["text"], row["line"]) for row in rows_of(open_source(str(file)))] == [
        ("one", 1), ("two", 2)
    ]  # fmt: skip
    file.write_text('{"text": \n{"text": "good"}\n')  # the first line is a bad one
    assert texts_of(open_source(str(file))) == ["good"]
    assert [row.line for row in rejected_of(open_source(str(file)))] == [1]


def test_what_is_one_row_of_lists(tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    for row in (
        {"messages": [{"role": "user", "content": "Who?"}]},
        {"text": "Ann slept.", "entities": [{"start": 0, "end": 3, "label": "who"}]},
    ):
        file.write_text(json.dumps(row))
        [found] = rows_of(open_source(str(file)))
        assert list(found) == [*row, "file", "line"]


def test_json_documents_with_faults(tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    file.write_text('[{"text": "one"}, 5, ["x"], {"text": "\\ud800"}]')
    assert texts_of(open_source(str(file))) == ["one"]
    assert [(row.line, row.reason) for row in rejected_of(open_source(str(file)))] == [
        (2, "invalid JSON: an object expected, int found"),
        (3, "invalid JSON: an object expected, list found"),
        (4, "invalid encoding"),
    ]
    for broken in (
        json.dumps(ROWS)[:-5],
        json.dumps(ROWS[0], indent=2) + '\n{\n"text": ',
        "[" * 99_999,
    ):
        file.write_text(broken)
        with pytest.raises(UserError, match=r"(?s)a\.json: damaged JSON"):
            rows_of(open_source(str(file)))


def test_json_that_is_no_number(tmp_path: Path) -> None:
    file = tmp_path / "a.jsonl"
    file.write_text('{"text": NaN, "label": -Infinity, "more": [NaN, 1]}\n{"label": 1e400}')
    [first, second] = rows_of(open_source(str(file)))
    assert (first["text"], first["label"], first["more"]) == (None, "-Infinity", "[null, 1]")
    assert second["label"] == "Infinity"


def test_parquet(tmp_path: Path) -> None:
    file = tmp_path / "a.parquet"
    table = pa.table({"text": ["one", "two"], "stars": pa.array([1, None], pa.int8())})
    pq.write_table(table, file)
    assert rows_of(open_source(str(file))) == [
        {"text": "one", "stars": 1, "file": str(file), "line": 1},
        {"text": "two", "stars": None, "file": str(file), "line": 2},
    ]
    pq.write_table(table.slice(0, 0), file)
    [batch] = open_source(str(file)).batches()
    assert batch.rows.schema.names == ["text", "stars"]


@pytest.mark.parametrize("content", [b"", b"PAR1 and nothing else", b"text,label\na,b\n"])
def test_what_is_no_parquet(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "a.parquet"
    file.write_bytes(content)
    with pytest.raises(UserError, match=r"a\.parquet: can't be read as Parquet"):
        rows_of(open_source(str(file)))


def test_a_parquet_column_that_arrow_writes_and_does_not_read(tmp_path: Path) -> None:
    file = tmp_path / "a.parquet"
    vectors = pa.array([[1.0, 2.0], None], pa.list_(pa.float32(), 2))
    whole = pa.array([[1.0, 2.0]] * 2, pa.list_(pa.float32(), 2))
    pq.write_table(pa.table({"text": ["one", "two"], "some": vectors, "all": whole}), file)
    with warnings_heard() as heard:
        found = rows_of(open_source(str(file)))
    assert [(row["text"], row["all"]) for row in found] == [(t, [1.0, 2.0]) for t in ("one", "two")]
    assert heard == [f"{file}: left out columns that Arrow can't read: some"]


def test_a_damaged_page_of_parquet(tmp_path: Path) -> None:
    file = tmp_path / "a.parquet"
    pq.write_table(pa.table({"text": [f"text {i}" for i in range(1000)]}), file)
    content = bytearray(file.read_bytes())
    content[40:400] = bytes(360)
    file.write_bytes(content)
    with pytest.raises(UserError, match=r"a\.parquet: can't be read as Parquet"):
        rows_of(open_source(str(file)))


def test_class_folders(tmp_path: Path) -> None:
    for name, content in {
        "pos/2.txt": b"\xef\xbb\xbfGood.\nYes.",
        "pos/10.TXT": "Schön.".encode(),
        "neg/1.txt": b"Bad.",
        "neg/2.txt": b"caf\xe9",
        "neg/3.txt": b"\0\1\2",
        "neg/readme.md": b"not a text",
        "list.txt": b"not in a folder",
    }.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(content)
    source = open_source(str(tmp_path))
    assert source == ClassFolders(str(tmp_path))
    assert rows_of(source) == [
        {"text": "Bad.", "label": "neg", "file": "neg/1.txt", "line": 1},
        {"text": "Schön.", "label": "pos", "file": "pos/10.TXT", "line": 1},
        {"text": "Good.\nYes.", "label": "pos", "file": "pos/2.txt", "line": 1},
    ]
    assert rejected_of(source) == [
        Rejected("neg/2.txt", 1, "invalid encoding", "caf\\xe9"),
        Rejected("neg/3.txt", 1, "binary data", None),
    ]


def test_a_file_for_every_label(tmp_path: Path) -> None:
    (tmp_path / "pos.txt").write_bytes("好\n\n很好\r\n".encode() + b"\xff\xfe\n")
    (tmp_path / "neg.txt").write_text("坏")
    source = open_source(str(tmp_path))
    assert source == LabelledLines(("neg.txt", "pos.txt"), str(tmp_path))
    assert rows_of(source) == [
        {"text": "坏", "label": "neg", "file": "neg.txt", "line": 1},
        {"text": "好", "label": "pos", "file": "pos.txt", "line": 1},
        {"text": "很好", "label": "pos", "file": "pos.txt", "line": 3},
    ]
    assert rejected_of(source) == [Rejected("pos.txt", 4, "invalid encoding", "\\xff\\xfe")]
    assert texts_of(open_source(f"{tmp_path}/*.txt")) == texts_of(source)


def test_line_ends_of_unicode_part_no_rows(tmp_path: Path) -> None:
    text = "a\rb\x0bc\x0cd\x1ce\x1df\x1eg\x85h\u2028i\u2029j"
    (tmp_path / "pos.txt").write_text(f"{text}\n{text}\r\n", newline="")
    assert texts_of(open_source(str(tmp_path))) == [text, text]
    (tmp_path / "a.jsonl").write_text(
        f"{json.dumps(text, ensure_ascii=False)}".join(['{"text":\r ', "}\n"]) * 2, newline=""
    )
    assert texts_of(open_source(f"{tmp_path}/a.jsonl")) == [text, text]


def test_a_pattern_takes_files_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("b.csv", "a.csv", "c/d.csv", ".hidden.csv"):
        Path(name).parent.mkdir(exist_ok=True)
        Path(name).write_text(f"text\n{name}")
    assert texts_of(open_source("*.csv")) == ["a.csv", "b.csv"]
    assert texts_of(open_source("**/*.csv")) == ["a.csv", "b.csv", "c/d.csv"]
    assert texts_of(open_source(f"{tmp_path}/?.csv")) == ["a.csv", "b.csv"]
    Path("[odd].csv").write_text("text\nodd")
    assert texts_of(open_source("[odd].csv")) == ["odd"]


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".txt"])
def test_gzip_and_utf_16(tmp_path: Path, suffix: str) -> None:
    lines = {".csv": 'text\n"größe\nzwei"\n', ".jsonl": '{"text": "größe\\nzwei"}\n'}
    text = lines.get(suffix, "größe\n")
    file = tmp_path / f"a{suffix}.gz"
    file.write_bytes(gzip.compress(text.encode("utf-16")))
    assert texts_of(open_source(str(file), encoding="utf-16"))[0].startswith("größe")
    file.write_bytes(gzip.compress(text.encode())[:-9])
    with pytest.raises(UserError, match="damaged gzip data"):
        rows_of(open_source(str(file)))


@pytest.mark.parametrize(
    ("content", "encoding", "message"),
    [
        (b"PK\x03\x04\0\0\0", "utf-8", r"(?s)holds no text.*UTF-8 text.*50 4b.*zip archive"),
        ("text\none".encode("utf-16"), "utf-8", r'(?s)holds no text.*set encoding = "utf-16"'),
        (bytes(range(128, 148)) + b"\0", "utf-8", r"(?s)expected: UTF-8 text\n.*received: binary"),
        (b"text\n", "utf-99", r"(?s)unknown encoding 'utf-99'"),
        (b"text\n", "hex", r"(?s)unknown encoding 'hex'"),
        ("text\none".encode("utf-16") + b"a", "utf-16", r"is not utf-16"),
    ],
)
def test_what_is_no_text(tmp_path: Path, content: bytes, encoding: str, message: str) -> None:
    file = tmp_path / "a.csv"
    file.write_bytes(content)
    with pytest.raises(UserError, match=message):
        rows_of(open_source(str(file), encoding=encoding))


def test_names_that_stand_for_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "tables").mkdir()
    for name in ("tables/a.parquet", "a.docx", "b.csv", "b.jsonl", "none"):
        (tmp_path / name).touch()
    for source, message in {
        "missing.csv": r"(?s)missing\.csv: no such file.*looked for in",
        "data/*.csv": r"(?s)no file matches.*none, looked for in",
        "empty": "empty: is an empty folder",
        "tables": r'(?s)holds no text files.*set source = "tables/\*\.parquet"',
        "a.docx": r"(?s)unknown kind of file.*\.csv, \.tsv.*received: \.docx",
        "b.*": r"(?s)several kinds of files.*\.csv, \.jsonl",
        "none": r"(?s)unknown kind of file.*no suffix",
        "b.csv/c.csv": r"b\.csv/c\.csv: is no folder",
    }.items():
        with pytest.raises(UserError, match=message):
            open_source(source)


def test_a_folder_in_place_of_a_file(tmp_path: Path) -> None:
    folder = tmp_path / "a.csv"
    source = open_source_of_file(folder)
    folder.unlink()
    folder.mkdir()
    for use in (source.digest, lambda: rows_of(source)):
        with pytest.raises(UserError, match=r"a\.csv: is a folder"):
            use()


def open_source_of_file(file: Path) -> Source:
    file.write_text("text,label\n")
    return open_source(str(file))


def test_a_file_that_may_not_be_read(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    file = tmp_path / "a.csv"
    file.write_text("text,label\nx,y\n")
    file.chmod(0)
    # Root may read everything, so a child gives its rights away before it tries.
    code = """
import os
from textmill.components.sources.csv import Delimited
from textmill.errors import UserError
if os.getuid() == 0:
    os.setuid(65534)
try:
    Delimited(("a.csv",)).digest()
except UserError as error:
    print(error)
"""
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("a.csv: may not be read\n  expected: ")


def test_a_digest_follows_content_and_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    digests = set()
    for name, content in [("a.csv", "text\n1"), ("a.csv", "text\n2"), ("b.csv", "text\n2")]:
        Path(name).write_text(content)
        digests.add(open_source(name).digest())
        assert open_source(name).digest() in digests
    (tmp_path / "c").mkdir()
    for label in ("x", "y"):
        (tmp_path / "c" / label).mkdir()
        (tmp_path / "c" / label / "1.txt").write_text("same")
        digests.add(open_source("c").digest())
    assert len(digests) == 5
