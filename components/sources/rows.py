"""Telling rows of delimited text from the lines of a quoted field."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from textmill.components.sources.text_file import without_end

Record = tuple[int, list[str] | str, str]  # line, fields or why there are none, raw text

_ENOUGH = 20  # rows that show what a column holds, or that a file has no quoted fields
_SEVERAL = 3  # times that each value of a column of classes comes, on average
_DISTINCT = 10_000  # values of such a column that are remembered
_MOST = 0.8  # of the lines of a field: so many look like rows where they are rows, some of them bad


class Rows:
    """What the rows of a file have in common.

    A quote that belongs to a text, as in `"Good", he said`, opens a field where it stands first,
    and takes in all rows up to the next quote that looks like its end. What is taken in gives it
    away: each line has as many fields as a row, with a class where rows have their classes and a
    number where they have numbers. Where no column tells, lines are rows if fields of this file
    are never quoted for a reason.

    Attributes:
        width: Fields of a row.
        strays: Lines with a quote that was taken for a character.
        first: Number of the first of them.
        doubtful: Number of the first line of a field that may be many rows; 0: none is.
    """

    def __init__(self, width: int, delimiter: str, quote: str) -> None:
        self.width = width
        self.strays = self.first = self.doubtful = 0
        self._delimiter, self._quote = delimiter, quote
        self._columns: dict[int, _Column] = {}  # place -> what is known of it
        self._known = False  # whether there is enough to tell rows by
        self._enough = 2  # lines of a field that may be rows, where it can't be told; 0: no lines

    def learn(self, records: Iterable[Record], lines: Sequence[str]) -> None:
        """Looks at the beginning of a file.

        Args:
            records: The beginning, read with quotes.
            lines: The same, not read.
        """
        rows: list[list[str]] = []
        needed = around = long = 0
        for _, fields, raw in records:
            if isinstance(fields, str) or len(fields) != self.width:
                continue
            parts = [self._fields(line) for line in without_end(raw).split("\n")]
            if sum(len(part) == self.width for part in parts) < _MOST * len(parts):
                needed += 1  # a delimiter is in a field, or line ends
            elif len(parts) > 1:
                long += 1
            else:
                rows.append(fields)
                needed += self._quote * 2 in raw
                around += any(
                    len(part) > 1 and part[0] == part[-1] == self._quote for part in parts[0]
                )
        fitting = [fields for fields in map(self._fields, lines) if len(fields) == self.width]
        if around > len(rows) / 2:  # all fields are quoted, whether they need it or not
            self._enough = 0
            return
        # Of one column nothing can be told but that fields of several lines are rare.
        rare = (needed if self.width > 1 else long) <= len(rows) / 10
        self._enough = 0 if not rare else 2 if self._delimiter == "\t" or not needed else 5
        shown = rows if needed > len(rows) / 20 else fitting
        if self.width == 1 or len(shown) < _ENOUGH:
            return
        columns = [list(column) for column in zip(*shown, strict=True)]
        for place, values in enumerate(columns):
            numbers = sum(map(_is_number, values)) >= _MOST * len(values)
            counts = Counter(value for value in values if not (numbers and _is_number(value)))
            if len(counts) * _SEVERAL <= len(values):
                # Of lines, what came once may be a part of a sentence.
                classes = {row[place] for row in rows} | {v for v, n in counts.items() if n > 1}
                self._columns[place] = _Column(classes, numbers)
        if len(self._columns) == self.width:  # a few texts come again and again
            del self._columns[max(range(self.width), key=lambda i: sum(map(len, columns[i])))]
        # Sentences hold commas, and so the lines of a field may look like rows; they hold no tab.
        some = len(fitting) // 100 if self._delimiter == "\t" else 0
        self._known = bool(self._columns) or needed <= some

    def add(self, row: Sequence[str]) -> None:
        """Remembers the classes of a row: a file may be sorted by them."""
        for place, column in self._columns.items():
            if not column.numbers and len(column.values) < _DISTINCT:
                column.values.add(row[place])

    def swallowed(self, number: int, lines: Sequence[str]) -> bool:
        """Returns whether lines that quotes make one record are rows, each of them.

        Args:
            number: Number of the first line.
            lines: The lines.
        """
        parts = [self._fields(line) for line in lines if line.strip()]
        parts[0] = [part.strip(self._quote) for part in parts[0]]
        if self._known and len(parts) > 1 and sum(map(self._fits, parts)) >= _MOST * len(parts):
            return True
        alike = sum(len(part) == self.width for part in parts)
        if self._enough and len(parts) >= self._enough and alike >= _MOST * len(parts):
            self.doubtful = self.doubtful or number
        return False

    def plain(self, number: int, line: str) -> list[str] | None:
        """Returns the fields of a line whose quotes are characters; None: it is no row so either.

        Args:
            number: Its number.
            line: The line.
        """
        fields = self._fields(line)
        if not self._known or not self._fits(fields):
            return None
        self.strays += 1
        self.first = self.first or number
        return fields

    def _fields(self, line: str) -> list[str]:
        return without_end(line).split(self._delimiter)

    def _fits(self, fields: Sequence[str]) -> bool:
        return len(fields) == self.width and all(
            fields[place] in column.values or (column.numbers and _is_number(fields[place]))
            for place, column in self._columns.items()
        )


class _Column(NamedTuple):
    values: set[str]
    numbers: bool  # whether it holds numbers, but for these values


def _is_number(value: str) -> bool:
    try:
        float(value)
    except ValueError:
        return False
    return True
