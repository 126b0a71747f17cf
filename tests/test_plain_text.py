"""Plain text: where documents begin and end."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from textmill.components.sources import documents
from textmill.components.sources.by_name import open_source
from textmill.components.sources.documents import Documents, Separation


def read(source: Documents) -> list[tuple[str, int]]:
    return [
        (text, line)
        for batch in source.batches()
        for text, line in zip(batch.rows["text"].to_pylist(), batch.line.to_pylist(), strict=True)
    ]


TEXT = "\n\nOne\r\ngoes on.\n \nTwo.\n\n\nThree\nends"


def test_blank_lines_part_documents(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text(TEXT, newline="")
    (tmp_path / "b.txt.gz").write_bytes(gzip.compress(b"Four."))
    source = open_source(str(tmp_path / "*.txt*"), documents="blank line")
    assert isinstance(source, Documents)
    assert read(source) == [
        ("One\r\ngoes on.", 3), ("Two.", 6), ("Three\nends", 9), ("Four.", 1)
    ]  # fmt: skip


def test_or_every_line_is_one(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text(TEXT, newline="")
    source = open_source(str(tmp_path / "a.txt"), documents="line")
    assert isinstance(source, Documents)
    assert read(source) == [("One", 3), ("goes on.", 4), ("Two.", 6), ("Three", 9), ("ends", 10)]


def test_line_ends_of_unicode_part_no_documents(tmp_path: Path) -> None:
    one = "a\rb\x0bc\x0cd\x1ce\x1df\x1eg\x85h\u2028i\u2029j\r"
    (tmp_path / "a.txt").write_text(f"{one}\r\ntwo\r\n\n{one}\r\n", newline="")
    source = open_source(str(tmp_path / "a.txt"), documents="line")
    assert read(source) == [(one, 1), ("two", 2), (one, 4)]
    source = open_source(str(tmp_path / "a.txt"), documents="blank line")
    assert read(source) == [(f"{one}\r\ntwo", 1), (one, 4)]


@given(st.lists(st.sampled_from(["a\n", "bb\n", "\n", "  \n", "c\n"]), max_size=20))
@settings(deadline=None)
def test_no_word_is_lost(lines: list[str]) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "a.txt"
        file.write_text("".join(lines))
        blank: Separation = "blank line"
        found = [text for text, _ in read(Documents((str(file),), blank))]
        groups = "".join(lines).replace("  \n", "\n").split("\n\n")
        assert found == [group.strip("\n") for group in groups if group.strip("\n")]


def test_what_is_no_utf8_is_rejected_alone(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"good\n\ncaf\xe9\nmore\n\nalso good\n")
    source = Documents((str(tmp_path / "a.txt"),))
    assert [text for text, _ in read(source)] == ["good", "also good"]
    (rejected,) = [row for batch in source.batches() for row in batch.rejected]
    assert (rejected.line, rejected.reason) == (3, "invalid encoding")


def test_a_document_without_an_end_is_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(documents, "LONGEST", 10)
    (tmp_path / "a.txt").write_text("12345\n" * 5)
    found = read(Documents((str(tmp_path / "a.txt"),)))
    assert found == [("12345\n12345", 1), ("12345\n12345", 3), ("12345", 5)]
