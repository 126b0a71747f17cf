"""Records of delimited text: a line each, or more where a quoted field holds line ends."""

from __future__ import annotations

import csv
from collections import deque
from collections.abc import Iterator

from textmill.components.sources.rows import Record, Rows
from textmill.components.sources.text_file import without_end

LONGEST_FIELD = 1 << 22  # characters; a longer one is a quote that was never closed
_BEGINNING = 1 << 20  # characters of a file that show what its rows are

# Stands for a "\r" inside a line, with which the csv module would end a record: half a surrogate
# pair, and none of those that stand for bytes, so that no decoded text holds it.
_RETURN = "\udc0d"


class Records:
    """Yields (line, fields, raw text); fields is a reason where the record can't be read.

    Attributes:
        lines: What is still to be read.
        rows: What rows have in common, after `study`; None: what stands in quotes is one field.
    """

    def __init__(
        self,
        lines: Iterator[str],
        delimiter: str,
        quote: str | None,
        first: int = 1,
        *,
        blanks: bool = False,
    ) -> None:
        """Reads `lines`.

        Args:
            lines: Lines with their ends.
            delimiter: One character.
            quote: One character; None: a quote is a character like any other.
            first: Number of the first line.
            blanks: Whether blanks before a field are none of it.

        Raises:
            TypeError: The delimiter or the quote is no character.
            ValueError: They are equal.
        """
        self.lines = _Lines(lines, first)
        self.rows: Rows | None = None
        self._delimiter, self._quote, self._blanks = delimiter, quote, blanks
        self._reader()  # complains about a delimiter of two characters

    def study(self, width: int) -> None:
        """Learns from the beginning of what is still to be read what rows of `width` fields are."""
        if self._quote is not None:
            lines = self.lines.ahead(_BEGINNING)
            known = (self._delimiter, self._quote)
            self.rows = Rows(width, *known, blanks=self._blanks)
            self.rows.learn(Records(iter(lines), *known, blanks=self._blanks), lines)

    def __iter__(self) -> Iterator[Record]:
        csv.field_size_limit(LONGEST_FIELD)  # the default of 131,072 is too short for documents
        reader = self._reader()
        while True:
            line = self.lines.begin()
            found: list[str] | str
            try:
                found = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                found = f"bad quote: {_REASONS.get(str(error), error)}"
            taken = self.lines.taken
            if self.rows and len(taken) > 1 and self.rows.swallowed(line, taken):
                found = f"bad quote: {len(taken)} rows in one field"
            if isinstance(found, str):
                raw = self.lines.back_to_second()
                reader = self._reader()
            else:
                raw = taken[0] if len(taken) == 1 else "".join(taken)
                if self.lines.returns:
                    found = [field.replace(_RETURN, "\r") for field in found]
            if self.rows and len(self.lines.taken) == 1:
                found = self._plain(self.rows, line, found, raw)
            if found:
                yield line, found, raw

    def _plain(self, rows: Rows, line: int, found: list[str] | str, raw: str) -> list[str] | str:
        """Returns the fields of a line with its quotes as characters, where that makes it a row."""
        if len(found) == rows.width and not isinstance(found, str):
            rows.add(found)
        elif self._quote and self._quote in raw:
            return rows.plain(line, raw) or found
        return found

    def _reader(self) -> Iterator[list[str]]:
        return csv.reader(
            self.lines,
            strict=True,
            delimiter=self._delimiter,
            quotechar=self._quote,
            skipinitialspace=self._blanks,
            quoting=csv.QUOTE_NONE if self._quote is None else csv.QUOTE_MINIMAL,
        )


_REASONS = {
    "unexpected end of data": "never closed",
    f"field larger than field limit ({LONGEST_FIELD})": f"open for {LONGEST_FIELD} characters",
}


class _Lines:
    """Physical lines, some of which can be given back."""

    def __init__(self, lines: Iterator[str], first: int) -> None:
        self._lines = lines
        self._ahead: deque[str] = deque()
        self._number = first
        self.taken: list[str] = []
        self.returns = False  # whether a line held a "\r"

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> str:
        line = self._ahead.popleft() if self._ahead else next(self._lines)
        self.taken.append(line)
        body = without_end(line)
        if "\r" not in body:
            return line
        self.returns = True
        return body.replace("\r", _RETURN) + line[len(body) :]

    def ahead(self, characters: int) -> list[str]:
        """Returns so much of what is still to be taken, in lines."""
        held = sum(map(len, self._ahead))
        while held < characters and (line := next(self._lines, "")):
            self._ahead.append(line)
            held += len(line)
        return list(self._ahead)

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
