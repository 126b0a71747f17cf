"""Rows of numbers as `tf.train.Example` messages, many at once."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from functools import cache
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    Ints = npt.NDArray[np.int64]
    Values = Ints | npt.NDArray[np.float32]


def records(columns: Mapping[str, tuple[Values, Ints]]) -> Iterator[bytes]:
    """Yields a serialized `tf.train.Example` a row.

    The bytes are those of `SerializeToString(deterministic=True)`; the library takes three times as
    long for them.

    Args:
        columns: Name of a feature -> its values, int64 [values] and >= 0, or float32 [values], all
            rows one behind the other; and int64 [rows + 1], where each row begins.

    Source: https://protobuf.dev/programming-guides/encoding/ and tensorflow/core/example.

    Example:
        >>> starts = np.arange(3)
        >>> made = records({"a": (np.array([1, 2]), starts), "b": (np.float32([3, 4]), starts)})
        >>> [len(record) for record in made]
        [29, 29]
    """
    named = [_features(name.encode(), *columns[name]) for name in sorted(columns)]
    for row in zip(*named, strict=True):
        features = b"".join(row)
        yield _head(1, len(features)) + features


def _features(name: bytes, values: Values, starts: Ints) -> list[bytes]:
    """Returns the entry of `Features.feature` that each row has under a name."""
    if values.dtype == np.float32:
        data = values.astype("<f4").tobytes()
        cut = [data[4 * i : 4 * j] for i, j in pairwise(starts.tolist())]
        return [_before_values(name, len(part), _FLOATS) + part for part in cut]
    packed = _packed(values.astype(np.int64), starts)
    return [_before_values(name, len(part), _INTS) + part for part in packed]


_FLOATS, _INTS = 2, 3  # which field of a Feature holds its list


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


@cache
def _before_values(name: bytes, size: int, kind: int) -> bytes:
    """Returns all of an entry that stands before its values, which take `size` bytes.

    An empty list has no values field at all.
    """
    head = _head(1, size) if size else b""
    head = _head(kind, len(head) + size) + head
    head = _head(1, len(name)) + name + _head(2, len(head) + size) + head
    return _head(1, len(head) + size) + head


@cache
def _head(number: int, size: int) -> bytes:
    """Returns what stands before `size` bytes of field `number`."""
    return bytes([number << 3 | 2]) + _packed(np.array([size]), np.array([0, 1]))[0]
