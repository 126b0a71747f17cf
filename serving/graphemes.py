"""Where grapheme clusters begin, as the `tokenizers` library cuts them, as a graph.

The rules of UAX #29 look at classes of neighbours, and in three cases further back. The classes are
asked of the library, which knows a Unicode version of its own: its normalizer Precompiled looks up
a short cluster as one, so a map of one character tells what that character shares a cluster with.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from textmill.serving.character_classes import look_up, paged
from textmill.serving.code_points import CODE_POINTS, assigned

if TYPE_CHECKING:
    import numpy.typing as npt
    import tensorflow as tf

JOINS, CONTROL, PREPENDS, EXTENDS, PICTURE, CONSONANT, LINKER, LINKS = (1 << n for n in range(8))
HANGUL = 8  # the bit at which the syllable types begin
NO_TYPE, L, V, T, LV, LVT = range(6)
RETURN, FEED, JOINER = 0x0D, 0x0A, 0x200D
SYLLABLES = range(0xAC00, 0xD7A4)
_MARK, _LONE, _LETTER, _VIRAMA = "\u0302", "\u0301", "\u0915", "\u094d"


@cache
def classes() -> npt.NDArray[np.int32]:
    """Returns the bits of each code point [CODE_POINTS]: `JOINS`, ..., and the syllable's type."""
    every = [char for char in assigned() if ord(char) not in (RETURN, FEED)]
    codes = list(map(ord, every))

    def probe(key: str, text: Callable[[str], str]) -> list[str]:
        # A line feed is a cluster of its own, whatever is beside it.
        return _precompiled({key: "X"})("\n".join(map(text, every))).split("\n")

    def joined(key: str, before: str = "", between: str = "") -> npt.NDArray[np.bool_]:
        """Tells whether a character shares a cluster with `key`, which has a mark behind it."""
        out = probe(key, lambda c: f"{before}{c}{between}{key}{_MARK}")
        # By itself the cluster of `key` becomes "X", mark and all.
        return np.array([text.endswith(_MARK) for text in out])

    joins = np.array([text == "X" for text in probe("a", lambda c: f"a{c}")])
    control = np.array(
        [
            text == f"{c}X"
            for c, text in zip(every, probe(_LONE, lambda c: c + _LONE + _MARK), strict=True)
        ]
    )
    prepends = joined("a")
    picture = joined("☀", between=chr(JOINER))
    extends = joined("☀", before="©", between=chr(JOINER)) & ~picture
    consonant = joined(_LETTER, between=_VIRAMA)
    linker = joined(_LETTER, before=_LETTER) & ~prepends
    links = joined(_LETTER, before=_LETTER + _VIRAMA) & ~prepends
    lead, vowel, tail = (joined(key) & ~prepends for key in ("가", "\u1161", "\u11a8"))
    whole = np.isin(codes, SYLLABLES)
    type_ = np.select([lead, vowel & whole, vowel, tail & whole, tail], [L, LV, V, LVT, T], NO_TYPE)
    bits = (
        joins * JOINS
        + control * CONTROL
        + prepends * PREPENDS
        + extends * EXTENDS
        + picture * PICTURE
        + consonant * CONSONANT
        + linker * LINKER
        + links * LINKS
        + (type_ << HANGUL)
    )
    found = np.zeros(CODE_POINTS, np.int32)
    found[codes] = bits
    found[[RETURN, FEED]] = CONTROL
    return found


@cache
def _table() -> tuple[npt.NDArray[np.uint16], npt.NDArray[np.generic]]:
    return paged(classes())


def can_join(code: tf.Tensor) -> tf.Tensor:
    """Returns where a short cluster may have more than one character, [characters] bool."""
    bits = look_up(_table(), code)
    return (bits & (JOINS | PREPENDS) > 0) | (code == RETURN)


