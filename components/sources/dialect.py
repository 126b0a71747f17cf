"""What stands between and around the fields of delimited text, as its own lines show it."""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from typing import Literal

from textmill.components.sources.text_file import without_end

Quoting = Literal["auto", "standard", "none"]
DELIMITERS = ",;\t|"
_SEPARATOR = re.compile(
    r'"?sep=(.)\1*"?[ \t]*', re.IGNORECASE
)  # padded where a program saved it again


def separator(line: str) -> str | None:
    r"""Returns the delimiter that a first line such as "sep=;" names; None: it is no such line.

    Excel reads and needs this line, and so it is common in files that were made for it.

    Example:
        >>> separator("sep=;\r\n"), separator("sep=\t\n"), separator("text;label\n")
        (';', '\t', None)
    """
    found = _SEPARATOR.fullmatch(without_end(line))
    return str(found[1]) if found else None


def has_blanks(lines: Sequence[str], delimiter: str, quote: str) -> bool:
    r"""Returns whether blanks between a delimiter and a field are none of the field.

    So it is where all names of a header have them, or quotes in a tenth of the lines.

    Args:
        lines: The header line, if there is one, and some lines behind it.
        delimiter: Between the fields.
        quote: The quote character.

    Example:
        >>> has_blanks(["text, label\n", "Well, a\n"], ",", '"')
        True
        >>> has_blanks(["text,label\n", '"Well, ""so"" he said", "a"\n'], ",", '"')
        True
        >>> has_blanks(["text,label\n", '"Well, ""so"" he said, ",a\n'], ",", '"')
        False
    """
    if delimiter.isspace():
        return False
    first, *rows = lines or [""]
    if delimiter in first and all(name.startswith(" ") for name in first.split(delimiter)[1:]):
        return True
    sign, mark = re.escape(delimiter), re.escape(quote)
    begun = re.compile(rf"{sign} +{mark}(?!{mark}|{sign}|\s|$)")
    found = sum(begun.search(row) is not None for row in rows)
    return 0 < found >= len(rows) / 10


def guess_delimiter(lines: Sequence[str], usual: str = ",", quote: str = '"') -> str:
    r"""Returns what stands between the fields, by the first lines of a table.

    Args:
        lines: The header line and some lines behind it; or no header, and rows alone.
        usual: What it is where the lines do not tell.
        quote: The quote character.

    Returns:
        What a "sep=;" line says; or else which of "," ";" tab and "|" parts the most lines into as
        many fields as the header.

    Example:
        >>> guess_delimiter(["text;label\n", "Well, well;pos\n", "Bad;neg\n"])
        ';'
        >>> guess_delimiter(["text\n", "Well; well\n"])
        ','
    """
    said = separator(lines[0]) if lines else None
    if said is not None:
        return said
    whole = [without_end(line).replace("\r", " ") + "\n" for line in lines]

    def fitting(delimiter: str) -> int:
        rows = csv.reader(whole, delimiter=delimiter, quotechar=quote)
        widths = [len(row) for row in rows if row]
        return widths.count(widths[0]) if widths and widths[0] > 1 else 0

    candidates: list[str] = [usual, *DELIMITERS]
    return max(candidates, key=fitting)  # of equals the first
