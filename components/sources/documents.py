"""Plain text: documents without labels, one a line or parted by blank lines."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from textmill.components.sources.paths import others, say_passed_over
from textmill.components.sources.source import (
    Batch,
    Rejected,
    Row,
    batched,
    digest,
    encodable,
    listing,
    readable,
)
from textmill.components.sources.text_file import open_text, without_end

Separation = Literal["blank line", "line"]
# A document that grows beyond this ends with its line, for one without an end would fill the
# memory: a file may hold no blank line at all.
LONGEST = 1 << 20  # characters


@dataclass(frozen=True)
class Documents:
    r"""Text files of documents; gzip too, where a name ends with `.gz`.

    The only column is `text`; `line` is the line on which a document begins. A file's end also ends
    a document. Where the files are those of a folder, a warning names what else is in it.

    Attributes:
        files: Names of the files.
        separation: What parts documents: a "blank line", or the end of a "line".
        encoding: Name of the encoding; a document that is not valid in it is rejected.
        root: The folder that they are in, "" where they are named by themselves.

    Example:
        >>> import pathlib, tempfile
        >>> file = pathlib.Path(tempfile.mkdtemp()) / "book.txt"
        >>> _ = file.write_text("One begins\nand goes on.\n\n\nTwo.\n")
        >>> [batch] = Documents((str(file),)).batches()
        >>> batch.rows["text"].to_pylist(), batch.line.to_pylist()
        (['One begins\nand goes on.', 'Two.'], [1, 5])
    """

    files: tuple[str, ...]
    separation: Separation = "blank line"
    encoding: str = "utf-8"
    root: str = ""

    def __str__(self) -> str:
        return self.root or listing(self.files)

    def digest(self) -> str:
        """Returns a digest of the files."""
        return digest(self.files, self.root)

    def batches(self) -> Iterator[Batch]:
        """Yields the column `text`."""
        yield from batched(self._rows(), ["text"])

    def _rows(self) -> Iterator[Row | Rejected]:
        if self.root:
            say_passed_over(self.root, others(Path(self.root), self.files))
        for file in self.files:
            with open_text(str(Path(self.root, file)), self.encoding) as lines:
                for number, text in self._documents(lines):
                    if encodable(text):
                        yield Row(file, number, (text,))
                    else:
                        yield Rejected(file, number, "invalid encoding", readable(text))

    def _documents(self, lines: Iterator[str]) -> Iterator[tuple[int, str]]:
        """Yields the documents of a file, each with the line on which it begins."""
        held: list[str] = []
        began = size = 0
        for number, line in enumerate(lines, 1):
            blank = not line.strip()
            if not blank:
                began = began if held else number
                held.append(line)
                size += len(line)
            if held and (blank or self.separation == "line" or size > LONGEST):
                yield began, without_end("".join(held))
                held, size = [], 0
        if held:
            yield began, without_end("".join(held))
