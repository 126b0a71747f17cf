"""Labels of rows as numbers, whatever kind they are of."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, NamedTuple

from textmill.artifact import LabelKind

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa

    Ints = npt.NDArray[np.int64]


class Labels(NamedTuple):
    """The numbers of each row's label.

    Attributes:
        values: int64 or float32 [values], of all rows one behind the other.
        starts: int64 [rows + 1]; row i has `values[starts[i]:starts[i + 1]]`.
    """

    values: npt.NDArray[Any]
    starts: Ints


def label_names(kind: LabelKind, columns: Iterable[pa.Array], separator: str) -> list[str]:
    """Returns the names that labels have, sorted; a label's id is its place among them.

    Of spans they are tags: "O" for no span, then "B-" and "I-" for the first and the other words of
    a span of each name (https://aclanthology.org/W95-0107). Numbers have no names.

    Args:
        kind: What a label is.
        columns: Labels as Examples hold them, string.
        separator: Between several names.

    Example:
        >>> import pyarrow as pa
        >>> label_names("many", [pa.array(["b|a", "", "c"])], "|")
        ['a', 'b', 'c']
        >>> label_names("spans", [pa.array(['[[0, 3, "who"]]', "[]"])], "")
        ['O', 'B-who', 'I-who']
    """
    if kind == "number":
        return []
    names: set[str] = set()
    for column in columns:
        for label in column.unique().to_pylist():
            names.update(names_in(kind, label, separator))
    if kind == "spans":
        return ["O", *(f"{part}-{name}" for name in sorted(names) for part in "BI")]
    return sorted(names)


def names_in(kind: LabelKind, label: str, separator: str) -> list[str]:
    """Returns the names that a label of a kind other than "number" has.

    Example:
        >>> names_in("many", "a|b", "|"), names_in("spans", '[[0, 3, "who"]]', "|")
        (['a', 'b'], ['who'])
    """
    if kind == "one":
        return [label]
    if kind == "many":
        return [name for name in label.split(separator) if name]
    return [name for _, _, name in read_spans(label)]


def read_spans(label: str) -> list[tuple[int, int, str]]:
    """Returns the spans of a label of kind "spans"."""
    import json

    return [(start, end, name) for start, end, name in json.loads(label)]


def encode_labels(
    kind: LabelKind, column: pa.Array, names: list[str], separator: str
) -> tuple[Labels, list[str]]:
    """Returns the numbers of labels that are not spans, and the names that are not known.

    Args:
        kind: "one", "many" or "number".
        column: Labels as Examples hold them, string [rows].
        names: As `label_names` returns them.
        separator: Between several names.

    Returns:
        "one": an id a row; "many": ids, perhaps none; "number": a float32 a row.

    Example:
        >>> import pyarrow as pa
        >>> encode_labels("many", pa.array(["b|a", ""]), ["a", "b"], "|")[0].values.tolist()
        [1, 0]
    """
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    starts = np.arange(len(column) + 1)
    if kind == "number":
        return Labels(column.cast(pa.float32()).to_numpy(zero_copy_only=False), starts), []
    if kind == "many":
        parts = pc.split_pattern(column, separator)
        named = pc.not_equal(parts.flatten(), "").to_numpy(zero_copy_only=False)
        starts = np.concatenate([[0], np.cumsum(named)])[parts.offsets.to_numpy()]
        column = parts.flatten().filter(pa.array(named))
    ids = pc.index_in(column, pa.array(names, pa.string()))
    if ids.null_count:
        return Labels(np.zeros(0, np.int64), starts), sorted(
            set(column.unique().to_pylist()) - set(names)
        )
    return Labels(ids.to_numpy().astype(np.int64), starts), []
