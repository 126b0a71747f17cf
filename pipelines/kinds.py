"""What the columns of a table hold, as some of their rows show it."""

from __future__ import annotations

import json
import math
import re
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Literal

from textmill.components.columns import names_inside, pick, values_of
from textmill.components.label_column import read_span, spans_in
from textmill.components.name_lists import listed_names, read_printed
from textmill.components.sources.source import Source
from textmill.components.split_column import PLACES

if TYPE_CHECKING:
    import pyarrow as pa

ROWS_OF_A_BATCH = 1000  # that are looked at, evenly spread
ANSWERS = {
    "accept",
    "reject",
    "ignore",
}  # what Prodigy notes: https://prodi.gy/docs/api-interfaces/api-interfaces
LONG = 60  # characters: what has more on average is a text, however often it comes
FEW = 20  # different whole numbers that may be classes
_REMEMBERED = 50  # different values of a column, of all its rows

# What a column holds -> what that means where it is left out.
KINDS = {
    "text": "texts",
    "class": "names that come again and again",
    "number": "numbers",
    "names": "lists of names",
    "spans": "spans of a text",
    "messages": "conversations",
    "split": "splits",
    "parts": "which rows are for training",
    "answer": "whether an annotator accepted the row",
    "figure": "numbers, but not written as 1234.5 is",
    "date": "dates",
    "link": "links",
    "id": "a different value in each row",
    "object": "lists or objects",
    "constant": "one value in all rows",
    "empty": "nothing",
}
Kind = Literal[
    "text", "class", "number", "names", "spans", "messages", "split", "parts", "answer", "figure",
    "date", "link", "id", "object", "constant", "empty",
]  # fmt: skip

# Words of names of what may rise from row to row, in a sorted file, and is no number of the row.
MEASURED = {"label", "score", "rating", "target", "stars", "value", "y"}
_TIMES = {"time", "timestamp", "date", "datetime", "created", "updated", "at"}

# Words of what says which rows a model learns from, and which it is measured on.
_LEARNED = {"train", "training", "trn", "tr"}
_MEASURING = {
    "test", "testing", "tst", "te", "dev", "development", "eval", "evaluation", "validation",
    "validating", "valid", "val", "va", "holdout", "heldout",
}  # fmt: skip
_BESIDE = {"set", "data", "split", "public", "private", "a", "b"}  # "Public Test"
_ASKING = {"is", "in", "for", "as", "set", "data", "flag"}  # is_train, "in test set"

_LINK = re.compile(r"(https?://|www\.)\S+")
_DATE = re.compile(r"(\d{4}[-/.]\d{1,2}[-/.]\d{1,2}|\d{1,2}[-/.]\d{1,2}[-/.]\d{2,4})([T ,].*)?")
_FIGURE = re.compile(r"[-+]?\d+([.,' ]\d{3})*([.,]\d+)?\s*[%€$£]?")
_CODE = re.compile(r"0\d+")  # digits that are no number: 007
_MARK = re.compile(r"[!-~]+")  # of an identifier: ASCII without white space
_ORDERED = {"id", "ids", "index", "idx", "no", "nr", "number", "row", "unnamed", "column", "key"}


@dataclass
class Column:
    """A column, and the values of the rows that were looked at.

    Attributes:
        name: Its name; dots lead into objects.
        values: What is not missing, as JSON has it.
        seen: The first few different values of all rows.
        absent: A file that does not have it, "" where all do.
    """

    name: str
    values: list[Any] = field(default_factory=list)
    seen: set[str] = field(default_factory=set)
    absent: str = ""

    @cached_property
    def words(self) -> set[str]:
        """The words of its name: topic and name of topic_name, topicName or "Topic name"."""
        return _words_of(self.name)

    @cached_property
    def texts(self) -> list[str]:
        """Its values as text."""
        return [v if isinstance(v, str) else json.dumps(v, ensure_ascii=False) for v in self.values]

    @cached_property
    def distinct(self) -> list[str]:
        """Its different values as text, sorted."""
        return sorted(set(self.texts))

    @cached_property
    def length(self) -> float:
        """Characters of a value on average."""
        return statistics.fmean(map(len, self.texts)) if self.texts else 0.0

    @cached_property
    def kind(self) -> Kind:
        """What it holds."""
        if not self.values:
            return "empty"
        lists = [v for v in self.values if isinstance(v, list | dict)]
        if lists:
            return _kind_of_lists(lists) if 2 * len(lists) > len(self.values) else "text"
        named = {text.strip().lower() for text in self.seen} - {""}
        if named <= ANSWERS and "accept" in named:
            return "answer"
        if named <= PLACES.keys() and "train" in named and len(named) > 1:
            return "split"
        if len(self.distinct) == 1:
            return "constant"
        if self._parts(named):
            return "parts"
        numbers = [number for text in self.texts if (number := number_of(text)) is not None]
        codes = any(map(_CODE.fullmatch, self.distinct))
        if len(numbers) == len(self.texts) and len(set(numbers)) > 1 and not codes:
            return self._kind_of_numbers(numbers)
        if _most(self.texts, _LINK.fullmatch):
            return "link"
        if _most(self.texts, _DATE.fullmatch):
            return "date"
        alone = len(self.distinct) == len(self.texts)
        figures = not codes and _most(self.texts, _FIGURE.fullmatch)
        if alone and not figures and len(self.texts) > 2 and _most(self.texts, _MARK.fullmatch):
            return "id"
        if repeated(len(self.distinct), len(self.texts)) and self.length < LONG:
            return "class"
        return "figure" if figures else "text"

    def _parts(self, named: set[str]) -> bool:
        """Says whether its values, or its name, tell what is learned from what is measured on."""
        words = [_words_of(value) - _BESIDE for value in self.seen if len(value) < LONG]
        learned = sum(bool(each) and each <= _LEARNED for each in words)
        measured = sum(bool(each) and each <= _MEASURING for each in words)
        if learned and measured and 2 * (learned + measured) > len(named):
            return True
        told = self.words & (_LEARNED | _MEASURING)
        return bool(told) and told < self.words <= told | _ASKING and len(named) == 2

    def _kind_of_numbers(self, numbers: list[float]) -> Kind:
        distinct = sorted(set(numbers))
        whole = all(number.is_integer() for number in distinct)
        rising = all(a < b for a, b in pairwise(numbers))
        alone = len(distinct) == len(numbers)
        counts = self.words & _ORDERED or (rising and not self.words & MEASURED)
        if whole and alone and len(numbers) > 2 and counts:
            return "id"
        if self.words & _TIMES and not self.words & MEASURED:
            return "date"
        if not whole or not repeated(len(distinct), len(numbers)):
            return "number"
        # Classes are often numbered from 0 or 1, without a gap.
        counted = distinct[0] in (0, 1) and distinct[-1] - distinct[0] == len(distinct) - 1
        return "class" if counted or len(distinct) <= FEW else "number"


