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

    def __init__(self, width: int, delimiter: str, quote: str, *, blanks: bool = False) -> None:
        self.width = width
        self.strays = self.first = self.doubtful = 0
        self._delimiter, self._quote, self._blanks = delimiter, quote, blanks
        self._columns: dict[int, _Column] = {}  # place -> what is known of it
        self._known = False  # whether there is enough to tell rows by
        self._enough = 2  # lines of a field that may be rows, where it can't be told; 0: no lines

    def learn(self, records: Iterable[Record], lines: Sequence[str]) -> None:
        """Looks at the beginning of a file.

        Args:
            records: The beginning, read with quotes.
            lines: The same, not read.
        """
        seen = _Seen()
        for _, fields, raw in records:
            if not isinstance(fields, str) and len(fields) == self.width:
                parts = [self._fields(line) for line in without_end(raw).split("\n")]
                alike = sum(len(part) == self.width for part in parts)
                seen.add(fields, raw, parts, self._quote, alike=alike >= _MOST * len(parts))
        fitting = [fields for fields in map(self._fields, lines) if len(fields) == self.width]
        if seen.enclosed > len(seen.rows) / 2:
            self._enough = 0
            return
        tabs = self._delimiter == "\t"
        # Of one column nothing can be told but that fields of several lines are rare.
        rare = (seen.needed if self.width > 1 else seen.long) <= len(seen.rows) / 10
        self._enough = 0 if not rare else 2 if tabs or not seen.needed else 5
        shown = seen.rows if seen.needed > len(seen.rows) / 20 else fitting
        if self.width == 1 or len(shown) < _ENOUGH:
            return
        self._columns = _columns(shown, seen.rows)
        # Sentences hold commas and begin with numbers, and so the lines of a field may look like
        # rows; they hold no tabs.
        classes = any(tabs or not column.numbers for column in self._columns.values())
        self._known = classes or seen.needed <= (len(fitting) // 100 if tabs else 0)

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
        fits = [self._known and self._fits(part) for part in parts]
        # A quote that opens a field in error stands in a row, and so does the one that ends it.
        if len(fits) > 1 and fits[0] and fits[-1] and sum(fits) >= _MOST * len(fits):
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
        fields = without_end(line).split(self._delimiter)
        return [field.lstrip(" ") for field in fields] if self._blanks else fields

    def _fits(self, fields: Sequence[str]) -> bool:
        return len(fields) == self.width and all(
            fields[place] in column.values or (column.numbers and _is_number(fields[place]))
            for place, column in self._columns.items()
        )


class _Seen:
    """Records read with quotes, and what quotes are for.

    Attributes:
        rows: Those of one line.
        needed: Those that quotes are needed for: for a delimiter, line ends, or quotes in a field.
        enclosed: Rows of one line with quotes around a field.
        long: Those of several lines each of which looks like a row.
    """

    def __init__(self) -> None:
        self.rows: list[list[str]] = []
        self.needed = self.enclosed = self.long = 0

    def add(
        self, fields: list[str], raw: str, parts: Sequence[list[str]], quote: str, *, alike: bool
    ) -> None:
        """Adds a record; `parts` are the fields of its lines if quotes are characters."""
        if not alike:
            self.needed += 1
        elif len(parts) > 1:
            self.long += 1
        else:
            self.rows.append(fields)
            self.needed += quote * 2 in raw
            self.enclosed += any(len(x) > 1 and x[0] == x[-1] == quote for x in parts[0])


class _Column(NamedTuple):
    values: set[str]
    numbers: bool  # whether it holds numbers, but for these values


def _columns(shown: Sequence[list[str]], rows: Sequence[list[str]]) -> dict[int, _Column]:
    """Returns the columns of classes and of numbers, by their places.

    Args:
        shown: Rows, or lines that have as many fields: some may be parts of a sentence.
        rows: Rows.
    """
    found: dict[int, _Column] = {}
    columns = [list(column) for column in zip(*shown, strict=True)]
    for place, values in enumerate(columns):
        numbers = sum(map(_is_number, values)) >= _MOST * len(values)
        counts = Counter(value for value in values if not (numbers and _is_number(value)))
        if len(counts) * _SEVERAL <= len(values):
            twice = {value for value, count in counts.items() if count > 1}
            found[place] = _Column(twice | {row[place] for row in rows}, numbers)
    if len(found) == len(columns):  # a few texts that come again and again
        del found[max(found, key=lambda place: sum(map(len, columns[place])))]
    return found


def _is_number(value: str) -> bool:
    try:
        float(value)
    except ValueError:
        return False
    return True
