"""Byte-pair merges of long words, many at a time, with the ids of one at a time.

The library merges the pair of the lowest rank, the leftmost of equals, again and again: for a word
of n bytes up to n times, each of which is a pass over the word in a graph. Here a step makes all
merges of which it is certain that they will come, and that it does not matter when.

A pair (b, c) of rank r in "... x a b c d y ..." is such a one if nothing takes b or c before its
turn, and nothing that the merge makes possible would have its turn before r. What stands left of b
then is a, or a token that ends with a: so the bounds of two tokens are the lowest ranks of (any
token that ends with the left one, the right one) and of (the left one, any token that begins with
the right one). Where a can't grow before the turn of r, by the bounds of what is left of it, the
rank of (a, b) itself counts. Those on the right are alike, but for equal ranks, of which the left
one is first. In a run of equal tokens every other pair is merged if the first one is.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt
    import tensorflow as tf

    Longs = npt.NDArray[np.int64]

BITS = 21  # of a rank, three of which are one value of the table
END = -1  # behind each word


class Bounds:
    """The ranks of pairs, and the bounds of what their neighbours may become.

    Args:
        pairs: Two ids that merge, the best ones first.
        merged: What each becomes.
        tokens: The characters of tokens -> their ids.
        size: One more than the largest id.
    """

    def __init__(
        self,
        pairs: Sequence[tuple[int, int]],
        merged: Sequence[int],
        tokens: dict[str, int],
        size: int,
    ) -> None:
        import tensorflow as tf

        self._none, self._size = len(pairs), size
        self._merged = np.array([*merged, END], np.int32)
        keys, values = _table(pairs, tokens, size)
        made = tf.lookup.KeyValueTensorInitializer(tf.constant(keys), tf.constant(values))
        # Its own name counts what the process made before, and would be saved.
        made._name = "bounds"
        nothing = self._none << 2 * BITS | self._none << BITS | self._none
        self.table = tf.lookup.StaticHashTable(made, default_value=nothing)

    def merge(self, ids: tf.RaggedTensor) -> tf.RaggedTensor:
        """Returns the ids of words when all merges are made.

        Args:
            ids: int32 [words, (bytes)].

        Returns:
            int32 [words, (pieces)].
        """
        import tensorflow as tf

        ids = ids.with_row_splits_dtype(tf.int64)
        ends = tf.fill([ids.nrows(), 1], tf.constant(END, tf.int32))
        flat = tf.concat([ids, tf.RaggedTensor.from_tensor(ends)], 1).flat_values
        flat, _ = tf.while_loop(
            lambda ids, more: more,
            lambda ids, more: self._step(ids),
            (flat, tf.constant(True)),
            shape_invariants=(tf.TensorShape([None]), tf.TensorShape([])),
        )
        word = tf.cumsum(tf.cast(flat == END, tf.int64))
        piece = flat != END
        return tf.RaggedTensor.from_value_rowids(
            tf.boolean_mask(flat, piece),
            tf.boolean_mask(word, piece),
            nrows=ids.nrows(),
            validate=False,
        )

    def _look_up(self, left: tf.Tensor, right: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """Returns of each pair its rank, and both bounds."""
        import tensorflow as tf

        keys = tf.cast(left, tf.int64) * self._size + tf.cast(right, tf.int64)
        found = self.table.lookup(tf.where((left >= 0) & (right >= 0), keys, -1))
        mask = tf.constant((1 << BITS) - 1, tf.int64)
        parts = (found // (1 << 2 * BITS), found // (1 << BITS) & mask, found & mask)
        rank, left, right = (tf.cast(part, tf.int32) for part in parts)
        return rank, left, right

    def _step(self, ids: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns the ids after all merges that are certain, and whether there were any."""
        import tensorflow as tf

        left, right = ids[:-1], ids[1:]
        rank, *bounds = self._look_up(left, right)
        place = tf.range(tf.size(rank))
        certain, in_run = self._certain(ids, rank, *bounds)
        # The first of the lowest in each word is the library's next one, whatever is around it.
        word = tf.cumsum(tf.cast(left == END, tf.int32))
        lowest = tf.gather(tf.math.segment_min(rank, word), word)
        found = (rank == lowest) & (rank < self._none)
        first = tf.math.segment_min(tf.where(found, place, tf.size(place)), word)
        certain |= found & (place == tf.gather(first, word))
        # A run begins where a token is not that of both sides.
        apart = tf.concat([[True], left[1:] != left[:-1]], 0)[: tf.size(place)] | (left != right)
        start = tf.gather(tf.where(apart)[:, 0], tf.cumsum(tf.cast(apart, tf.int32)) - 1)
        start = tf.cast(start, tf.int32)
        every_other = ~apart & ((place - start) % 2 == 0)
        broken = tf.cumsum(tf.cast(every_other & ~in_run, tf.int32))
        begun = tf.gather(certain & (left == right), start)
        certain |= every_other & begun & (broken == tf.gather(broken, start))
        new = tf.where(certain, tf.gather(tf.constant(self._merged), rank), left)
        ids = tf.concat([new, ids[-1:]], 0)
        taken = tf.concat([tf.zeros([tf.minimum(1, tf.size(ids))], tf.bool), certain], 0)
        return tf.boolean_mask(ids, ~taken), tf.reduce_any(found)

    def _certain(
        self, ids: tf.Tensor, rank: tf.Tensor, to_left: tf.Tensor, to_right: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns which pairs are merged now, and which if the one two before is, [pairs] bool."""
        import tensorflow as tf

        none = self._none
        rank, to_left, to_right = (
            tf.pad(x, [[3, 3]], constant_values=none) for x in (rank, to_left, to_right)
        )
        ids = tf.pad(ids, [[1, 1]], constant_values=END)
        middle = rank[3:-3]
        # No neighbour is better; the others are not looked at.
        best = (middle < none) & (rank[2:-4] >= middle) & (rank[4:-2] >= middle)
        here = tf.where(best)[:, 0]
        own = tf.gather(middle, here)

        def at(values: tf.Tensor, offset: int) -> tf.Tensor:
            return tf.gather(values, here + (3 + offset))

        a, b, d = (tf.gather(ids, here + offset) for offset in (0, 1, 3))
        new = tf.gather(tf.constant(self._merged), own)
        found = self._look_up(tf.concat([a, new, new, new], 0), tf.concat([new, d, b, new], 0))
        # The rank and the bounds of the new token with its neighbours, and in a run.
        with_left, with_right, with_equal, with_itself = tf.unstack(
            tf.reshape(tf.stack(found), [3, 4, -1]), axis=1
        )
        still = (at(to_left, -2) > own) | ((at(rank, -2) > own) & (at(to_left, -3) > own))
        left = (at(rank, -1) > own) & (still | (at(to_left, -1) > own))
        left &= tf.where(still, with_left[0], with_left[1]) > own
        still = (at(to_right, 2) >= own) | ((at(rank, 2) >= own) & (at(to_right, 3) >= own))
        right = still | (at(to_right, 1) >= own)
        right &= tf.where(still, with_right[0], with_right[2]) > own
        run = right & (with_equal[1] > own) & (with_itself[1] > own)
        places = here[:, None]
        count = tf.shape(middle, tf.int64)
        certain, in_run = (
            tf.scatter_nd(places, tf.cast(flags, tf.int32), count) > 0
            for flags in (left & right, run)
        )
        return certain, in_run


def _table(
    pairs: Sequence[tuple[int, int]], tokens: dict[str, int], size: int
) -> tuple[Longs, Longs]:
    """Returns keys and values: of two tokens a rank and both bounds, in `BITS` each."""
    none = len(pairs)
    characters = {number: token for token, number in tokens.items()}
    rank: dict[int, int] = {}
    to_left: dict[int, int] = {}
    to_right: dict[int, int] = {}
    for number, (left, right) in enumerate(pairs):  # the lowest rank comes first, and stays
        rank[left * size + right] = number
        text = characters[left]
        for begin in range(len(text)):
            if (end := tokens.get(text[begin:])) is not None:
                to_left.setdefault(end * size + right, number)
        text = characters[right]
        for stop in range(1, len(text) + 1):
            if (head := tokens.get(text[:stop])) is not None:
                to_right.setdefault(left * size + head, number)
    keys = sorted(to_left.keys() | to_right.keys()) or [-2]  # a table has a key at least
    found = [
        rank.get(key, none) << 2 * BITS | to_left.get(key, none) << BITS | to_right.get(key, none)
        for key in keys
    ]
    return np.array(keys, np.int64), np.array(found, np.int64)
