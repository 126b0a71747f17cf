"""What a model answered, in one form for every kind of label, and how far two answers are apart."""

from __future__ import annotations

from typing import Any

from textmill.artifact import LabelKind


def answer_rows(kind: LabelKind, outputs: dict[str, Any]) -> list[Any]:
    """Returns what `serving_default` says of each text, as golden rows have it under "answer".

    Args:
        kind: What the labels are.
        outputs: Of each output a list with an entry a text.

    Returns:
        Of spans a list of [start, end, label, score]; of numbers the number; else the scores.

    Example:
        >>> answer_rows("number", {"value": [1.5, 2.0]})
        [1.5, 2.0]
    """
    if kind == "number":
        return list(outputs["value"])
    if kind != "spans":
        return list(outputs["scores"])
    columns = (outputs[name] for name in ("start", "end", "label", "score"))
    rows = [list(zip(*row, strict=True)) for row in zip(*columns, strict=True)]
    return [[list(span) for span in row if span[0] >= 0] for row in rows]


def unit_of(kind: LabelKind, golden: list[dict[str, Any]]) -> float:
    """Returns in what a difference counts: scores lie between 0 and 1, numbers anywhere."""
    if kind != "number":
        return 1.0
    return max([1.0, *(abs(float(row["answer"])) for row in golden)])


def distance(found: list[Any], wanted: list[Any]) -> float:
    """Returns by how much two lists of answers differ; other spans are infinitely far."""
    import numpy as np

    if len(found) != len(wanted):
        return float("inf")
    furthest = 0.0
    for ours, theirs in zip(found, wanted, strict=True):
        if isinstance(ours, list) and ours and isinstance(ours[0], list):
            if [span[:3] for span in ours] != [span[:3] for span in theirs]:
                return float("inf")
            ours, theirs = ([span[3] for span in spans] for spans in (ours, theirs))
        a, b = np.asarray(ours, np.float64), np.asarray(theirs, np.float64)
        if a.shape != b.shape:
            return float("inf")
        # NaN is as far as can be, and must not compare as near.
        far = np.nan_to_num(np.abs(a - b), nan=np.inf)
        furthest = max(furthest, float(far.max(initial=0.0)))
    return furthest


def apart(ours: Any, theirs: Any) -> float:
    """Returns the largest difference of two outputs in a number; of other names it is infinite.

    Example:
        >>> apart([["a", 0.5]], [["a", 0.25]]), apart(["a"], ["b"])
        (0.25, inf)
    """
    if isinstance(ours, list) and isinstance(theirs, list) and len(ours) == len(theirs):
        return max((apart(a, b) for a, b in zip(ours, theirs, strict=True)), default=0.0)
    if isinstance(ours, int | float) and isinstance(theirs, int | float):
        # Relative where numbers are large: a regression has any.
        far = abs(ours - theirs) / max(1.0, abs(ours))
        return far if far == far else float("inf")
    return 0.0 if ours == theirs else float("inf")
