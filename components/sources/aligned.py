"""Aligned text files: line i of one is the translation, or the summary, of line i of the other."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import zip_longest

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
from textmill.errors import UserError


@dataclass(frozen=True)
class AlignedLines:
    r"""Two text files, or two lists of as many, line by line; gzip where a name ends with `.gz`.

    A line ends with "\n" or "\r\n": other line ends of Unicode, and a "\r" alone, are part of it.
    The columns are `text` and `target`; `file` and `line` are those of the text. A line without a
    letter, with its counterpart, is a row whose text or target is missing; where both are so, it
    parts nothing and is passed over.

    Attributes:
        files: Names of the files with texts.
        target_files: Names of those with targets, in the same order.
        encoding: Name of the encoding of all; a pair that is not valid in it is rejected.

    Example:
        >>> import pathlib, tempfile
        >>> folder = pathlib.Path(tempfile.mkdtemp())
        >>> _ = (folder / "a.en").write_text("One.\nTwo.\n")
        >>> _ = (folder / "a.es").write_text("Uno.\nDos.\n")
        >>> source = AlignedLines((str(folder / "a.en"),), (str(folder / "a.es"),))
        >>> next(source.batches()).rows.to_pylist()[1]
        {'text': 'Two.', 'target': 'Dos.'}
    """

    files: tuple[str, ...]
    target_files: tuple[str, ...]
    encoding: str = "utf-8"

    def __str__(self) -> str:
        return f"{listing(self.files)} and {listing(self.target_files)}"

    def digest(self) -> str:
        """Returns a digest of the files."""
        return digest([*self.files, *self.target_files])

    def batches(self) -> Iterator[Batch]:
        """Yields the columns `text` and `target`.

        Raises:
            UserError: There are not as many files, or lines, on both sides.
        """
        if len(self.files) != len(self.target_files):
            raise UserError(
                f"{self}: not as many files on both sides",
                expected="a file with targets for each file with texts",
                received=f"{len(self.files)} and {len(self.target_files)} files",
                fix="name them such that, sorted by name, they belong together",
            )
        yield from batched(self._rows(), ["text", "target"])

    def _rows(self) -> Iterator[Row | Rejected]:
        for file, target_file in zip(self.files, self.target_files, strict=True):
            counts = [0, 0]
            with (
                open_text(file, self.encoding) as lines,
                open_text(target_file, self.encoding) as others,
            ):
                for number, pair in enumerate(zip_longest(lines, others), 1):
                    counts = [n + (line is not None) for n, line in zip(counts, pair, strict=True)]
                    if None in pair:  # to the end, so that both counts are known
                        continue
                    texts = [without_end(line) if line.strip() else "" for line in pair]
                    if not all(map(encodable, texts)):
                        yield Rejected(file, number, "invalid encoding", readable(texts[0]))
                    elif any(texts):
                        yield Row(file, number, texts)
            if counts[0] != counts[1]:
                raise UserError(
                    f"{file} and {target_file} are not aligned",
                    expected="as many lines in both: line i of one belongs to line i of the other",
                    received=f"{counts[0]:,} lines and {counts[1]:,} lines",
                    fix="align them again, or give the pairs as two columns of a table",
                )
