"""Unicode normal forms C and KC, and letter case, as a graph of core TensorFlow operations.

The algorithm is that of the Unicode Standard, section 3.11: decompose (D68), put marks in canonical
order (D109), compose (D117). What it needs to know comes from the standard library, so a graph does
what `unicodedata.normalize` did where it was made.
"""

from __future__ import annotations

import sys
import unicodedata
from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    import tensorflow as tf

Form = Literal["NFC", "NFKC"]
LEADS, VOWELS, TAILS = (0x1100, 19), (0x1161, 21), (0x11A7, 28)  # Hangul: first, how many
SYLLABLES = (0xAC00, 11172)
CODES = 1 << 21  # more than there are code points


class Rules(NamedTuple):
    """What a normal form does to code points."""

    decompositions: dict[int, list[int]]  # in full; without Hangul syllables, which come to nothing
    classes: dict[int, int]  # combining classes other than 0
    pairs: dict[int, int]  # first * CODES + second -> what they compose to
    unstable: str  # a pattern: without such a character, a text is in the normal form


@cache
def rules_of(form: Form) -> Rules:
    """Returns what `form` does to code points, in the Unicode version of the standard library."""
    decomposed: Literal["NFD", "NFKD"] = "NFD" if form == "NFC" else "NFKD"
    decompositions, classes, pairs, unstable = {}, {}, {}, set()
    for code in range(sys.maxunicode + 1):
        char = chr(code)
        if unicodedata.combining(char):
            classes[code] = unicodedata.combining(char)
            unstable.add(code)
        if unicodedata.normalize(form, char) != char:
            unstable.add(code)
        if _in(code, SYLLABLES):
            continue
        parts = unicodedata.normalize(decomposed, char)
        if parts != char:
            decompositions[code] = [ord(c) for c in parts]
        if unicodedata.normalize("NFC", char) == char != unicodedata.normalize("NFD", char):
            first, second = (int(c, 16) for c in unicodedata.decomposition(char).split())
            pairs[first * CODES + second] = code
            unstable.add(second)
    for first, count in (VOWELS, TAILS):
        unstable.update(range(first, first + count))
    pattern = "".join(rf"\x{{{code:x}}}" for code in sorted(unstable))
    return Rules(decompositions, classes, pairs, f"[{pattern}]")


def _in(code: int, block: tuple[int, int]) -> bool:
    first, count = block
    return first <= code < first + count


def normalize(texts: tf.Tensor, form: Form) -> tf.Tensor:
    """Returns `texts` in a normal form, [batch] string, valid UTF-8.

    Example:
        >>> import tensorflow as tf
        >>> normalize(tf.constant(["e\u0301"]), "NFC").numpy()[0].decode() == "\u00e9"
        True
    """
    import tensorflow as tf

    rules = rules_of(form)
    composed = normalize_characters(tf.strings.unicode_decode(texts, "UTF-8"), rules)
    return tf.strings.unicode_encode(composed, "UTF-8")


def normalize_characters(characters: tf.RaggedTensor, rules: Rules) -> tf.RaggedTensor:
    """Returns code points [batch, (characters)] in a normal form; without pairs none compose."""
    import tensorflow as tf

    characters = expand(characters, rules.decompositions)
    code, row = characters.flat_values, characters.value_rowids()
    mark = look_up(rules.classes, code, tf.zeros_like(code))
    # Each starter, and each row, begins a run of marks that are sorted by their class.
    run = tf.cumsum(tf.cast((mark == 0) | (row != _before(row, -1)), tf.int64))
    order = tf.argsort(run * 256 + tf.cast(mark, tf.int64), stable=True)
    code, mark = tf.gather(code, order), tf.gather(mark, order)
    if rules.pairs:
        code, mark, row, _ = tf.while_loop(
            lambda code, mark, row, more: more,
            lambda code, mark, row, more: _compose(code, mark, row, rules.pairs),
            (code, mark, row, tf.constant(True)),
            shape_invariants=(*[tf.TensorShape([None])] * 3, tf.TensorShape([])),
        )
    return tf.RaggedTensor.from_value_rowids(code, row, characters.nrows(), validate=False)


