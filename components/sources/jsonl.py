"""JSON: one object a line, or a whole document of objects, gzipped or not."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Any, NamedTuple

from textmill.artifact import SPLITS
from textmill.components.columns import text_of
from textmill.components.sources.source import (
    Batch,
    Json,
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

_INFINITE = {"NaN": None, "Infinity": math.inf, "-Infinity": -math.inf}  # no JSON, but common
_DECODER = json.JSONDecoder(parse_constant=_INFINITE.__getitem__)
_SPLITS = (*SPLITS, "valid", "val", "dev")
_ROWS = frozenset(
    ["data", "rows", "examples", "records", "instances", "items", "results", "samples", "entries"]
).union(_SPLITS)
_TURN = ("role", "from")  # keys of what is said in a conversation, which may be all of a file


@dataclass(frozen=True)
class JsonLines:
    r"""One JSON object a line; its keys are the columns. Empty lines are passed over.

    A number or a truth value becomes its JSON text: 1.0 stays "1.0", true is "true"; null and NaN
    are missing. Lists and objects stay what they are. A key may be absent from any row.

    A file that does not begin with a line that is an object is read into memory as a whole, and a
    row's `line` is its place: objects over several lines, an array of objects, or an object with
    such an array under its only key (but turns of a conversation), or under data, rows, examples,
    records, instances, items, results, samples, entries or the name of a split, which then is the
    column `split`.

    Attributes:
        files: Names of the files.
        encoding: Name of the encoding; a row that is not valid in it is rejected.

    Example:
        >>> import pathlib, tempfile
        >>> file = pathlib.Path(tempfile.mkdtemp(), "a.jsonl")
        >>> _ = file.write_text('{"text": "good", "stars": 5}\n{"text": \n')
        >>> [batch] = JsonLines((str(file),)).batches()
        >>> batch.rows.to_pylist()
        [{'text': 'good', 'stars': '5'}]
        >>> batch.rejected[0].reason
        'invalid JSON: Expecting value, column 9'
    """

    files: tuple[str, ...]
    encoding: str = "utf-8"

    def __str__(self) -> str:
        return listing(self.files)

    def digest(self) -> str:
        """Returns a digest of the files."""
        return digest(self.files)

    def batches(self) -> Iterator[Batch]:
        """Yields a column for each key that came so far in the file."""
        for file in self.files:
            columns: list[str] = []
            with open_text(file, self.encoding) as lines:
                yield from batched(_rows(file, _items(file, lines), columns), columns)


class _Item(NamedTuple):
    """A value of a file.

    Attributes:
        line: The line on which it begins, from 1; or its place in a document.
        raw: Its text.
        value: The object; or the reason why it is none.
    """

    line: int
    raw: str
    value: dict[str, Any] | str


def _rows(file: str, items: Iterable[_Item], columns: list[str]) -> Iterator[Row | Rejected]:
    for line, raw, found in items:
        values = found if isinstance(found, str) else _values(found)
        if isinstance(values, str):
            yield Rejected(file, line, values, readable(raw))
            continue
        columns += [key for key in values if key not in columns]
        yield Row(file, line, [values.get(key) for key in columns])


def _values(found: dict[str, Any]) -> dict[str, str | None] | str:
    """Returns key -> text, or the reason why there is none."""
    values = {key: _text(value) for key, value in found.items()}
    # Valid JSON may still spell half of a surrogate pair: "\ud800".
    if not all(encodable(part or "") for item in values.items() for part in item):
        return "invalid encoding"
    return values


def _text(value: Any) -> str | None:
    text = text_of(value)
    return Json(text) if text is not None and isinstance(value, list | dict) else text


def _items(file: str, lines: Iterator[str]) -> Iterator[_Item]:
    """Yields the values of a file: by the line, or of the document that it is."""
    head = _through_next(lines)
    if not head:
        return
    first = _parse(head[-1].strip())
    if isinstance(first, str):  # no object by itself: a document may begin here
        head += lines
        if found := _document(file, "".join(head)):
            yield from _of_document(found)
            return
    elif more := _through_next(lines):
        head += more
    else:
        yield from _of_document([first])
        return
    yield from _by_line(chain(head, lines))


def _through_next(lines: Iterator[str]) -> list[str]:
    """Returns the lines through the next that is not blank, none where there is no such."""
    held: list[str] = []
    for line in lines:
        held.append(line)
        if line.strip():
            return held
    return []


def _by_line(lines: Iterable[str]) -> Iterator[_Item]:
    for line, text in enumerate(lines, 1):
        if raw := text.strip():
            yield _Item(line, raw, _parse(raw))


def _parse(raw: str) -> dict[str, Any] | str:
    """Returns the object that a text is, or the reason why it is none."""
    try:
        found = _DECODER.decode(raw)
    except json.JSONDecodeError as error:
        reason = f"invalid JSON: {error.msg}, column {error.colno}"
        return reason if encodable(raw) else "invalid encoding"
    except (ValueError, RecursionError) as error:  # a number or a nesting beyond Python's limits
        return f"invalid JSON: {error}"
    return found if isinstance(found, dict) else _no_object(found)


def _no_object(found: Any) -> str:
    return f"invalid JSON: an object expected, {type(found).__name__} found"


def _document(file: str, text: str) -> list[Any]:
    """Returns the values of a document, none where its first can't be read.

    Raises:
        UserError: It begins as a document, and breaks off.
    """
    found: list[Any] = []
    place = start = _behind_blanks(text, 0)
    try:
        while place < len(text):
            value, place = _DECODER.raw_decode(text, place)
            found.append(value)
            place = _behind_blanks(text, place)
    except (ValueError, RecursionError) as error:
        if text[start] != "[" and not found:
            return []
        raise UserError(
            f"{file}: damaged JSON",
            expected="one array of objects, or objects one after the other",
            received=str(error),
            fix="write the file again, or write one object a line: then a bad one costs a line",
        ) from None
    return found


def _of_document(found: list[Any]) -> Iterator[_Item]:
    """Yields the rows that the values of a document are, or hold."""
    rows = [each for value in found for each in (value if isinstance(value, list) else [value])]
    if len(rows) == 1 and isinstance(rows[0], dict):
        rows = _unwrapped(rows[0])
    for place, row in enumerate(rows, 1):
        yield _Item(place, text_of(row) or "", row if isinstance(row, dict) else _no_object(row))


def _behind_blanks(text: str, place: int) -> int:
    while place < len(text) and text[place].isspace():
        place += 1
    return place


def _unwrapped(found: dict[str, Any]) -> list[dict[str, Any]]:
    """Returns the rows that an object holds, or it alone where it holds none."""
    rows: list[dict[str, Any]] = []
    for key, value in found.items():
        if not isinstance(value, list) or not all(isinstance(each, dict) for each in value):
            continue
        # A single key is around something, whatever its name.
        alone = len(found) == 1 and not any(sign in row for row in value for sign in _TURN)
        if alone or key.lower() in _ROWS:
            split = {"split": key} if key.lower() in _SPLITS else {}
            rows += [split | row for row in value]
    return rows or _of_columns(found) or [found]


def _of_columns(found: dict[str, Any]) -> list[dict[str, Any]]:
    """Returns the rows of an object of columns, each a list or an object of values by their row.

    As pandas' `to_json` writes them: also objects by row of values by their column, of which there
    are fewer than rows, and names of columns beside lists of values.
    """
    names, values = found.get("columns"), found.get("data")
    if isinstance(names, list) and isinstance(values, list):
        if all(isinstance(row, list) and len(row) == len(names) for row in values):
            return [dict(zip(map(str, names), row, strict=True)) for row in values]
        return []
    columns = list(found.values())
    if all(isinstance(each, dict) for each in columns):
        if any(each.keys() != columns[0].keys() for each in columns):
            return []
        if len(columns) > len(columns[0]):
            return columns
        columns = [list(each.values()) for each in columns]
    if not all(isinstance(each, list) and len(each) == len(columns[0]) for each in columns):
        return []
    if len(columns) < 2 or len(columns[0]) < 2:
        return []
    return [dict(zip(found, row, strict=True)) for row in zip(*columns, strict=True)]
