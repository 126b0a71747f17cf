"""The lines of a text file that a command is given, or of standard input."""

from __future__ import annotations

import codecs
import io
from collections.abc import Iterator
from pathlib import Path

from textmill.errors import UserError

# Those of UTF-32 first: the mark of UTF-16 is how the one of UTF-32 begins.
_MARKS = {
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}


def lines_of(file: Path) -> Iterator[str]:
    r"""Yields the lines of a file without their ends, as they come; `-` is standard input.

    A line ends at "\n" or "\r\n" and nowhere else: what `str.splitlines` takes for an end besides,
    a lone "\r" or U+2028 for example, is part of a text. An empty line is an empty text. The text
    is UTF-8, with a byte order mark or without, or UTF-16 or UTF-32 with one; a byte that is not
    valid becomes U+FFFD.

    Raises:
        UserError: The file can't be read, or holds no text.

    Example:
        >>> import pathlib, tempfile
        >>> file = pathlib.Path(tempfile.mkdtemp()) / "texts.txt"
        >>> _ = file.write_bytes(b"\xef\xbb\xbfone\r\n\ntwo\rhalves")
        >>> list(lines_of(file))
        ['one', '', 'two\rhalves']
    """
    if str(file) == "-":
        file = Path("/dev/stdin")
    try:
        with file.open("rb") as binary:
            head = binary.peek(4)  # at most one read, so that what waits in a pipe is not held back
            codec = next((name for mark, name in _MARKS.items() if head.startswith(mark)), None)
            if codec is None and b"\0" in head:
                raise UserError(
                    f"{file}: holds no text",
                    expected="UTF-8 text, or UTF-16 with a byte order mark",
                    received=f"binary data that begins with {head[:8].hex(' ')}",
                    fix="name a file with a text a line",
                )
            text = io.TextIOWrapper(binary, codec or "utf-8-sig", errors="replace", newline="\n")
            for line in text:
                yield line.removesuffix("\n").removesuffix("\r") if line[-1] == "\n" else line
    except OSError as error:
        raise UserError(
            f"{file}: cannot be read",
            expected="a text file with a text a line",
            received=error.strerror or str(error),
            fix="check the path and its permissions",
        ) from None
