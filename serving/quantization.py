"""Weights as whole numbers of eight bits with scales, and back again in a graph."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import tensorflow as tf

    from textmill.encoder_weights import Array

LARGEST = 127  # of int8, on both sides of 0
# How many numbers share a scale. One that is far from 0 makes the others coarse, and trained
# encoders have some in every column: with a scale a column, a score is two or three times as far
# off. With fewer numbers it is no nearer. Scales take a sixteenth of the room that the numbers do.
GROUP = 64
FEWEST = 16


def quantized(value: Array, axis: int) -> tuple[Array, Array]:
    """Returns a matrix as whole numbers and their scales.

    Args:
        value: float32 [rows, columns].
        axis: Along which numbers share a scale, some at a time.

    Returns:
        Whole numbers as float32: `axis` is parted in two, groups and the numbers of one. And
        float32 scales of the same shape, but for 1 in place of the numbers of a group.

    Example:
        >>> whole, scale = quantized(np.array([[127, -1, 0], [0, 0, 0]], np.float32), 1)
        >>> whole.tolist(), scale.tolist()
        ([[[127.0, -1.0, 0.0]], [[0.0, 0.0, 0.0]]], [[[1.0]], [[0.0]]])

    Source: https://arxiv.org/abs/1712.05877, symmetric; groups as in
    https://arxiv.org/abs/1909.05840.
    """
    size = group_of(value.shape[axis])
    shape = [*value.shape]
    shape[axis : axis + 1] = [value.shape[axis] // size, size]
    parts = value.reshape(shape)
    scale = np.abs(parts).max(axis + 1, keepdims=True) / LARGEST
    whole = np.rint(parts / np.where(scale > 0, scale, 1))
    return whole.astype(np.float32), scale.astype(np.float32)


def group_of(length: int) -> int:
    """Returns how many numbers of a line share a scale: as many in each group.

    Example:
        >>> group_of(384), group_of(312), group_of(48), group_of(131)
        (64, 52, 48, 131)
    """
    fits = [size for size in range(FEWEST, GROUP + 1) if length % size == 0]
    return max(fits, default=length)


def dequantized(whole: tf.Tensor, scale: tf.Tensor, width: int) -> tf.Tensor:
    """Returns what stands for `quantized` numbers: float32 [rows, width].

    Args:
        whole: int8, of any number of groups.
        scale: float32, theirs.
        width: The last dimension of the matrix.
    """
    import tensorflow as tf

    return tf.reshape(tf.cast(whole, tf.float32) * scale, [-1, width])
