"""Folders as people keep them: what systems leave in them is no data, what is left out is told."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from hearing import warnings_heard
from textmill.components.sources.by_name import open_source
from textmill.components.sources.source import Source
from textmill.errors import UserError

HIDDEN = [
    ".ipynb_checkpoints/1-checkpoint.txt", "__MACOSX/pos/._1.txt", "__MACOSX/1.txt", ".git/a.txt",
    "pos/._1.txt", "pos/.DS_Store", "pos/Thumbs.db", "neg/desktop.ini", "neg/.hidden.txt",
    "neg/.ipynb_checkpoints/1.txt", ".DS_Store", "THUMBS.DB", "Desktop.ini", "@eaDir/1.txt",
    ".Trash-1000/1.txt", ".label.txt", "._pos.txt",
]  # fmt: skip


def fill(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(gzip.compress(b"text\n") if name[-3:] == ".gz" else b"text\n")


def rows(source: Source) -> tuple[list[tuple[str, str]], list[str]]:
    """Returns the file and the label of each row, and the warnings."""
    with warnings_heard() as heard:
        batches = list(source.batches())
    assert not [row for batch in batches for row in batch.rejected]
    found = [
        (file, row.get("label", ""))
        for batch in batches
        for file, row in zip(batch.file.to_pylist(), batch.rows.to_pylist(), strict=True)
    ]
    return found, heard


def test_hidden_names_are_no_classes_and_no_texts(tmp_path: Path) -> None:
    fill(tmp_path, "pos/1.txt", "neg/1.txt")
    digest = open_source(str(tmp_path)).digest()
    fill(tmp_path, *HIDDEN)
    source = open_source(str(tmp_path))
    assert rows(source) == ([("neg/1.txt", "neg"), ("pos/1.txt", "pos")], [])
    assert source.digest() == digest


def test_files_for_labels_beside_hidden_ones(tmp_path: Path) -> None:
    fill(tmp_path, "pos.txt", "neg.txt.gz", *HIDDEN, "old/1.md", "readme.md")
    found, heard = rows(open_source(str(tmp_path)))
    assert found == [("neg.txt.gz", "neg"), ("pos.txt", "pos")]
    assert heard == [
        f"{tmp_path}: passed over 3 folders (neg, old, pos) and 1 file of other kinds (readme.md)"
    ]


def test_what_is_passed_over_is_told(tmp_path: Path) -> None:
    fill(
        tmp_path, "pos/1.txt", "pos/2.TXT", "pos/2.md", "pos/old/3.txt", "pos/old/4.txt",
        "neg/1.txt", "neg/2.txt.gz", "list.txt", "images/1.png", "train/pos/1.txt", "neg/b.txt/a",
    )  # fmt: skip
    found, heard = rows(open_source(str(tmp_path)))
    assert [file for file, _ in found] == ["neg/1.txt", "pos/1.txt", "pos/2.TXT"]
    [warning] = heard
    assert warning == (
        f"{tmp_path}: passed over 4 folders (images, neg/b.txt and 2 more) and "
        "3 files of other kinds (list.txt, neg/2.txt.gz, pos/2.md)"
    )


def test_a_folder_of_documents(tmp_path: Path) -> None:
    fill(tmp_path, "a.txt", "b.txt.gz", "old/c.txt", *HIDDEN[2:3], "notes.md")
    found, heard = rows(open_source(str(tmp_path), documents="blank line"))
    assert found == [("a.txt", ""), ("b.txt.gz", "")]
    assert heard == [f"{tmp_path}: passed over 1 folder (old) and 1 file of other kinds (notes.md)"]
    found, heard = rows(open_source(f"{tmp_path}/old/..", documents="line"))
    assert len(found) == 2


def test_links_to_folders(tmp_path: Path) -> None:
    root = tmp_path / "data"
    fill(tmp_path, "data/pos/1.txt", "data/neg/1.txt", "elsewhere/2.txt")
    (root / "mixed").symlink_to(tmp_path / "elsewhere")
    (root / "again").symlink_to(root / "pos")
    (root / "self").symlink_to(".")
    (root / "round").symlink_to("round")
    (root / "gone").symlink_to(tmp_path / "nothing")
    (root / "pos" / "3.txt").symlink_to(tmp_path / "elsewhere" / "2.txt")
    found, heard = rows(open_source(str(root)))
    assert found == [
        ("mixed/2.txt", "mixed"), ("neg/1.txt", "neg"), ("pos/1.txt", "pos"), ("pos/3.txt", "pos")
    ]  # fmt: skip
    assert heard == [
        f"{root}: passed over 2 folders (again, self) and 2 files of other kinds (gone, round)"
    ]
    (root / "neg" / "4.txt").symlink_to(tmp_path / "nothing")
    with pytest.raises(UserError, match=r"neg/4\.txt: no such file"):
        rows(open_source(str(root)))


def test_patterns_stand_for_nothing_hidden(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    fill(
        tmp_path, "a.csv", "b/c.csv", "b/.ipynb_checkpoints/c-checkpoint.csv", "b/._c.csv",
        "__MACOSX/a.csv", ".old/d.csv", ".old/.e.csv", "b/.old/f.csv",
    )  # fmt: skip
    (tmp_path / "b" / "round").symlink_to(tmp_path)
    expected = {
        "*.csv": ["a.csv"],
        "**/*.csv": ["a.csv", "b/c.csv"],
        "*/*.csv": ["b/c.csv"],
        ".old/*.csv": [".old/d.csv"],
        "*/.old/*.csv": ["b/.old/f.csv"],
        ".o*/.*.csv": [".old/.e.csv"],
        "__MACOSX/*.csv": ["__MACOSX/a.csv"],
    }
    for pattern, files in expected.items():
        for start in ("", f"{tmp_path}/"):
            source = open_source(start + pattern, columns=["text"])
            assert [file for file, _ in rows(source)[0]] == [start + file for file in files]
    hidden = tmp_path / ".cache"
    fill(hidden, "a.csv", ".b.csv")
    assert rows(open_source(f"{hidden}/*.csv", columns=["text"]))[0] == [(f"{hidden}/a.csv", "")]
    with pytest.raises(UserError, match="no file matches"):
        open_source("*/d.csv")
    (tmp_path / "gone.tsv").symlink_to("nothing")
    with pytest.raises(UserError, match="no such file"):
        rows(open_source("*.tsv"))


def test_a_pattern_of_class_folders_is_refused(tmp_path: Path) -> None:
    """Names of files would be the labels: of neg/1.txt and pos/1.txt it would be "1"."""
    fill(tmp_path, "a/pos/1.txt", "a/neg/1.txt", "b/train/pos.txt", "b/test/pos.txt")
    match = rf'(?s)text files of 2 folders.*set source = "{tmp_path}/a"'
    for pattern in ("a/*/*.txt", "a/**/*.txt"):
        with pytest.raises(UserError, match=match):
            open_source(f"{tmp_path}/{pattern}")
    assert {label for _, label in rows(open_source(f"{tmp_path}/b/*/*.txt"))[0]} == {"pos"}
    fill(tmp_path, "a/pos/x.txt", "b/test/neg.txt")
    for pattern in ("a/*/*.txt", "b/*/*.txt"):
        with pytest.raises(UserError, match="text files of 2 folders"):
            open_source(f"{tmp_path}/{pattern}")


def test_splits_above_the_class_folders(tmp_path: Path) -> None:
    fill(tmp_path, "train/pos/1.txt", "train/neg/2.txt", "test/pos/3.txt")
    match = rf'(?s)set source = "{tmp_path}/train" and test_source = "{tmp_path}/test"'
    with pytest.raises(UserError, match=match):
        open_source(str(tmp_path))


def test_a_folder_with_nothing_but_hidden_names(tmp_path: Path) -> None:
    fill(tmp_path, ".DS_Store", "__MACOSX/1.txt", ".a.txt")
    with pytest.raises(UserError, match=r"(?s)holds no text files.*\.DS_Store"):
        open_source(str(tmp_path))
