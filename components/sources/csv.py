"""Tables in text form: .csv, .tsv and .tab files, gzipped or not."""

from __future__ import annotations

import csv
from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

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
from textmill.components.sources.text_file import open_text
from textmill.errors import UserError

LONGEST_FIELD = 1 << 22  # characters; a longer one is a quote that was never closed


@dataclass(frozen=True)
class Delimited:
    r"""Rows of delimited text, as RFC 4180 has them, with a header line.

    Fields may hold the delimiter and line ends if they are quoted; a quote inside is doubled. A row
    with a bad quote is rejected and reading goes on with the next line, so that a quote that is
    never closed costs one line and not the rest of the file. Empty lines are passed over.

    Attributes:
        files: Names of the files.
        delimiter: One character.
        quote: The quote character, or None where a quote has no meaning, as in many TSV files.
        encoding: Name of the encoding; a row that is not valid in it is rejected.
        columns: Names of the columns of files without a header line; else ().
        skip_rows_after_header: Lines to pass over below the header: 2 for Orange's .tab files,
            which keep types and roles there.

    Example:
        >>> import pathlib, tempfile
        >>> file = pathlib.Path(tempfile.mkdtemp(), "a.csv")
        >>> _ = file.write_text('text,label\n"Good, really",pos\nodd\n')
        >>> [batch] = Delimited((str(file),)).batches()
        >>> batch.rows.to_pylist()
        [{'text': 'Good, really', 'label': 'pos'}]
        >>> batch.rejected[0].line, batch.rejected[0].reason
        (3, 'wrong number of fields: 2 expected, 1 found')
    """

    files: tuple[str, ...]
    delimiter: str = ","
    quote: str | None = '"'
    encoding: str = "utf-8"
    columns: tuple[str, ...] = ()
    skip_rows_after_header: int = 0

    def __str__(self) -> str:
        return listing(self.files)

    def digest(self) -> str:
        """Returns a digest of the files."""
        return digest(self.files)

    def batches(self) -> Iterator[Batch]:
        """Yields string columns, named by the header."""
        for file in self.files:
            with open_text(file, self.encoding) as lines:
                records = self._records(lines)
                columns = list(self.columns) or self._header(file, records)
                yield from batched(_rows(file, records, len(columns)), columns)

    def _header(self, file: str, records: _Records) -> list[str]:
        for _, fields, raw in records:
            if not encodable(raw):
                raise UserError(
                    f"{file}: the header is not {self.encoding}",
                    expected=f"text in {self.encoding}",
                    received=readable(raw.strip()),
                    fix='set encoding to the one that the file was written in, such as "cp1252"',
                )
            if isinstance(fields, str):
                raise UserError(
                    f"{file}: the header can't be read",
                    expected="names of columns",
                    received=f"{fields} in {raw.strip()[:200]}",
                    fix="correct the first line, or set quote to the character that the file uses",
                )
            twice = [name for name, count in Counter(fields).items() if count > 1 and name]
            if twice:
                raise UserError(
                    f"{file}: {len(twice)} column names stand twice in the header",
                    expected="a different name for every column",
                    received=", ".join(twice),
                    fix="rename one of them in the first line of the file",
                )
            deque(islice(records.lines, self.skip_rows_after_header), maxlen=0)
            # A table saved with its index has a column without a name.
            return [name or f"column_{place}" for place, name in enumerate(fields, 1)]
        raise UserError(
            f"{file}: is empty",
            expected="a header line, then rows",
            received="a file with nothing in it",
            fix="name a file that holds rows",
        )

    def _records(self, lines: Iterator[str]) -> _Records:
        try:
            return _Records(lines, self.delimiter, self.quote)
        except (TypeError, ValueError) as error:
            raise UserError(
                f"delimiter = {self.delimiter!r}, quote = {self.quote!r}",
                expected="one character each, and not the same",
                received=str(error),
                fix='set delimiter = "," or ";" or "\\t"',
            ) from None


class _Records:
    """Yields (line, fields, raw text); fields is a reason where the record can't be read."""

    def __init__(self, lines: Iterator[str], delimiter: str, quote: str | None) -> None:
        self.lines = _Lines(lines)
        self._delimiter, self._quote = delimiter, quote
        self._reader()  # complains about a delimiter of two characters

    def __iter__(self) -> Iterator[tuple[int, list[str] | str, str]]:
        csv.field_size_limit(LONGEST_FIELD)  # the default of 131,072 is too short for documents
        reader = self._reader()
        while True:
            line = self.lines.begin()
            try:
                fields = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                raw = self.lines.back_to_second()
                yield line, f"bad quote: {_REASONS.get(str(error), error)}", raw
                reader = self._reader()
            else:
                if fields:
                    taken = self.lines.taken
                    yield line, fields, taken[0] if len(taken) == 1 else "".join(taken)

    def _reader(self) -> Iterator[list[str]]:
        return csv.reader(
            self.lines,
            strict=True,
            delimiter=self._delimiter,
            quotechar=self._quote,
            quoting=csv.QUOTE_NONE if self._quote is None else csv.QUOTE_MINIMAL,
        )


_REASONS = {
    "unexpected end of data": "never closed",
    f"field larger than field limit ({LONGEST_FIELD})": f"open for {LONGEST_FIELD} characters",
}


class _Lines:
    """Physical lines, some of which can be given back."""

    def __init__(self, lines: Iterator[str]) -> None:
        self._lines = lines
        self._ahead: deque[str] = deque()
        self._number = 1
        self.taken: list[str] = []

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> str:
        line = self._ahead.popleft() if self._ahead else next(self._lines)
        self.taken.append(line)
        return line

    def begin(self) -> int:
        """Begins a record; returns the number of its first line."""
        self._number += len(self.taken)
        self.taken = []
        return self._number

    def back_to_second(self) -> str:
        """Gives all lines of the record back but the first, which it returns."""
        first, *others = self.taken
        self._ahead.extendleft(reversed(others))
        self.taken = [first]
        return first


def _rows(file: str, records: _Records, width: int) -> Iterator[Row | Rejected]:
    for line, fields, raw in records:
        if not encodable(raw):
            yield Rejected(file, line, "invalid encoding", readable(raw.rstrip("\r\n")))
        elif isinstance(fields, str):
            yield Rejected(file, line, fields, raw.rstrip("\r\n"))
        elif len(fields) != width:
            reason = f"wrong number of fields: {width} expected, {len(fields)} found"
            yield Rejected(file, line, reason, raw.rstrip("\r\n"))
        else:
            yield Row(file, line, fields)
