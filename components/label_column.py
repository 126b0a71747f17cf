"""Labels as they come in a source, of any kind, as Examples hold them."""

from __future__ import annotations

import json
import math
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from textmill.artifact import LabelKind
from textmill.components.columns import as_text

if TYPE_CHECKING:
    import pyarrow as pa

LARGEST = 1e30  # the square of an error must be a float32


def read_labels(
    column: pa.Array, name: str, kind: LabelKind, separator: str, texts: pa.Array
) -> tuple[pa.Array, pa.Array]:
    """Returns labels as Examples hold them, and why a row's label is none.

    Args:
        column: The labels: strings and numbers; of several names also lists; of spans a list, or
            its JSON, of [start, end, name] or {"start": …, "end": …, "label": …}, in characters.
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
    import pyarrow.types as types

    if kind in ("many", "spans") and types.is_nested(column.type):
        values = (
            None if v is None else json.dumps(v, ensure_ascii=False, default=str)
            for v in column.to_pylist()
        )
        column = pa.array(values, pa.string())
    found, invalid = as_text(column, name)
    found = pc.utf8_trim_whitespace(found)
    missing = pc.fill_null(pc.equal(found, ""), True)
    if kind == "one":
        faults = pc.make_struct(invalid, missing)
        return found, pc.case_when(faults, "invalid encoding", "missing label")
    if kind == "many":
        pairs = [_names(label or "", separator) for label in found.to_pylist()]
        missing = pa.repeat(False, len(found))  # a text may have no label at all
    elif kind == "number":
        pairs = [_number(label or "") for label in found.to_pylist()]
    else:
        rows = zip(found.to_pylist(), texts.to_pylist(), strict=True)
        pairs = [_spans(label or "", text or "") for label, text in rows]
    good, wrong = (pa.array([pair[i] for pair in pairs], pa.string()) for i in (0, 1))
    faults = pc.make_struct(invalid, missing)
    first = pc.case_when(faults, "invalid encoding", "missing label")
    # A rejected row keeps what it had, for the quarantine.
    return pc.coalesce(good, found), pc.coalesce(first, wrong)


def _names(label: str, separator: str) -> tuple[str | None, str | None]:
    """Returns names as Examples hold them, or what is wrong with them."""
    parts: list[Any] = label.split(separator)
    if label.startswith("["):
        with suppress(ValueError, RecursionError):  # a name may begin with a bracket
            parts = json.loads(label)
    if any(isinstance(part, list | dict) for part in parts):
        return None, "invalid labels: a list of names expected"
    named = (p if isinstance(p, str) else json.dumps(p) for p in parts if p is not None)
    names = sorted({name.strip() for name in named} - {""})
    for name in names:
        if separator in name:  # it would come apart into two
            return None, f"invalid labels: {name!r} holds the separator {separator!r}"
    return separator.join(names), None


def _number(label: str) -> tuple[str | None, str | None]:
    """Returns a number as Python writes it, or what is wrong with it."""
    try:
        value = float(label)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        return None, "label is no number"
    if abs(value) > LARGEST:
        return None, f"label is too large a number: beyond {LARGEST:.0e}"
    return repr(value), None


def _spans(label: str, text: str) -> tuple[str | None, str | None]:
    """Returns spans as JSON, or what is wrong with them."""
    try:
        given = json.loads(label or "null")
        spans = sorted(_span(each) for each in given)
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


def _span(given: Any) -> tuple[int, int, str]:
    start, end, name = (
        (given["start"], given["end"], given["label"]) if isinstance(given, dict) else given
    )
    # Exactly int: to Python, true is an int too.
    if type(start) is not int or type(end) is not int or not isinstance(name, str):
        raise TypeError("not a span")
    if not name.strip():
        raise ValueError("a span without a name")
    return start, end, name.strip()
