"""Lists in the forms in which labels come."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterable
from typing import Any

from textmill.components.columns import text_of

FASTTEXT = "__label__"  # stands before each label in the files of fastText

# What Python and numpy print of a list, a tuple, a set or an array of names and numbers: "['a']",
# "('a', 'b')", "['a' 'b']". Each item is read by itself: Python would join "'a' 'b'" to one.
_ITEM = r"""'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|[-+]?\d+(?:\.\d*)?|True|False|None|nan"""
_PRINTED = re.compile(
    rf"(?s)(?:array|frozenset|set|Index)?\(?[\[({{]\s*((?:{_ITEM})(?:(?:\s*,\s*|\s+)(?:{_ITEM}))*)?\s*,?\s*[\])}}]"
    r"(?:,\s*dtype=\S+)?\)?"
)
_BITS = {"0", "1", "0.0", "1.0", "false", "true"}
_EMPTY = ("()", "set()", "frozenset()")


def listed_names(given: Any) -> list[str] | None:
    r"""Returns the names that a label lists, or None where it is no list.

    Args:
        given: A value as Python has it, or its text: a list; what Python or numpy print of one; an
            object with the key "choices", as Label Studio exports it; labels of fastText.

    Raises:
        ValueError: It is a list, or an object, of something else.

    Example:
        >>> [listed_names(given) for given in (["b", 1], '["a"]', "['a', \"b's\"]", "['a' 'b']")]
        [['b', '1'], ['a'], ['a', "b's"], ['a', 'b']]
        >>> [listed_names(given) for given in ('{"choices": ["a"]}', "__label__a __label__b", "a")]
        [['a'], ['a', 'b'], None]
    """
    if isinstance(given, str):
        return _listed_in_text(given.strip())
    if isinstance(given, dict):
        if not given:
            return []
        if "choices" not in given:
            keys = ", ".join(map(repr, list(given)[:5]))
            raise ValueError(f"names expected, an object with {keys} found")
        found = given["choices"]
        return listed_names(found if isinstance(found, list) else [found])
    if not isinstance(given, list):
        return None
    while len(given) == 1 and isinstance(given[0], list):
        given = given[0]
    if [type(each) for each in given] == [int, int, str]:
        raise ValueError("names expected, a span found")
    names: list[str] = []
    for each in given:
        if isinstance(each, list):
            raise ValueError("a list of names expected, a list of lists found")
        text = text_of(each)
        names += (listed_names(each) or []) if isinstance(each, dict) else [text] if text else []
    numbers = not any(isinstance(each, str) for each in given)
    if numbers and len(set(names)) < len(names) and set(names) <= _BITS:
        raise ValueError("names expected, a vector of 0 and 1 found")
    return [name.strip() for name in names if name.strip()]


def _listed_in_text(text: str) -> list[str] | None:
    if text.startswith(FASTTEXT):
        return [part.removeprefix(FASTTEXT) for part in text.split()]
    if not text.startswith(("[", "{", "(", "array(", "frozenset(", "set(", "Index(")):
        return None
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):  # a name may begin with a bracket
        found = None
    if isinstance(found, list | dict):
        return listed_names(found)
    if text in _EMPTY:
        return []
    printed = _PRINTED.fullmatch(text)
    if printed and (text[0] != "(" or "'" in text or '"' in text):  # "(1)" is a name
        return listed_names([ast.literal_eval(_JSON.get(i, i)) for i in _items(printed[1] or "")])
    if re.match(r"\{\s*['\"][^'\"]*['\"]\s*:", text):
        raise ValueError("names expected, an object found")
    if text[0] + text[-1] in ("[]", "{}") and "," in text:
        raise ValueError("a list of names expected, each in quotes")
    return None


_JSON = {"nan": "None"}


def _items(text: str) -> list[str]:
    return re.findall(f"(?s){_ITEM}", text)


_TOKEN = re.compile(
    r"""(?s)\s*(?:('(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")|(True|False|None)|([-+]?[\d.eE+-]+|[\[\]{}(),:]))\s*"""
)
_WORDS = {"True": "true", "False": "false", "None": "null", "(": "[", ")": "]"}


def read_printed(text: str) -> Any:
    """Returns what JSON says, or what Python prints of lists, tuples, objects, numbers and strings.

    Python's own parser is not made for texts of strangers: it may run out of stack.

    Raises:
        ValueError: It is neither.

    Example:
        >>> read_printed("[(0, 3, 'who'), {'end': None}]")
        [[0, 3, 'who'], {'end': None}]
    """
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        parts: list[str] = []
        place = 0
        while place < len(text):
            token = _TOKEN.match(text, place)
            if token is None:
                raise
            place = token.end()
            quoted, word, other = token.groups()
            part = json.dumps(ast.literal_eval(quoted)) if quoted else _WORDS.get(word or other)
            part = part or other
            if part in ("]", "}") and parts and parts[-1] == ",":
                parts.pop()  # of "(1,)"
            parts.append(part)
    return json.loads("".join(parts))


def listed_share(texts: Iterable[str | None]) -> float:
    """Returns the share of texts, of those that are not missing, that are printed lists of one.

    Example:
        >>> listed_share(["['One text.']", None, "", "Two", "['a', 'b']"])
        0.3333333333333333
    """
    found = [text for text in texts if text]
    listed = sum(text[0] + text[-1] == "[]" and out_of_list(text) != text for text in found)
    return listed / len(found) if found else 0.0


def out_of_list(text: str | None) -> str | None:
    """Returns the text in a printed list of one, and any other text as it is.

    Example:
        >>> out_of_list('["One text."]'), out_of_list("[One]")
        ('One text.', '[One]')
    """
    try:
        match read_printed(text or ""):
            case [str(only)]:
                return only
    except (ValueError, RecursionError):
        pass
    return text
