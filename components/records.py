"""Token ids as `tf.train.Example` messages, many at once."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import cache
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    Ints = npt.NDArray[np.int64]


def records(ids: Ints, starts: Ints, labels: Ints, first_row: int) -> Iterator[bytes]:
    """Yields a serialized `tf.train.Example` a row, with `token_ids`, `label` and `row`.

    The bytes are those of `SerializeToString(deterministic=True)`; the library takes three times as
    long for them.

    Args:
        ids: Token ids, >= 0, int64 [tokens], all rows one behind the other.
        starts: int64 [rows + 1]; row i is `ids[starts[i]:starts[i + 1]]` and not empty.
        labels: int64 [rows], >= 0.
        first_row: Number of the first row.

    Source: https://protobuf.dev/programming-guides/encoding/ and tensorflow/core/example.
    """
    rows = np.arange(first_row, first_row + len(labels))
    single = np.arange(len(labels) + 1)
    for label, row, token_ids in zip(
        _packed(labels, single), _packed(rows, single), _packed(ids, starts), strict=True
    ):
        features = _feature(b"label", label) + _feature(b"row", row)
        features += _feature(b"token_ids", token_ids)
        yield _head(1, len(features)) + features


def _packed(values: Ints, starts: Ints) -> list[bytes]:
    """Returns `values[starts[i]:starts[i + 1]]` as varints: seven bits a byte, the lowest first."""
    most = max(1, math.ceil(int(values.max(initial=0)).bit_length() / 7))
    groups = np.empty((len(values), most), np.uint8)
    sizes = np.ones(len(values), np.int64)
    for place in range(most):
        rest = values >> (7 * place)
        groups[:, place] = rest & 127 | 128
        sizes += (rest > 0) & (place > 0)
    data = groups[np.arange(most) < sizes[:, None]]
    ends = np.concatenate([[0], np.cumsum(sizes)])
    data[ends[1:] - 1] &= 127  # the last byte of each has no high bit
    cut = data.tobytes()
    return [cut[i:j] for i, j in pairwise(ends[starts].tolist())]


def _feature(name: bytes, values: bytes) -> bytes:
    """Returns an entry of `Features.feature`: a name, and a Feature with an Int64List."""
    return _before_values(name, len(values)) + values


@cache
def _before_values(name: bytes, size: int) -> bytes:
    """Returns all of an entry that stands before its values, which take `size` bytes."""
    head = _head(1, size)
    head = _head(3, len(head) + size) + head
    head = _head(1, len(name)) + name + _head(2, len(head) + size) + head
    return _head(1, len(head) + size) + head


@cache
def _head(number: int, size: int) -> bytes:
    """Returns what stands before `size` bytes of field `number`."""
    return bytes([number << 3 | 2]) + _packed(np.array([size]), np.array([0, 1]))[0]
