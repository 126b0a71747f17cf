"""Labels that are one, but spelled in several ways: 1 and 1.0, or two forms of an accent."""

from __future__ import annotations

import html
import json
import re
import unicodedata
from collections.abc import Iterator, Mapping
from typing import Literal

from textmill.artifact import LabelKind

Merging = Literal["none", "values", "spelling", "case"]

# Each takes together what those before it do, and more.
_WIDER: tuple[Merging, ...] = ("values", "spelling", "case")
_WHOLE = re.compile(r"(-?(?:0|[1-9][0-9]*))\.0+")  # "01" is none: it may be a code
_TRUTH = {"True": "true", "TRUE": "true", "False": "false", "FALSE": "false"}
# Ways in which programs write that there is nothing. Any of them may be a name all the same.
_NOTHING = {"nan", "none", "null", "nat", "<na>", "n/a"}
_SHOWN = 5
_FIGURES = re.compile(r"[-+]?\d+(\.\d*)?([eE][-+]?\d+)?")


def _key(name: str, how: Merging) -> str:
    """Returns what is equal for names that `how` takes for one."""
    whole = _WHOLE.fullmatch(name)
    name = whole[1] if whole else _TRUTH.get(name, name)
    if how == "values":
        return name
    name = html.unescape(name)
    visible = "".join(c for c in name if unicodedata.category(c) not in ("Cc", "Cf") or c.isspace())
    visible = re.sub("[\ufe00-\ufe0f]", "", visible)  # they choose between pictures of a sign
    # By Python: the NFC of pyarrow's utf8_normalize (25.0) is decomposed.
    name = " ".join(unicodedata.normalize("NFC", visible).split())
    if how == "case":
        name = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())
    return name


def _value(name: str) -> float | None:
    """Returns the number that a name is, 1 or 0 of a truth value, None of others."""
    if name.lower() in ("true", "false"):
        return float(name.lower() == "true")
    return float(name) if _FIGURES.fullmatch(name) else None


def merged(names: Mapping[str, int], how: Merging) -> dict[str, str]:
    """Returns the names that become another, and which: the one that most rows have.

    Args:
        names: Name -> rows.
        how: "values": equal numbers and truth values, 1 and 1.0, true and True; "spelling": also
            what differs in Unicode's form (NFC), white space, invisible characters or entities of
            HTML only; "case":
            also in upper and lower case or in width; "none".

    Example:
        >>> merged({"1": 5, "1.0": 2, "caf\u00e9": 1, "cafe\u0301": 2}, "values")
        {'1.0': '1'}
        >>> len(merged({"1": 5, "1.0": 2, "caf\u00e9": 1, "cafe\u0301": 2}, "spelling"))
        2
    """
    found: dict[str, str] = {}
    if how != "none":
        for group in _groups(names, how):
            best = min(group, key=lambda name: (-names[name], len(name), name))
            found |= dict.fromkeys(group, best)
    return {name: best for name, best in sorted(found.items()) if name != best}


def _groups(names: Mapping[str, int], how: Merging) -> list[list[str]]:
    groups: dict[str, list[str]] = {}
    for name in sorted(names):
        groups.setdefault(_key(name, how), []).append(name)
    return [group for group in groups.values() if len(group) > 1]


def remarks(names: Mapping[str, int], gone: Mapping[str, str]) -> Iterator[str]:
    """Yields what is to be said of the spelling of labels, a line each.

    Args:
        names: Name -> rows.
        gone: What became another name.

    Example:
        >>> for line in remarks({"Yes": 5, "yes": 2}, {}): print(line)
        labels that may be one: 'Yes' (5), 'yes' (2): merge_labels = "case" merges them
    """
    if gone:
        pairs = [f"{old!a} as {new!a}" for old, new in gone.items()]
        yield f"labels that are equal were merged: {_some(pairs)}: data.merge_labels"
    said: set[str] = set()
    for how in _WIDER:
        groups = [group for group in _groups(names, how) if not said.issuperset(group)]
        said.update(name for group in groups for name in group)
        # What looks alike is told apart by its escapes.
        show = repr if how == "case" else ascii
        twins = [", ".join(f"{show(name)} ({names[name]})" for name in g) for g in groups]
        if twins:
            told = _some(twins, "; ")
            yield f'labels that may be one: {told}: merge_labels = "{how}" merges them'
    values: dict[float, list[str]] = {}
    for name in sorted(names):
        if (value := _value(name)) is not None:
            values.setdefault(value, []).append(name)
    alike = [group for group in values.values() if len(group) > 1 and not said.issuperset(group)]
    if alike:
        told = _some([", ".join(f"{name!r} ({names[name]})" for name in g) for g in alike], "; ")
        yield f"labels of one value: {told}; write them alike if they are one"
    nothing = [f"{name!r} ({names[name]})" for name in sorted(names) if name.lower() in _NOTHING]
    if nothing:
        yield f"labels that may stand for a missing one: {_some(nothing)}; leave them empty if so"


def _some(parts: list[str], between: str = ", ") -> str:
    return between.join(parts[:_SHOWN]) + (
        f" and {len(parts) - _SHOWN} more" * (len(parts) > _SHOWN)
    )


def respelled(label: str, kind: LabelKind, separator: str, names: Mapping[str, str]) -> str:
    """Returns a label, as Examples hold it, with other names.

    Example:
        >>> respelled("1.0|2", "many", "|", {"1.0": "1"})
        '1|2'
    """
    if kind == "many":
        return separator.join(sorted({names.get(name, name) for name in label.split(separator)}))
    if kind == "spans":
        spans = [[start, end, names.get(name, name)] for start, end, name in json.loads(label)]
        return json.dumps(spans, ensure_ascii=False)
    return names.get(label, label)
