"""Tables in text form: .csv, .tsv and .tab files, gzipped or not."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, islice

from textmill.components.sources.dialect import Quoting, has_blanks, separator
from textmill.components.sources.records import Records
from textmill.components.sources.rows import Rows
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
from textmill.progress import warn

_LOOKED_AT = 100  # lines that show whether blanks stand before fields


@dataclass(frozen=True)
class Delimited:
    r"""Rows of delimited text, as RFC 4180 has them, with a header line.

    Fields may hold the delimiter and line ends if they are quoted; a quote inside is doubled. A row
    with a bad quote is rejected and reading goes on with the next line, so that a quote that is
    never closed costs one line and not the rest of the file. Empty lines are passed over. A lone
    "\r" is a character, unless no line ends with "\n". Blanks before a field, as in "text, label",
    are none of it; see `has_blanks`.

    Attributes:
        files: Names of the files.
        delimiter: One character; None: what a first line such as "sep=;" says, else a tab in .tsv
            and .tab, and a comma.
        quote: The quote character.
        quoting: "standard", as RFC 4180 has it; "none", where a quote is a character like any
            other, as in many TSV files; "auto", as RFC 4180 has it, but for a quote that would take
            rows into one field: this one is a character, and a warning says so.
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
    delimiter: str | None = None
    quote: str = '"'
    quoting: Quoting = "auto"
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
                records = self._records(file, lines)
                columns = list(self.columns) or self._header(file, records)
                if self.quoting == "auto":
                    records.study(len(columns))
                yield from batched(_rows(file, records, len(columns)), columns)
            if records.rows:
                _say_strays(file, records.rows)

    def _header(self, file: str, records: Records) -> list[str]:
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

    def _records(self, file: str, lines: Iterator[str]) -> Records:
        first = next(lines, "")
        said = separator(first)
        tabs = file.lower().removesuffix(".gz").endswith((".tsv", ".tab"))
        delimiter = self.delimiter or said or ("\t" if tabs else ",")
        quote = None if self.quoting == "none" else self.quote
        head = [*([] if said else [first]), *islice(lines, _LOOKED_AT)]
        blanks = len(self.quote) == 1 and quote is not None and has_blanks(head, delimiter, quote)
        lines = chain(head, lines)
        if quote and first.count(quote) % 2 and "\r" in without_end(first):
            lines = _parted(lines)
        try:
            return Records(lines, delimiter, quote, 2 if said else 1, blanks=blanks)
        except (TypeError, ValueError) as error:
            raise UserError(
                f"delimiter = {delimiter!r}, quote = {self.quote!r}",
                expected="one character each, and not the same",
                received=str(error),
                fix='set delimiter = "," or ";" or "\\t"',
            ) from None


def _parted(lines: Iterator[str]) -> Iterator[str]:
    r"""Yields lines that end with "\r": Excel on the Mac writes "\n" inside quoted fields alone."""
    for line in lines:
        *parts, last = without_end(line).split("\r")
        yield from (f"{part}\n" for part in parts)
        yield last + line[len(without_end(line)) :]


def _say_strays(file: str, rows: Rows) -> None:
    """Warns of quotes that may be more, or less, than characters."""
    if rows.strays:
        warn(
            f"{file}: quotes are characters of the text on {rows.strays:,} lines, "
            f"the first is line {rows.first:,}, as they are around no field; "
            'quoting = "none" reads all quotes so'
        )
    if rows.doubtful:
        warn(
            f"{file}: the quoted field on line {rows.doubtful:,} may be several rows; if quotes "
            'are characters of the text, set quoting = "none"; else quoting = "standard"'
        )


def _rows(file: str, records: Records, width: int) -> Iterator[Row | Rejected]:
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
