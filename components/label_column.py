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
            None if v is None else json.dumps(v, ensure_ascii=False) for v in column.to_pylist()
        )
        column = pa.array(values, pa.string())
    found, invalid = as_text(column, name)
    found = pc.utf8_trim_whitespace(found)
    missing = pc.fill_null(pc.equal(found, ""), True)
    if kind == "one":
        faults = pc.make_struct(invalid, missing)
        return found, pc.case_when(faults, "invalid encoding", "missing label")
    if kind == "many":  # a text may have no label at all
        labels = [_names(label or "", separator) for label in found.to_pylist()]
        return pa.array(labels, pa.string()), pc.case_when(
            pc.make_struct(invalid), "invalid encoding"
        )
    read = _number if kind == "number" else _spans
    rows = zip(found.to_pylist(), texts.to_pylist(), strict=True)
    pairs = [read(label or "", text or "") for label, text in rows]
    good, wrong = (pa.array([pair[i] for pair in pairs], pa.string()) for i in (0, 1))
    faults = pc.make_struct(invalid, missing)
    first = pc.case_when(faults, "invalid encoding", "missing label")
    # A rejected row keeps what it had, for the quarantine.
    return pc.coalesce(good, found), pc.coalesce(first, wrong)


def _names(label: str, separator: str) -> str:
    parts: list[Any] = label.split(separator)
    if label.startswith("["):
        with suppress(ValueError):  # a name may begin with a bracket
            parts = json.loads(label)
    return separator.join(sorted({str(part).strip() for part in parts} - {""}))


def _number(label: str, text: str) -> tuple[str | None, str | None]:
    try:
        value = float(label)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        return None, "label is no number"
    return repr(value), None


def _spans(label: str, text: str) -> tuple[str | None, str | None]:
    """Returns spans as JSON, or what is wrong with them."""
    try:
        given = json.loads(label or "null")
        spans = sorted(_span(each) for each in given)
    except (ValueError, TypeError, KeyError):
        return None, "invalid spans: a list of [start, end, label] expected"
    before = 0
    for start, end, name in spans:
        if start < before:
            return None, f"invalid spans: {name!r} at {start} lies within another"
        if not start < end <= len(text):
            return None, f"invalid spans: {start} to {end} of {len(text)} characters"
        before = end
    return json.dumps(spans, ensure_ascii=False), None


def _span(given: Any) -> tuple[int, int, str]:
    start, end, name = (
        (given["start"], given["end"], given["label"]) if isinstance(given, dict) else given
    )
    if not isinstance(start, int) or not isinstance(end, int) or not isinstance(name, str):
        raise TypeError("not a span")
    if not name.strip():
        raise ValueError("a span without a name")
    return start, end, name.strip()
