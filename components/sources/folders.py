"""Folders of .txt files: the label is the name of a folder, or of a file."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from textmill.components.sources.paths import others, say_passed_over, visible
from textmill.components.sources.source import (
    Batch,
    Rejected,
    Row,
    batched,
    digest,
    encodable,
    listing,
    opening,
    readable,
)
from textmill.components.sources.text_file import codec_of, open_text, without_end
from textmill.errors import UserError


@dataclass(frozen=True)
class ClassFolders:
    """`<root>/<label>/*.txt`: a file is a row, and its folder is its label.

    The columns are `text` and `label`; `file` is relative to the root and `line` is 1. Hidden files
    and folders are none of the data; a warning names what else is passed over: folders in folders,
    and files that are no .txt. A link to a folder is a label of its own, unless the folder is one
    already.

    Attributes:
        root: The folder that holds a folder for every label.
        encoding: Name of the encoding; a file that is not valid in it is rejected.

    Example:
        >>> import pathlib, tempfile
        >>> root = pathlib.Path(tempfile.mkdtemp())
        >>> for label in ("neg", "pos"):
        ...     (root / label).mkdir()
        ...     _ = (root / label / "1.txt").write_text(f"This is {label}.")
        >>> [batch] = ClassFolders(str(root)).batches()
        >>> batch.rows.to_pylist()[0], batch.file.to_pylist()
        ({'text': 'This is neg.', 'label': 'neg'}, ['neg/1.txt', 'pos/1.txt'])
    """

    root: str
    encoding: str = "utf-8"

    def __str__(self) -> str:
        return self.root

    def digest(self) -> str:
        """Returns a digest of the files, whose names count from the root."""
        return digest(list(self._sorted_out()[0]), self.root)

    def batches(self) -> Iterator[Batch]:
        """Yields the columns `text` and `label`."""
        yield from batched(self._rows(), ["text", "label"])

    def _sorted_out(self) -> tuple[dict[str, str], list[Path]]:
        """Returns file, from the root -> label; and what is passed over."""
        root = Path(self.root)
        labels: dict[str, str] = {}
        passed_over: list[Path] = []
        places: set[Path] = set()
        with opening(self.root):
            # A folder goes before a link to it.
            for each in sorted(visible(root), key=Path.is_symlink):
                texts = [f.name for f in visible(each) if _is_text(f)] if each.is_dir() else []
                if not texts or each.resolve() in places:
                    passed_over.append(each)
                    continue
                places.add(each.resolve())
                labels |= {f"{each.name}/{name}": each.name for name in texts}
                passed_over += others(each, texts)
        if not labels:
            raise UserError(
                f"{self.root}: holds no class folders",
                expected="<label>/*.txt: a folder for every label",
                received="no folder with .txt files in it",
                fix="name the folder whose subfolders are the labels",
            )
        return dict(sorted(labels.items())), passed_over

    def _rows(self) -> Iterator[Row | Rejected]:
        codec = codec_of(self.root, self.encoding)
        labels, passed_over = self._sorted_out()
        say_passed_over(self.root, passed_over)
        for name, label in labels.items():
            with opening(f"{self.root}/{name}"):
                raw = Path(self.root, name).read_bytes()
            try:
                text = raw.decode(codec)
            except UnicodeDecodeError:
                yield Rejected(name, 1, "invalid encoding", raw.decode(codec, "backslashreplace"))
                continue
            if "\0" in text:
                yield Rejected(name, 1, "binary data", None)
            else:
                yield Row(name, 1, (text, label))


@dataclass(frozen=True)
class LabelledLines:
    r"""`<label>.txt`: a line is a row, and the file without its suffix is its label.

    The columns are `text` and `label`. Empty lines are passed over. Where the files are those of a
    folder, a warning names what else is in it.

    Attributes:
        files: Names of the files, from the root.
        root: The folder that they are in, "" where they are named by themselves.
        encoding: Name of the encoding; a line that is not valid in it is rejected.

    Example:
        >>> import pathlib, tempfile
        >>> root = pathlib.Path(tempfile.mkdtemp())
        >>> _ = (root / "pos.txt").write_text("Good.\n\nVery good.\n")
        >>> [batch] = LabelledLines(("pos.txt",), str(root)).batches()
        >>> batch.rows.to_pylist()[1], batch.line.to_pylist()
        ({'text': 'Very good.', 'label': 'pos'}, [1, 3])
    """

    files: tuple[str, ...]
    root: str = ""
    encoding: str = "utf-8"

    def __str__(self) -> str:
        return self.root or listing(self.files)

    def digest(self) -> str:
        """Returns a digest of the files."""
        return digest(self.files, self.root)

    def batches(self) -> Iterator[Batch]:
        """Yields the columns `text` and `label`."""
        yield from batched(self._rows(), ["text", "label"])

    def _rows(self) -> Iterator[Row | Rejected]:
        if self.root:
            say_passed_over(self.root, others(Path(self.root), self.files))
        for file in self.files:
            label = _without_gz(file).stem
            with open_text(str(Path(self.root, file)), self.encoding) as lines:
                for number, line in enumerate(lines, 1):
                    if not encodable(line):
                        yield Rejected(file, number, "invalid encoding", readable(line.strip()))
                    elif line.strip():
                        yield Row(file, number, (without_end(line), label))


def is_labelled(file: Path) -> bool:
    """Returns whether a file is `<label>.txt`, compressed or not."""
    return not file.is_dir() and _without_gz(file.name).suffix.lower() == ".txt"


def _is_text(file: Path) -> bool:
    return file.suffix.lower() == ".txt" and not file.is_dir()


def _without_gz(file: str) -> Path:
    return Path(file[:-3] if file.lower().endswith(".gz") else file)
