"""What a source of examples is: anything with a digest that hands over batches of rows."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol

from textmill.artifact import digest_files
from textmill.errors import UserError

if TYPE_CHECKING:
    import pyarrow as pa

ROWS_PER_BATCH = 20_000
CHARACTERS_PER_BATCH = 1 << 25  # so that a batch of whole books does not fill the memory

# What an undecodable byte becomes under "surrogateescape", and what JSON escapes can smuggle in.
_SURROGATE = re.compile("[\ud800-\udfff]")


class Json(str):
    """JSON text of a list or an object, in a row where other strings stand for themselves."""

    __slots__ = ()


class Row(NamedTuple):
    """A row that could be read.

    Attributes:
        file: The file it stands in, as it was named to the source.
        line: The line on which it starts, from 1 (the row, where a file has no lines).
        values: A value for every column.
    """

    file: str
    line: int
    values: Sequence[str | None]


class Rejected(NamedTuple):
    """A row that could not be read.

    Attributes:
        file: As in `Row`.
        line: As in `Row`.
        reason: A few words, and details after a colon: `schema.json` counts what stands before it.
        text: As much of the row as is readable.
    """

    file: str
    line: int
    reason: str
    text: str | None


class Batch(NamedTuple):
    """Some thousand rows.

    Attributes:
        rows: The columns of the source, of any Arrow type.
        file: For every row the file it stands in, string.
        line: For every row the line on which it starts, int64, from 1.
        rejected: Rows from the same part of the source that could not be read.
    """

    rows: pa.RecordBatch
    file: pa.Array
    line: pa.Array
    rejected: Sequence[Rejected] = ()


class Source(Protocol):
    """Where examples come from. A frozen dataclass of plain values is the natural form.

    Its `str` names it in messages; its `repr` and `digest()` decide whether a step runs again.

    Example:
        >>> import hashlib, pyarrow as pa
        >>> from dataclasses import dataclass
        >>> @dataclass(frozen=True)
        ... class Sentences:
        ...     sentences: tuple[str, ...]
        ...     def digest(self):
        ...         return hashlib.sha256(repr(self.sentences).encode()).hexdigest()
        ...     def batches(self):
        ...         n = len(self.sentences)
        ...         rows = pa.record_batch({"text": self.sentences, "label": ["new"] * n})
        ...         yield Batch(rows, pa.array(["memory"] * n), pa.array(range(1, n + 1)))
        >>> source: Source = Sentences(("A first one.", "And another."))
        >>> next(source.batches()).rows.num_rows
        2
    """

    def digest(self) -> str:
        """Returns a digest of the raw data; the step runs again when it changes."""

    def batches(self) -> Iterator[Batch]:
        """Yields the rows in a fixed order, and at least one batch, so that columns are known."""


def batched(rows: Iterable[Row | Rejected], columns: Sequence[str]) -> Iterator[Batch]:
    """Groups rows of strings into batches.

    Args:
        rows: Rows in order; a value missing at the end of a row is null.
        columns: Names of the columns. It may grow while `rows` is read.

    Yields:
        Batches of string columns, and of JSON where a value is a list or an object; one without
        rows if there are none.

    Example:
        >>> bad = Rejected("a.csv", 3, "invalid encoding", None)
        >>> [batch] = batched([Row("a.csv", 2, ["good", "pos"]), bad], ["text", "label"])
        >>> batch.rows.to_pylist(), len(batch.rejected)
        ([{'text': 'good', 'label': 'pos'}], 1)
    """
    kept: list[Row] = []
    rejected: list[Rejected] = []
    characters = 0
    for row in rows:
        if isinstance(row, Rejected):
            rejected.append(row)
            characters += len(row.text or "")
        else:
            kept.append(row)
            characters += sum(map(len, filter(None, row.values)))
        if len(kept) + len(rejected) == ROWS_PER_BATCH or characters > CHARACTERS_PER_BATCH:
            yield _batch(kept, rejected, columns)
            kept, rejected, characters = [], [], 0
    yield _batch(kept, rejected, columns)


def _batch(rows: list[Row], rejected: list[Rejected], columns: Sequence[str]) -> Batch:
    import pyarrow as pa

    values = zip_longest(columns, *(row.values for row in rows))
    arrays = [_column(column[1:]) for column in values]
    return Batch(
        pa.record_batch(arrays, list(columns)),
        pa.array([row.file for row in rows], pa.string()),
        pa.array([row.line for row in rows], pa.int64()),
        rejected,
    )


def _column(values: Sequence[str | None]) -> pa.Array:
    import pyarrow as pa

    if not any(type(value) is Json for value in values):
        return pa.array(values, pa.string())
    texts = [
        value if value is None or type(value) is Json else json.dumps(value, ensure_ascii=False)
        for value in values
    ]
    return pa.ExtensionArray.from_storage(pa.json_(), pa.array(texts, pa.string()))


def encodable(text: str) -> bool:
    r"""Returns whether `text` is Unicode proper, without lone surrogates.

    Example:
        >>> encodable("caf\u00e9"), encodable(b"caf\xe9".decode("utf-8", "surrogateescape"))
        (True, False)
    """
    return text.isascii() or not _SURROGATE.search(text)


def readable(text: str) -> str:
    r"""Returns `text` with what is no Unicode as an escape.

    Example:
        >>> readable(b"caf\xe9".decode("utf-8", "surrogateescape"))
        'caf\\xe9'
        >>> readable("\ud800")
        '\\xed\\xa0\\x80'
    """
    if encodable(text):
        return text
    try:
        raw = text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        raw = text.encode("utf-8", "surrogatepass")
    return raw.decode("utf-8", "backslashreplace")


def listing(files: Sequence[str]) -> str:
    """Returns the names of the files for a message.

    Example:
        >>> listing(["a.csv", "b.csv", "c.csv", "d.csv"])
        'a.csv, b.csv and 2 more'
    """
    if len(files) < 4:
        return ", ".join(files)
    return f"{files[0]}, {files[1]} and {len(files) - 2} more"


def digest(files: Sequence[str], root: str = "") -> str:
    """Returns a digest of the names, as given, and the contents of `files` in the folder `root`.

    Raises:
        UserError: One of them can't be opened.
    """
    paths = {file: Path(root, file) for file in files}
    for path in paths.values():
        with opening(str(path)), path.open("rb"):
            pass
    return digest_files(paths)


@contextmanager
def opening(file: str) -> Iterator[None]:
    """Turns a failure to open `file` into a `UserError`.

    Example:
        >>> with opening("nothing.csv"): open("nothing.csv")
        Traceback (most recent call last):
        textmill.errors.UserError: nothing.csv: no such file
          ...
    """
    try:
        yield
    except FileNotFoundError:
        raise UserError(
            f"{file}: no such file",
            expected="a file that exists",
            received=f"{file}, looked for in {Path.cwd()}",
            fix="correct the name; a relative one starts from the folder the command runs in",
        ) from None
    except NotADirectoryError:
        raise UserError(
            f"{file}: is no folder",
            expected="a folder",
            received="a file, or a name below one",
            fix="name the folder that holds the files",
        ) from None
    except IsADirectoryError:
        raise UserError(
            f"{file}: is a folder",
            expected="a file",
            received="a folder with the name of a file",
            fix=f'name the files in it, such as "{file}/*"',
        ) from None
    except PermissionError:
        raise UserError(
            f"{file}: may not be read",
            expected="a file that this user may read",
            received="permission denied",
            fix=f"chmod +r {file}, or run as a user who may read it",
        ) from None
