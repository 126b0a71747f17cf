"""Labels as they come in a source, of any kind, as Examples hold them."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

from textmill.artifact import LabelKind
from textmill.components.columns import as_text, is_nested, text_of, values_of
from textmill.components.name_lists import listed_names, read_printed

if TYPE_CHECKING:
    import pyarrow as pa

SEVERAL = "several labels"  # the reason why a row has not one
LARGEST = 1e30  # the square of an error must be a float32


def read_labels(
    column: pa.Array, name: str, kind: LabelKind, separator: str, texts: pa.Array
) -> tuple[pa.Array, pa.Array]:
    """Returns labels as Examples hold them, and why a row's label is none.

    Args:
        column: The labels: strings and numbers, or a list of one; of several names also lists, see
            `textmill.components.name_lists`; of spans a list, or its JSON, of [start, end, name] or
            {"start": …, "end": …, "label": …}, in characters; as Python prints it, too.
        name: Name of the column, for a message.
        kind: What a label is.
        separator: Between several names.
        texts: The texts, string [rows].

    Returns:
        Strings [rows]: a name; names, sorted, with the separator between, "" for none; a number; or
        JSON of spans, sorted. And a reason [rows], null where the label is good.

    Raises:
        UserError: The column holds something else.

    Example:
        >>> import pyarrow as pa
        >>> column, texts = pa.array(["b| a", ""]), pa.array(["one", "two"])
        >>> [each.to_pylist() for each in read_labels(column, "tags", "many", "|", texts)]
        [['a|b', ''], [None, None]]
        >>> read_labels(pa.array(["3.50", "many"]), "stars", "number", "", texts)[1].to_pylist()
        [None, 'label is no number']
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    if is_nested(column.type):
        values = values_of(column)
        found = pa.array([text_of(value) for value in values], pa.string())
        unreadable = pa.nulls(len(values), pa.string())
    else:
        found, unreadable = as_text(column, name)
        found = pc.utf8_trim_whitespace(found)
        values = found.to_pylist()
    missing = pc.fill_null(pc.equal(found, ""), True)
    if kind == "one":
        pairs = _each(_name, values)
        missing = pc.or_(missing, pa.array([pair == (None, None) for pair in pairs], pa.bool_()))
    elif kind == "many":
        pairs = _each(partial(_names, separator=separator), values)
        missing = pa.repeat(False, len(found))  # a text may have no label at all
    elif kind == "number":
        pairs = _each(_number, values)
    else:
        rows = zip(values, texts.to_pylist(), strict=True)
        pairs = [_spans(label, text or "") for label, text in rows]
    good, wrong = (pa.array([pair[i] for pair in pairs], pa.string()) for i in (0, 1))
    first = pc.coalesce(unreadable, pc.case_when(pc.make_struct(missing), "missing label"))
    # A rejected row keeps what it had, for the quarantine.
    return pc.coalesce(good, found), pc.coalesce(first, wrong)


Found: TypeAlias = "tuple[str | None, str | None]"  # a label, or what is wrong with it


def _each(read: Callable[[Any], Found], values: list[Any]) -> list[Found]:
    """Reads each value, but texts that come often only once."""
    known: dict[str, Found] = {}
    found = []
    for value in values:
        if not isinstance(value, str):
            found.append(read(value))
            continue
        if value not in known:
            known[value] = read(value)
        found.append(known[value])
    return found


def _name(label: Any) -> Found:
    """Returns the one name that a label is, or what is wrong with it."""
    try:
        names = listed_names(label)
    except ValueError as error:
        return None, f"invalid label: {error}"
    if names is None:
        return text_of(label), None
    if len(names) > 1:
        return None, f"{SEVERAL}: {', '.join(names[:5])}"
    return (names[0] if names else None), None


def _names(label: Any, separator: str) -> Found:
    """Returns names as Examples hold them, or what is wrong with them."""
    try:
        names = listed_names(label)
    except ValueError as error:
        return None, f"invalid labels: {error}"
    if names is None:
        names = (text_of(label) or "").split(separator)
    names = sorted({name.strip() for name in names} - {""})
    for name in names:
        if separator in name:  # it would come apart into two
            return None, f"invalid labels: {name!r} holds the separator {separator!r}"
    return separator.join(names), None


def _number(label: Any) -> Found:
    """Returns a number as Python writes it, or what is wrong with it."""
    try:
        names = listed_names(label)
        if names is not None and len(names) > 1:
            return None, f"label is no number: a list of {len(names)}"
        value = float((text_of(label) if names is None else "".join(names)) or "nan")
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        return None, "label is no number"
    if abs(value) > LARGEST:
        return None, f"label is too large a number: beyond {LARGEST:.0e}"
    return repr(value), None


def _spans(label: Any, text: str) -> Found:
    """Returns spans as JSON, or what is wrong with them."""
    try:
        given = read_printed(label) if isinstance(label, str) else label
        spans = sorted(map(read_span, spans_in(given)))
    except (ValueError, TypeError, KeyError, RecursionError):
        return None, "invalid spans: a list of [start, end, label] expected"
    before = 0
    for start, end, name in spans:
        if not 0 <= start < end <= len(text):
            return None, f"invalid spans: {start} to {end} of {len(text)} characters"
        if start < before:
            return None, f"invalid spans: {name!r} at {start} lies within another"
        before = end
    return json.dumps(spans, ensure_ascii=False), None


def spans_in(given: Any) -> Any:
    """Returns the list in the object that spaCy makes of spans, or what else was given.

    Example:
        >>> spans_in({"entities": [[0, 3, "who"]]})
        [[0, 3, 'who']]
    """
    return given["entities"] if isinstance(given, dict) and list(given) == ["entities"] else given


def read_span(given: Any) -> tuple[int, int, str]:
    """Returns where a span begins and ends, and its name.

    Raises:
        KeyError, TypeError, ValueError: It is no span.

    Example:
        >>> read_span({"start": 0, "end": 3, "labels": ["who"]})
        (0, 3, 'who')
    """
    if isinstance(given, dict):
        label = given["label"] if "label" in given else given["labels"]
        [label] = label if isinstance(label, list) else [label]
        given = (given["start"], given["end"], label)
    start, end, name = given
    # Exactly int: to Python, true is an int too.
    if type(start) is not int or type(end) is not int or not isinstance(name, str):
        raise TypeError("not a span")
    if not name.strip():
        raise ValueError("a span without a name")
    return start, end, name.strip()
