"""What single characters become, as a graph."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from textmill.serving.character_classes import look_up, paged
from textmill.serving.code_points import CODE_POINTS, assigned

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import tensorflow as tf

    Table = tuple[npt.NDArray[np.uint16], npt.NDArray[np.generic]]

SEPARATOR = "\n"  # of probes; no mark crosses it, and nothing composes with it


class CharacterMap(NamedTuple):
    """A map from code points to what each becomes.

    Attributes:
        rows: Code point -> its row, as `paged` makes tables; row 0 stands for itself.
        begins: int32 [rows], where a row begins in `values`.
        sizes: int32 [rows].
        values: int32, code points.
    """

    rows: Table
    begins: npt.NDArray[np.int32]
    sizes: npt.NDArray[np.int32]
    values: npt.NDArray[np.int32]


def character_map(
    table: Mapping[int, Sequence[int]], more: Sequence[Sequence[int]] = ()
) -> CharacterMap:
    """Returns a map that has a row for each character of `table`, and behind them those of `more`.

    Example:
        >>> made = character_map({ord("A"): [ord("a")]}, [[], [1, 2]])
        >>> made.sizes.tolist()
        [0, 1, 0, 2]
    """
    import numpy as np

    rows = np.zeros(CODE_POINTS, np.int32)
    rows[list(table)] = np.arange(1, len(table) + 1)
    outputs = [[], *table.values(), *more]
    sizes = np.array([len(output) for output in outputs], np.int32)
    values = np.array([code for output in outputs for code in output] or [0], np.int32)
    begins = (np.cumsum(sizes) - sizes).astype(np.int32)
    return CharacterMap(paged(rows), begins, sizes, values)


def replaced(
    characters: tf.RaggedTensor, made: CharacterMap, rows: tf.Tensor | None = None
) -> tf.RaggedTensor:
    """Returns code points [batch, (characters)], each replaced by what it becomes.

    Args:
        characters: int32 [batch, (characters)].
        made: What they become.
        rows: int32 [characters], the row of each, where it is not that of its code point.
    """
    import tensorflow as tf

    code = characters.flat_values
    row = look_up(made.rows, code) if rows is None else rows

    def changed() -> tuple[tf.Tensor, tf.Tensor]:
        itself = row == 0
        sizes = tf.where(itself, 1, tf.gather(tf.constant(made.sizes), row))
        begins = tf.gather(tf.constant(made.begins), row)
        of = tf.repeat(tf.range(tf.size(code)), sizes)
        first = tf.cumsum(sizes, exclusive=True)
        place = tf.gather(begins - first, of) + tf.range(tf.size(of))
        last = len(made.values) - 1
        values = tf.gather(tf.constant(made.values), tf.clip_by_value(place, 0, last))
        values = tf.where(tf.gather(itself, of), tf.gather(code, of), values)
        return values, tf.gather(characters.value_rowids(), of)

    code, text = tf.cond(tf.reduce_any(row > 0), changed, lambda: (code, characters.value_rowids()))
    return tf.RaggedTensor.from_value_rowids(code, text, characters.nrows(), validate=False)


def library_map(normalize: Callable[[str], str]) -> dict[int, list[int]]:
    """Returns what a normalizer of the library makes of every character that it changes.

    Args:
        normalize: Treats characters one by one.
    """
    separator = SEPARATOR if normalize(SEPARATOR) == SEPARATOR else "A"
    every = [char for char in assigned() if char != separator]
    became = normalize(separator.join(every)).split(separator)
    return {
        ord(before): [ord(c) for c in after]
        for before, after in zip(every, became, strict=True)
        if before != after
    }
