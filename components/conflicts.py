"""Texts that come several times with different labels: which label they get, if any."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from itertools import pairwise
from math import fsum
from types import MappingProxyType
from typing import Literal

from textmill.artifact import LabelKind
from textmill.errors import UserError

Conflicts = Literal["majority", "mean", "union", "reject"]

# What suits each kind of label, first what is done where nothing is said.
SUITED: Mapping[LabelKind, tuple[Conflicts, ...]] = MappingProxyType(
    {
        "one": ("majority", "reject"),
        "many": ("union", "majority", "reject"),
        "number": ("mean", "majority", "reject"),
        "spans": ("majority", "union", "reject"),
    }
)


def suited(labels: LabelKind, conflicts: Conflicts | None) -> Conflicts:
    """Returns what is done where a text has different labels of a kind.

    Args:
        labels: What a label is.
        conflicts: What was asked for; None: what suits most such labels.

    Raises:
        UserError: It doesn't suit them.

    Example:
        >>> suited("number", None), suited("many", "majority")
        ('mean', 'majority')
    """
    if conflicts is None:
        return SUITED[labels][0]
    if conflicts not in SUITED[labels]:
        raise UserError(
            f"data.conflicts = {conflicts!r}",
            expected=f"{' or '.join(map(repr, SUITED[labels]))}, where {_ARE[labels]}",
            received=repr(conflicts),
            fix=f'set data.conflicts = "{SUITED[labels][0]}"',
        )
    return conflicts


def other_ways(labels: LabelKind, conflicts: str) -> list[str]:
    """Returns what may be done with different labels instead, and loses no text.

    Example:
        >>> other_ways("spans", "majority"), other_ways("one", "majority")
        (['union'], [])
    """
    return [way for way in SUITED[labels] if way not in (conflicts, "reject")]


_ARE: Mapping[LabelKind, str] = {
    "one": "a text has one label",
    "many": "a text has any number of labels",
    "number": "a label is a number",
    "spans": "labels are spans",
}


def combine(labels: Iterable[tuple[int, str]], kind: LabelKind, separator: str = "|") -> str | None:
    """Returns the one label that several labels of a text make, as Examples hold it.

    Args:
        labels: How many rows have a label, and the label, in any order; each label once.
        kind: Of a "number" the mean of the rows; of "many" names, and of "spans", all of them.
        separator: Between several names.

    Returns:
        The label; None where spans overlap.

    Example:
        >>> combine([(2, "1.0"), (1, "2.5")], "number")
        '1.5'
        >>> combine([(1, "b|c"), (3, "a|b")], "many")
        'a|b|c'
        >>> combine([(1, '[[0, 3, "who"]]'), (1, '[[2, 5, "who"]]')], "spans") is None
        True
    """
    labels = list(labels)
    if kind == "number":  # the sum is exact before it is rounded, whatever the order
        total = fsum(value for rows, label in labels for value in [float(label)] * rows)
        return repr(total / sum(rows for rows, _ in labels))
    if kind == "many":
        names = {name for _, label in labels for name in label.split(separator)}
        return separator.join(sorted(names - {""}))
    spans = sorted({tuple(span) for _, label in labels for span in json.loads(label)})
    if any(after[0] < before[1] for before, after in pairwise(spans)):
        return None
    return json.dumps(spans, ensure_ascii=False)
