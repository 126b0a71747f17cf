"""Two aligned files as pairs of texts, and what becomes of them as examples."""

from __future__ import annotations

import gzip
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from textmill.artifact import Examples
from textmill.components.cleaning import Cleaning
from textmill.components.ingest import ingest
from textmill.components.sources.by_name import open_aligned, open_source
from textmill.components.sources.source import Source
from textmill.errors import UserError


def ingested(folder: Path, source: Source, test: Source | None = None) -> Examples:
    out = Examples(folder / "examples")
    ingest(
        out, source, text="text", pair="target", label=None, test_source=test, split_by="text",
        cleaning=Cleaning(html=False),
    )  # fmt: skip
    return out


def every(examples: Examples) -> list[tuple[str, str, str]]:
    return sorted(
        (text, target, split)
        for split in ("train", "validation", "test")
        for text, target in zip(*examples.texts(split).to_pydict().values(), strict=True)
    )


def test_pairs_and_quarantine(tmp_path: Path) -> None:
    english = [f"Verse {i}." for i in range(60)]
    spanish = [f"Verso {i}." for i in range(60)]
    english[3], spanish[5], english[7], spanish[7] = "", "  ", "", "\t"
    (tmp_path / "a.en").write_bytes(b"\n".join(t.encode() for t in english) + b"\ncaf\xe9\n")
    with gzip.open(tmp_path / "a.es.gz", "wt", encoding="utf-8", newline="") as file:
        file.write("\r\n".join([*spanish, "tarde"]))
    made = ingested(tmp_path, open_aligned(str(tmp_path / "a.en"), str(tmp_path / "a.es.gz")))
    found = {(text, target) for text, target, _ in every(made)}
    assert found == {(f"Verse {i}.", f"Verso {i}.") for i in range(60) if i not in (3, 5, 7)}
    rejected = pq.read_table(made.path / "quarantine.parquet").to_pylist()
    assert [(Path(r["file"]).name, r["line"], r["reason"]) for r in rejected] == [
        ("a.en", 4, "missing text"),
        ("a.en", 6, "missing text"),
        ("a.en", 61, "invalid encoding"),
    ]


# What Python's str.splitlines and Unicode take for line ends, and wc and paste do not.
ENDS = ["\r", "\x0b", "\x0c", "\x1c", "\x1d", "\x1e", "\x85", "\u2028", "\u2029", "\r\r"]


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("packed", [False, True])
def test_line_ends_of_unicode_part_no_lines(tmp_path: Path, end: str, packed: bool) -> None:
    english = [f"Verse {i}{ENDS[i % 10]}of all" for i in range(60)]
    spanish = [f"Verso {i}" for i in range(60)]
    if end == "\r\n":
        english[7] = "ends with one\r"
    opened = gzip.open if packed else open
    for name, lines in (("a.en.gz", english), ("a.es.gz", spanish)):
        with opened(tmp_path / name, "wb") as file:
            file.write(end.join([*lines, ""]).encode())
        (tmp_path / name).rename(tmp_path / name[: None if packed else -3])
    names = [str(tmp_path / f"a.{side}{'.gz' * packed}") for side in ("en", "es")]
    [batch] = open_aligned(*names).batches()
    assert batch.rows.to_pylist() == [
        {"text": text, "target": target} for text, target in zip(english, spanish, strict=True)
    ]
    assert batch.line.to_pylist() == list(range(1, 61))
    # Cleaning makes a space of each.
    made = every(ingested(tmp_path, open_aligned(*names)))
    assert {text for text, _, _ in made} >= {f"Verse {i} of all" for i in (0, 1, 2, 6, 8)}
    assert len(made) == 60


def test_lines_of_the_old_mac(tmp_path: Path) -> None:
    (tmp_path / "a.en").write_bytes("One.\rTwo\x85.\r".encode())
    (tmp_path / "a.es").write_text("Uno.\nDos.\n")
    [batch] = open_aligned(str(tmp_path / "a.en"), str(tmp_path / "a.es")).batches()
    assert [list(row.values()) for row in batch.rows.to_pylist()] == [
        ["One.", "Uno."], ["Two\x85.", "Dos."]
    ]  # fmt: skip
    (tmp_path / "a.en").write_bytes(b"x" * 70_000 + b"\rOne.\nTwo.\n")
    [batch] = open_aligned(str(tmp_path / "a.en"), str(tmp_path / "a.es")).batches()
    assert batch.rows["text"].to_pylist() == ["x" * 70_000 + "\rOne.", "Two."]


def test_unaligned_files(tmp_path: Path) -> None:
    (tmp_path / "a.en").write_text("One.\nTwo.\nThree.\n")
    (tmp_path / "a.es").write_text("Uno.\nDos.\n")
    with pytest.raises(UserError, match="are not aligned") as found:
        ingested(tmp_path, open_aligned(str(tmp_path / "a.en"), str(tmp_path / "a.es")))
    assert "3 lines and 2 lines" in str(found.value)
    (tmp_path / "b.es").write_text("Uno.\n")
    with pytest.raises(UserError, match="not as many files") as found:
        ingested(tmp_path, open_aligned(str(tmp_path / "a.en"), str(tmp_path / "*.es")))
    assert "1 and 2 files" in str(found.value)


def test_equal_sources_stay_in_one_split(tmp_path: Path) -> None:
    rows = [f'{{"text": "Verse {i}.", "target": "{j} of {i}"}}' for i in range(80) for j in "abc"]
    (tmp_path / "pairs.jsonl").write_text("\n".join([*rows, '{"text": "alone"}']))
    made = ingested(tmp_path, open_source(str(tmp_path / "pairs.jsonl")))
    found = every(made)
    assert len(found) == 240
    assert len({(text, split) for text, _, split in found}) == 80
    assert made.schema()["rejected"] == {"missing text": 1}


def test_a_source_in_the_test_file_is_nowhere_else(tmp_path: Path) -> None:
    rows = [f"Verse {i}.\tVerso {i}." for i in range(80)]
    (tmp_path / "train.tsv").write_text("\n".join(["text\ttarget", *rows]))
    (tmp_path / "test.tsv").write_text("text\ttarget\nVerse 3.\tOtro verso.\n")
    made = ingested(
        tmp_path, *(open_source(str(tmp_path / f"{name}.tsv")) for name in ("train", "test"))
    )
    assert [row for row in every(made) if row[0] == "Verse 3."] == [
        ("Verse 3.", "Otro verso.", "test")
    ]
    assert made.schema()["leaked"] == 1
