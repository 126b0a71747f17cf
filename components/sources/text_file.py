"""Text files line by line: encodings, byte order marks, gzip, and files that are no text."""

from __future__ import annotations

import codecs
import gzip
import io
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, cast

from textmill.components.sources.source import opening
from textmill.errors import UserError

_HEAD = 1 << 16  # bytes that are looked at to tell text from binary data
_KINDS = {
    b"PK\x03\x04": "a zip archive (or an Excel sheet): unpack it, or save it as CSV",
    b"PAR1": "a Parquet file: give it the suffix .parquet",
    b"\x1f\x8b": "gzip data: give it the suffix .gz",
    b"\xff\xfe": 'UTF-16 text: set encoding = "utf-16"',
    b"\xfe\xff": 'UTF-16 text: set encoding = "utf-16"',
    b"%PDF": "a PDF document: extract its text first",
}


@contextmanager
def open_text(file: str, encoding: str = "utf-8") -> Iterator[Iterator[str]]:
    r"""Opens a text file, `.gz` or plain, and gives its lines with their ends.

    A line ends with "\n" or "\r\n", and with nothing else: a lone "\r", U+0085 or U+2028 stays
    inside it, as `wc` and `paste` count. In a file without any "\n" the lines end with "\r", as
    once on the Mac, and are given with "\n". A byte that is not valid in `encoding` becomes a lone
    surrogate (PEP 383), so that one bad line spoils no other: see `source.encodable`.

    Raises:
        UserError: The file can't be opened, holds binary data, or the encoding is unknown.
    """
    codec = codec_of(file, encoding)
    with opening(file), (gzip.open if file.lower().endswith(".gz") else open)(file, "rb") as opened:
        binary = cast("IO[bytes]", opened)
        with _undamaged(file, encoding):
            head = binary.read(_HEAD)
            _refuse_binary(file, head, codec)
            binary.seek(0)
            newline = _newline(binary, codec)
            binary.seek(0)
        with _text(binary, codec, newline) as text:
            yield _lines(text, file, encoding)


def without_end(line: str) -> str:
    r"""Returns a line without its "\n" or "\r\n".

    Example:
        >>> without_end("one\r\r\n"), without_end("two\r")
        ('one\r', 'two\r')
    """
    return line.removesuffix("\n").removesuffix("\r") if line.endswith("\n") else line


def _newline(binary: IO[bytes], codec: str) -> str | None:
    """Returns with what the lines of a text end, as Python's `open` takes it in `newline`."""
    text = _text(binary, codec, "")
    returns = False
    while part := text.read(_HEAD):
        if "\n" in part:
            break
        returns = returns or "\r" in part
    text.detach()
    return None if returns and not part else "\n"  # None: "\r" becomes "\n"


def _text(binary: IO[bytes], codec: str, newline: str | None) -> io.TextIOWrapper:
    # Surrogates for bytes only work where a byte is a character or part of one.
    return io.TextIOWrapper(binary, codec, errors="surrogateescape", newline=newline)


def _lines(text: io.TextIOWrapper, file: str, encoding: str) -> Iterator[str]:
    with _undamaged(file, encoding):
        yield from text


@contextmanager
def _undamaged(file: str, encoding: str) -> Iterator[None]:
    try:
        yield
    except UnicodeDecodeError as error:
        raise UserError(
            f"{file}: is not {encoding}",
            expected=f"text in {encoding}",
            received=f"{error.object[error.start : error.end].hex(' ')}: {error.reason}",
            fix="set encoding to the one that the file was written in",
        ) from None
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise UserError(
            f"{file}: damaged gzip data",
            expected="a whole gzip file",
            received=str(error),
            fix="fetch or compress the file again",
        ) from None


def codec_of(file: str, encoding: str) -> str:
    """Returns the codec for `encoding`; that of UTF-8 passes over a byte order mark.

    Example:
        >>> codec_of("reviews.csv", "UTF8")
        'utf-8-sig'
    """
    try:
        name = codecs.lookup(encoding).name
        "".encode(name).decode(name)  # "hex" and the like turn bytes into bytes
    except LookupError:
        raise UserError(
            f"{file}: unknown encoding {encoding!r}",
            expected='an encoding that Python knows, such as "utf-8", "utf-16" or "cp1252"',
            received=repr(encoding),
            fix='set encoding = "utf-8", or the one that the file was written in',
        ) from None
    return "utf-8-sig" if name == "utf-8" else name


def _refuse_binary(file: str, head: bytes, codec: str) -> None:
    if b"\0" not in head or codec.startswith(("utf-16", "utf-32")):
        return
    kind = next((kind for magic, kind in _KINDS.items() if head.startswith(magic)), "")
    raise UserError(
        f"{file}: holds no text",
        expected="UTF-8 text" if codec.startswith("utf-8") else f"text in {codec}",
        received=f"binary data that begins with {head[:8].hex(' ')}",
        fix=f"this looks like {kind}" if kind else "name a text file, or set its encoding",
    )