def begins(code: tf.Tensor, text: tf.Tensor) -> tf.Tensor:
    """Returns which characters begin a grapheme cluster, [characters] bool.

    Args:
        code: int32 [characters], of all texts.
        text: int64 [characters], the text that each is of.

    Source: https://www.unicode.org/reports/tr29/, rules GB3 to GB11.
    """
    import tensorflow as tf

    here = look_up(_table(), code)
    before, before_that = _before(here, 0), _before(code, -1)

    def has(bits: tf.Tensor, bit: int) -> tf.Tensor:
        return bits & bit > 0

    breaks = has(here, CONTROL) | has(before, CONTROL)
    joins = (has(here, JOINS) | has(before, PREPENDS)) & ~breaks
    joins |= (before_that == RETURN) & (code == FEED)
    joins |= _one_syllable(before // (1 << HANGUL), here // (1 << HANGUL))
    # A picture joins the one before it across a joiner (GB11).
    place = _before(_before(_last(~has(here, EXTENDS)), 0), 0)
    chain = (before_that == JOINER) & has(here, PICTURE) & has(tf.gather(here, place), PICTURE)
    joins |= chain & (tf.gather(text, place) == text)
    # So does a consonant of an Indic script, across a linker and what extends it (GB9c).
    place = _before(_last(~has(here, LINKS)), 0)
    linkers = tf.cumsum(tf.cast(has(here, LINKER), tf.int32))
    linked = _before(linkers, 0) > tf.gather(linkers, place)
    chain = linked & has(here, CONSONANT) & has(tf.gather(here, place), CONSONANT)
    joins |= chain & (tf.gather(text, place) == text)
    return ~joins | (_before(text, -1) != text)


def _one_syllable(before: tf.Tensor, here: tf.Tensor) -> tf.Tensor:
    """Returns where two types of Hangul make one syllable (GB6 to GB8)."""
    import tensorflow as tf

    table = np.zeros([LVT + 1, LVT + 1], np.bool_)
    table[L, [L, V, LV, LVT]] = True
    for first in (LV, V):
        table[first, [V, T]] = True
    for first in (LVT, T):
        table[first, T] = True
    return tf.gather(tf.constant(table.reshape(-1)), before * (LVT + 1) + here)


def _last(flags: tf.Tensor) -> tf.Tensor:
    """Returns for each character the last one with a flag, up to itself; 0 where there is none."""
    import tensorflow as tf

    places = tf.concat([[0], tf.where(flags)[:, 0]], 0)
    return tf.gather(places, tf.cumsum(tf.cast(flags, tf.int32)))


def _precompiled(strings: Mapping[str, str]) -> Callable[[str], str]:
    from tokenizers import normalizers

    normalizer = normalizers.Precompiled(charsmap(strings))
    return normalizer.normalize_str


def charsmap(strings: Mapping[str, str]) -> bytes:
    """Returns a charsmap, as SentencePiece writes it, of a few strings and what they become.

    Its trie is not packed: each node has room for all 256 bytes.

    Source: https://github.com/s-yata/darts-clone, as SentencePiece uses it.
    """
    block, leaf, offset = 256, 8, 10
    nodes: dict[bytes, int] = {b"": 1}
    for key in strings:
        encoded = key.encode()
        for end in range(1, len(encoded) + 1):
            nodes.setdefault(encoded[:end], len(nodes) + 1)
    units = np.zeros((len(nodes) + 1) * block, np.int64)
    units[0] = block << offset
    values, normalized = {}, b""
    for key, value in strings.items():
        values[key.encode()] = len(normalized)
        normalized += value.encode() + b"\0"
    for prefix, number in nodes.items():
        if prefix:
            place = nodes[prefix[:-1]] * block + prefix[-1]
            units[place] = ((place ^ number * block) << offset) + prefix[-1]
        if prefix in values:
            units[place] |= 1 << leaf
            units[number * block] = values[prefix] | 1 << 31
    return (4 * len(units)).to_bytes(4, "little") + units.astype("<u4").tobytes() + normalized


def _before(values: tf.Tensor, fill: int) -> tf.Tensor:
    import tensorflow as tf

    return tf.concat(
        [tf.cast(tf.fill([tf.minimum(1, tf.size(values))], fill), values.dtype), values[:-1]], 0
    )
