"""Values as TOML writes them, and any text as one line of a comment."""

from __future__ import annotations

import re
from typing import Any

_SHORT = {"\b": "\\b", "\t": "\\t", "\n": "\\n", "\f": "\\f", "\r": "\\r"}
_SHORT |= {'"': '\\"', "\\": "\\\\"}
# TOML 1.0 forbids control characters in strings; the others here would not be seen, or break lines.
_ESCAPED = re.compile('[\x00-\x1f"\\\\\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]')

_BARE = re.compile("[A-Za-z0-9_-]+")  # a key that needs no quotes


def toml_value(value: Any) -> str:
    r"""Returns a value as TOML writes it, on one line.

    Args:
        value: A string without lone surrogates, a truth value, a number, a list of such, or a dict
            with strings as keys.

    Example:
        >>> print(toml_value({"a": ["line\nend", 1.5, True], "b c": 2}))
        {a = ["line\nend", 1.5, true], "b c" = 2}

    Source: https://toml.io/en/v1.0.0#string
    """
    if isinstance(value, str):
        return f'"{_ESCAPED.sub(_escape, value)}"'
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, dict):
        keys = (key if _BARE.fullmatch(key) else toml_value(key) for key in value)
        pairs = map(" = ".join, zip(keys, map(toml_value, value.values()), strict=True))
        return f"{{{', '.join(pairs)}}}"
    return f"[{', '.join(map(toml_value, value))}]"


def one_line(text: str, most: int = 60) -> str:
    r"""Returns a text as a comment or a message can show it: what can't be seen as an escape.

    Args:
        text: Any text.
        most: Characters of it at most.

    Example:
        >>> print(one_line("a\vb\u2028c"), one_line("0123456789", 4))
        a\x0bb\u2028c 0123…
    """
    cut = text if len(text) <= most else text[:most] + "…"
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in cut)


def _escape(found: re.Match[str]) -> str:
    character = found[0]
    return _SHORT.get(character, f"\\u{ord(character):04x}")