def _words_of(name: str) -> set[str]:
    parted = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name)
    return set(re.findall(r"[^\W_]+?(?=\d*(?:[\W_]|$))|\d+", parted.lower()))


def number_of(text: str) -> float | None:
    """Returns the finite number that a text is, None if it is none."""
    with suppress(ValueError):
        number = float(text)
        return number if math.isfinite(number) else None
    return None


def repeated(distinct: int, rows: int) -> bool:
    """Returns whether values come so often that they can be classes."""
    return 2 <= distinct <= max(2, rows // 3)


def _most(texts: Sequence[str], fits: Callable[[str], object]) -> bool:
    return sum(fits(text.strip()) is not None for text in texts) >= 0.9 * len(texts)


def _kind_of_lists(values: list[Any]) -> Kind:
    values = [spans_in(value) for value in values]
    items = [item for value in values if isinstance(value, list) for item in value]
    if not items or not all(isinstance(value, list) for value in values):
        return "object"
    if all(isinstance(item, dict) and {"role", "content"} <= item.keys() for item in items):
        return "messages"
    if all(map(_is_span, items)):
        return "spans"
    if all(isinstance(item, str | int) for item in items):
        return "names" if repeated(len(set(map(str, items))), len(values)) else "object"
    return "object"


def _is_span(item: Any) -> bool:
    with suppress(KeyError, TypeError, ValueError):
        read_span(item)
        return True
    return False


@dataclass(frozen=True)
class Table:
    """What was looked at.

    Attributes:
        columns: The columns, in their order.
        rows: How many rows.
        rejected: How many more could not be read.
        fault: Why the first of them could not, "" without one.
    """

    columns: Mapping[str, Column]
    rows: int
    rejected: int
    fault: str


def look_at(source: Source) -> Table:
    """Returns the columns of a source, with rows from all over it, as it may be sorted by label."""
    import pyarrow as pa

    columns: dict[str, Column] = {}
    files: dict[str, set[str]] = {}
    rows = rejected = 0
    fault = ""
    for batch in source.batches():
        size = batch.rows.num_rows
        rejected += len(batch.rejected)
        for bad in batch.rejected[:1]:
            fault = fault or f"{bad.file} line {bad.line}: {bad.reason}"
        held = pa.array(range(0, size, max(1, size // ROWS_OF_A_BATCH)), pa.int64())
        rows += len(held)
        names = names_inside(batch.rows)
        for name in names:
            array = pick(batch.rows, name)
            if array is None:
                continue
            column = columns.setdefault(name, Column(name))
            if len(column.seen) < _REMEMBERED:
                column.seen |= _first_values(array)
            column.values += filter(_there, map(_parsed, values_of(array.take(held))))
        for file in batch.file.unique().to_pylist():
            files.setdefault(file, set()).update(names)
    for column in columns.values():
        if all(isinstance(value, list) and len(value) == 1 for value in column.values):
            alone = [value[0] for value in column.values]
            if all(isinstance(value, str | int | float) for value in alone):
                column.values = alone  # as `ingest` takes a list of one value
        column.absent = next((f for f, names in files.items() if column.name not in names), "")
    return Table(columns, rows, rejected, fault)


def _first_values(array: pa.Array) -> set[str]:
    try:
        found: Iterable[Any] = array.unique()[:_REMEMBERED].to_pylist()
    except NotImplementedError:  # of lists
        found = array[:_REMEMBERED].to_pylist()
    return {value if isinstance(value, str) else str(value) for value in found if _there(value)}


def _there(value: Any) -> bool:
    missing = isinstance(value, float) and math.isnan(value)
    return value is not None and not missing and value != ""


def _parsed(value: Any) -> Any:
    """Returns a value as JSON has it: the list or object that a string spells, too."""
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    if isinstance(value, str) and value[:1] in ("[", "{", "(", "_"):
        with suppress(ValueError):
            names = listed_names(value)
            if names is not None:
                return names
        with suppress(ValueError, RecursionError):
            return value if value[0] == "(" else read_printed(value)
    if value is None or isinstance(value, str | int | float | bool | list | dict):
        return value
    return str(value)
