"""Folders of .txt files: the label is the name of a folder, or of a file."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from textmill.artifact import digest_files
from textmill.components.sources.source import Batch, Rejected, Row, batched, digest, opening
from textmill.components.sources.source import encodable, readable
from textmill.components.sources.text_file import open_text
from textmill.errors import UserError


@dataclass(frozen=True)
class ClassFolders:
    """`<root>/<label>/*.txt`: a file is a row, and its folder is its label.

    The columns are `text` and `label`; `file` is relative to the root and `line` is 1.

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

    def digest(self) -> str:
        """Returns a digest of the files, whose names count from the root."""
        files = self._files()
        for file in files.values():
            with opening(str(file)), file.open("rb"):
                pass
        return digest_files(files)

    def batches(self) -> Iterator[Batch]:
        """Yields the columns `text` and `label`."""
        yield from batched(self._rows(), ["text", "label"])

    def _files(self) -> dict[str, Path]:
        root = Path(self.root)
        with opening(self.root):
            files = {f"{f.parent.name}/{f.name}": f for f in root.glob("*/*.txt") if f.is_file()}
        if not files:
            raise UserError(
                f"{self.root}: holds no class folders",
                expected="<label>/*.txt, a folder for every label",
                received=_what_is_in(root),
                fix="name the folder whose subfolders are the labels",
            )
        return dict(sorted(files.items()))

    def _rows(self) -> Iterator[Row | Rejected]:
        for name, file in self._files().items():
            with opening(str(file)):
                raw = file.read_bytes()
            codec = "utf-8-sig" if self.encoding.lower() in ("utf-8", "utf8") else self.encoding
            try:
                text = raw.decode(codec)
            except UnicodeDecodeError:
                yield Rejected(name, 1, "invalid encoding", raw.decode(codec, "backslashreplace"))
                continue
            if "\0" in text:
                yield Rejected(name, 1, "binary data", None)
            else:
                yield Row(name, 1, (text, file.parent.name))
