"""Texts that a model did not write but had learned by heart."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    from textmill.models.rows import TokenIds

SPAN = 50  # tokens
PART = 1 << 22  # tokens that are searched at a time
_FACTOR = 0x9E3779B97F4A7C15  # odd, so that it has an inverse modulo 2 to the 64


def copied(
    texts: Sequence[Sequence[int]], known: TokenIds, size: int, *, span: int = SPAN
) -> npt.NDArray[np.bool_]:
    """Returns of each text whether a span of it stands in the training data, token by token.

    Of a text that is shorter than a span all of it must stand there; an empty one does not.

    Args:
        texts: Token ids of each.
        known: int32 [size], the training data, documents one behind another; tokens between them
            must be in no text.
        size: Tokens of it.
        span: Tokens of a span.

    Source: https://arxiv.org/abs/2202.07646, section 3.1 (50 tokens, as generated greedily);
    https://arxiv.org/abs/2107.06499, section 4.2 (spans of 50 tokens anywhere in training data).

    Example:
        >>> learned = np.array([7, 1, 2, 3, 4, 7, 5], np.int32)
        >>> copied([[9, 1, 2, 3], [9, 1, 2], [3, 4], []], learned, 7, span=3).tolist()
        [True, False, True, False]
    """
    found = np.zeros(len(texts), np.bool_)
    wanted: defaultdict[int, list[tuple[int, int]]] = defaultdict(list)
    ids = [np.asarray(text, np.int32) for text in texts]
    for i, text in enumerate(ids):
        length = min(span, len(text))
        wanted[length] += [(i, at) for at in range(len(text) - length + 1) if length]
    wanted.pop(0, None)
    longest = max(wanted, default=0)
    for first in range(0, size, PART):
        part = known[first : min(first + PART + longest - 1, size)]
        hashes = _Hashes(part)
        for length, spans in wanted.items():
            asked: defaultdict[int, list[tuple[int, int]]] = defaultdict(list)
            for i, at in spans:
                if not found[i]:
                    asked[_hash(ids[i][at : at + length])].append((i, at))
            if not asked or length > len(part):
                continue
            for place, hashed in hashes.find(sorted(asked), length):
                for i, at in asked[hashed]:
                    found[i] |= np.array_equal(
                        part[place : place + length], ids[i][at : at + length]
                    )
    return found


class _Hashes:
    """The hashes of all spans of some tokens, of any length.

    Source: Karp and Rabin (1987), https://doi.org/10.1147/rd.312.0249, modulo 2 to the 64.
    """

    def __init__(self, ids: npt.NDArray[np.int32]) -> None:
        powers = _powers(_FACTOR, len(ids))
        sums = np.cumsum(_mixed(ids) * powers, dtype=np.uint64)
        self._sums = np.concatenate([np.zeros(1, np.uint64), sums])
        self._back = _powers(pow(_FACTOR, -1, 1 << 64), len(ids))

    def find(self, asked: Sequence[int], length: int) -> Iterator[tuple[int, int]]:
        """Yields where a span with an asked hash begins, and that hash.

        Args:
            asked: In order.
            length: Tokens of a span.
        """
        wanted, count = np.array(asked, np.uint64), len(self._sums) - length
        hashes = (self._sums[length:] - self._sums[:count]) * self._back[:count]
        at = np.minimum(np.searchsorted(wanted, hashes), len(wanted) - 1)
        for place in np.flatnonzero(wanted[at] == hashes).tolist():
            yield place, int(hashes[place])


def _hash(ids: npt.NDArray[np.int32]) -> int:
    return int((_mixed(ids) * _powers(_FACTOR, len(ids))).sum(dtype=np.uint64))


def _powers(factor: int, count: int) -> npt.NDArray[np.uint64]:
    """Returns a factor to the power of 0, 1, …, modulo 2 to the 64."""
    each = np.full(count, factor, np.uint64)
    each[:1] = 1
    return np.cumprod(each, dtype=np.uint64)


def _mixed(ids: npt.NDArray[np.int32]) -> npt.NDArray[np.uint64]:
    """Returns a number of 64 bits for each id, with no pattern (the mixing of SplitMix64)."""
    x = (ids.astype(np.uint64) + np.uint64(1)) * np.uint64(_FACTOR)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))