def _compose(
    code: tf.Tensor, mark: tf.Tensor, row: tf.Tensor, pairs: Mapping[int, int]
) -> tuple[tf.Tensor, ...]:
    """Composes every starter with the first character that it can be composed with.

    No starter that composes with the one before it also does with one after it, but for those that
    come of a composition, so starters don't wait for each other.
    """
    import tensorflow as tf

    place = tf.range(tf.size(code))
    is_starter = tf.cast(mark == 0, tf.int32)
    starters = tf.concat([tf.where(mark == 0)[:, 0], [0]], 0)
    count = tf.cumsum(is_starter, exclusive=True)  # of the starters before a character
    starter = tf.cast(tf.gather(starters, tf.maximum(count - 1, 0)), tf.int32)
    in_reach = (count > 0) & (tf.gather(row, starter) == row)
    in_reach &= (starter == place - 1) | (_before(mark, 0) < mark)
    first = tf.gather(code, starter)
    both = tf.cast(first, tf.int64) * CODES + tf.cast(code, tf.int64)
    made = look_up(pairs, both, _hangul(first, code))
    found = tf.where(in_reach & (made >= 0))[:, 0]
    of = tf.gather(starter, found)
    found = tf.boolean_mask(found, of != _before(of, -1))
    composed = tf.tensor_scatter_nd_update(
        code, tf.gather(starter, found)[:, None], tf.gather(made, found)
    )
    gone = tf.scatter_nd(found[:, None], tf.ones_like(found), tf.shape(code, tf.int64)) > 0
    kept = [tf.boolean_mask(values, ~gone) for values in (composed, mark, row)]
    return (*kept, tf.size(found) > 0)


def _hangul(first: tf.Tensor, second: tf.Tensor) -> tf.Tensor:
    """Returns the Hangul syllables that pairs of code points compose to, -1 where they don't."""
    import tensorflow as tf

    def inside(code: tf.Tensor, start: int, count: int) -> tf.Tensor:
        return (code >= start) & (code < start + count)

    lead, vowel, tail = first - LEADS[0], second - VOWELS[0], second - TAILS[0]
    open_syllable = inside(first, *SYLLABLES) & ((first - SYLLABLES[0]) % TAILS[1] == 0)
    closed = tf.where(open_syllable & inside(tail, 1, TAILS[1] - 1), first + tail, -1)
    return tf.where(
        inside(first, *LEADS) & inside(second, *VOWELS),
        SYLLABLES[0] + (lead * VOWELS[1] + vowel) * TAILS[1],
        closed,
    )


def _before(values: tf.Tensor, at_start: int) -> tf.Tensor:
    """Returns for each value the one before it."""
    import tensorflow as tf

    return tf.concat([tf.constant([at_start], values.dtype), values[:-1]], 0)


def look_up(table: Mapping[int, int], keys: tf.Tensor, otherwise: tf.Tensor) -> tf.Tensor:
    """Returns the values of `keys` [n] in `table`, and `otherwise` [n] where they are not in it."""
    import tensorflow as tf

    known = tf.constant(sorted(table), keys.dtype)
    values = tf.constant([table[key] for key in sorted(table)], otherwise.dtype)
    place = tf.minimum(tf.searchsorted(known, keys), len(table) - 1)
    return tf.where(tf.gather(known, place) == keys, tf.gather(values, place), otherwise)


def expand(characters: tf.RaggedTensor, table: Mapping[int, list[int]]) -> tf.RaggedTensor:
    """Replaces each code point [batch, (characters)] that is in `table` by those it becomes."""
    import tensorflow as tf

    code = characters.flat_values
    row = look_up({c: i for i, c in enumerate(table, 1)}, code, tf.zeros_like(code))
    rows = tf.ragged.constant([[], *table.values()], dtype=tf.int32, row_splits_dtype=tf.int64)
    itself = tf.RaggedTensor.from_row_lengths(
        tf.boolean_mask(code, row == 0), tf.cast(row == 0, tf.int64), validate=False
    )
    became = tf.concat([tf.gather(rows, row), itself], 1)
    return characters.with_flat_values(became).merge_dims(1, 2)
