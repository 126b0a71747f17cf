"""JSON lines: one object a line, in .jsonl, .ndjson and .json files, gzipped or not."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass

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


@dataclass(frozen=True)
class JsonLines:
    r"""One JSON object a line; its keys are the columns. Empty lines are passed over.

    A value that is no string becomes its JSON text: 1.0 stays "1.0", true is "true"; null is
    missing. A key may be absent from any row.

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
        """Yields string columns, one for each key that came so far in the file."""
        for file in self.files:
            columns: list[str] = []
            with open_text(file, self.encoding) as lines:
                yield from batched(_rows(file, lines, columns), columns)


def _rows(file: str, lines: Iterator[str], columns: list[str]) -> Iterator[Row | Rejected]:
    for number, line in enumerate(lines, 1):
        raw = line.strip()
        if not raw:
            continue
        if not columns and raw.startswith("["):
            raise UserError(
                f"{file}: is one JSON array",
                expected="JSON lines: one object a line",
                received=raw[:60],
                fix=f"jq -c '.[]' {file} > rows.jsonl, and name rows.jsonl",
            )
        found = _values(raw)
        if isinstance(found, str):
            yield Rejected(file, number, found, readable(raw))
            continue
        columns += [key for key in found if key not in columns]
        yield Row(file, number, [found.get(key) for key in columns])


def _values(raw: str) -> dict[str, str | None] | str:
    """Returns key -> text, or the reason why there is none."""
    try:
        found = json.loads(raw)
    except json.JSONDecodeError as error:
        reason = f"invalid JSON: {error.msg}, column {error.colno}"
        return reason if encodable(raw) else "invalid encoding"
    except (ValueError, RecursionError) as error:  # a number or a nesting beyond Python's limits
        return f"invalid JSON: {error}"
    if not isinstance(found, dict):
        return f"invalid JSON: an object expected, {type(found).__name__} found"
    values = {key: _text(value) for key, value in found.items()}
    # Valid JSON may still spell half of a surrogate pair: "\ud800".
    if not all(encodable(part or "") for item in values.items() for part in item):
        return "invalid encoding"
    return values


def _text(value: object) -> str | None:
    if value is None or isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False)
