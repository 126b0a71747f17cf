"""SentencePiece's own normalization, as the `tokenizers` library does it, as a graph.

A model carries a map from short strings to strings. The library cuts a text into grapheme clusters
(UAX #29); a cluster of less than six bytes that begins with a string of the map becomes what the
map says, all of it; else each character is looked up by itself.
"""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from textmill.serving.character_classes import look_up
from textmill.serving.character_map import CharacterMap, character_map, replaced
from textmill.serving.code_points import RANK
from textmill.serving.graphemes import begins, can_join

if TYPE_CHECKING:
    import tensorflow as tf

MOST = 6  # bytes of a cluster that are too many


class Charsmap(NamedTuple):
    """A map from strings of one to three characters to strings.

    Attributes:
        map: What characters become, and behind them, in rows of their own, nothing and what longer
            strings become.
        nothing: The row of the empty string.
        longer: Row of each string of two or three characters, by its characters.
    """

    map: CharacterMap
    nothing: int
    longer: dict[tuple[int, ...], int]


def read_charsmap(precompiled: str) -> Charsmap:
    """Returns the map that the normalizer Precompiled of a `tokenizer.json` holds, in base64.

    Source: https://github.com/huggingface/spm_precompiled; the trie is that of darts-clone.
    """
    strings = parse(base64.b64decode(precompiled))
    single = {ord(key): [ord(c) for c in value] for key, value in strings.items() if len(key) == 1}
    # No cluster of less than six bytes has four characters.
    several = [key for key in strings if 1 < len(key) < 4 and len(key.encode()) < MOST]
    nothing = len(single) + 1
    made = character_map(single, [[], *([ord(c) for c in strings[key]] for key in several)])
    rows = {tuple(map(ord, key)): nothing + 1 + i for i, key in enumerate(several)}
    return Charsmap(made, nothing, rows)


def parse(charsmap: bytes) -> dict[str, str]:
    """Returns the strings of a charsmap, and what each becomes."""
    size = int.from_bytes(charsmap[:4], "little")
    units = np.frombuffer(charsmap[4 : 4 + size], "<u4").astype(np.int64)
    normalized = charsmap[4 + size :]
    # A unit belongs to the node from whose base its own byte leads to it.
    labels = units & ((1 << 31) | 0xFF)
    places = np.arange(len(units))
    parents = np.where((labels > 0) & (labels < 256), places ^ labels, -1)
    order = np.argsort(parents, kind="stable")
    sorted_parents = parents[order]
    offsets = (units >> 10) << ((units & (1 << 9)) >> 6)
    bases = (places ^ offsets).tolist()
    leaves = (units >> 8 & 1).tolist()
    found: dict[str, str] = {}
    todo = [(bases[0], b"")]
    while todo:
        base, key = todo.pop()
        first, last = np.searchsorted(sorted_parents, [base, base + 1])
        for place in order[first:last].tolist():
            longer = key + bytes([labels[place]])
            if leaves[place]:
                start = int(units[bases[place]]) & ((1 << 31) - 1)
                end = normalized.index(b"\0", start)
                found[longer.decode()] = normalized[start:end].decode()
            todo.append((bases[place], longer))
    return found


def normalize(characters: tf.RaggedTensor, charsmap: Charsmap) -> tf.RaggedTensor:
    """Returns code points [batch, (characters)] as the library's normalizer Precompiled does.

    Source: `normalizers/precompiled.rs` of huggingface/tokenizers.
    """
    import tensorflow as tf

    code, text = characters.flat_values, characters.value_rowids()
    row = look_up(charsmap.map.rows, code)
    row = tf.cond(
        tf.reduce_any(can_join(code)), lambda: _clusters(code, text, row, charsmap), lambda: row
    )
    return replaced(characters, charsmap.map, row)


def _clusters(code: tf.Tensor, text: tf.Tensor, row: tf.Tensor, charsmap: Charsmap) -> tf.Tensor:
    """Returns the row of each character, where short clusters count as one."""
    import tensorflow as tf

    first = begins(code, text)
    cluster = tf.cumsum(tf.cast(first, tf.int32)) - 1
    size = 1 + sum(tf.cast(code >= least, tf.int32) for least in (0x80, 0x800, 0x10000))
    count = tf.reduce_max(tf.concat([[-1], cluster], 0)) + 1
    short = tf.math.unsorted_segment_sum(size, cluster, count) < MOST
    members = tf.math.unsorted_segment_sum(tf.ones_like(size), cluster, count)
    members = tf.gather(members, cluster)
    second, third = (tf.concat([code[n:], tf.zeros_like(code[:n])], 0) for n in (1, 2))
    pair = tf.where(members > 1, _longer(charsmap, code, second), 0)
    triple = tf.where(members > 2, _longer(charsmap, code, second, third), 0)
    whole = tf.where(row > 0, row, tf.where(pair > 0, pair, triple))
    whole = tf.where(first & tf.gather(short, cluster), whole, 0)
    of_cluster = tf.gather(tf.math.unsorted_segment_max(whole, cluster, count), cluster)
    return tf.where(of_cluster == 0, row, tf.where(first, whole, charsmap.nothing))


def _longer(charsmap: Charsmap, *codes: tf.Tensor) -> tf.Tensor:
    """Returns the rows of strings of several characters, 0 where the map has none."""
    import tensorflow as tf

    def number(parts: tuple[int, ...]) -> int:
        value = 0
        for part in parts:
            value = (value << RANK) + part
        return value

    found = {number(k): row for k, row in charsmap.longer.items() if len(k) == len(codes)}
    if not found:
        return tf.zeros_like(codes[0])
    keys = sorted(found)
    known = tf.constant(keys, tf.int64)
    rows = tf.constant([found[key] for key in keys], tf.int32)
    wanted = tf.zeros_like(codes[0], tf.int64)
    for code in codes:
        wanted = wanted * (1 << RANK) + tf.cast(code, tf.int64)
    place = tf.minimum(tf.searchsorted(known, wanted), len(keys) - 1)
    return tf.where(tf.gather(known, place) == wanted, tf.gather(rows, place), 0)
