"""Batches of rows: rows of like length together, padded to the longest, and quickly made."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt
    import tensorflow as tf

    from textmill.models.adaptation import Floats
    from textmill.models.rows import Ints, Places, Rows

# Rows are sorted by length within so many batches of shuffled ones: enough to leave 2 % of padding
# on short reviews, and few enough that which rows meet in a batch stays a matter of chance.
WINDOW = 50


def shuffled(
    lengths: Places,
    batch_size: int,
    *,
    seed: int,
    epoch: int,
    tokens_per_batch: int | None = None,
    window: int = WINDOW,
) -> list[Places]:
    """Returns the batches of an epoch: every row once, in an order that only the arguments decide.

    So a training goes on in the middle of an epoch with a slice of this list.

    Args:
        lengths: int64 [rows].
        batch_size: Rows a batch; the last of all may have fewer.
        seed: The run's seed.
        epoch: From 0; each has an order of its own.
        tokens_per_batch: Rather than by `batch_size`, cut such that rows times longest row is at
            most this: as many short rows, or as few long ones, as fill a device alike. A row that
            is longer by itself is a batch of its own.
        window: Batches' worth of shuffled rows within which like lengths are brought together.
            1: batches of rows at random.

    Returns:
        Row numbers, int64 [at most batch_size] a batch, the shortest row first.

    Example:
        >>> lengths = np.array([3, 9, 4, 8, 2])
        >>> [len(b) for b in shuffled(lengths, 2, seed=0, epoch=0)]
        [1, 2, 2]
        >>> [lengths[b].tolist() for b in shuffled(lengths, 2, seed=0, epoch=0, tokens_per_batch=9)]
        [[2, 3], [9], [8], [4]]
    """
    random = np.random.default_rng([seed, epoch])
    order = random.permutation(len(lengths))
    if tokens_per_batch is not None:
        batch_size = max(1, tokens_per_batch * len(lengths) // max(1, int(lengths.sum())))
    batches: list[Places] = []
    for start in range(0, len(order), window * batch_size):
        near = order[start : start + window * batch_size]
        near = near[np.argsort(lengths[near], kind="stable")]
        if tokens_per_batch is None:
            batches += _cut(near, batch_size)
        else:
            batches += _cut_by_tokens(near, lengths[near], tokens_per_batch)
    return [batches[i] for i in random.permutation(len(batches))]


def by_length(lengths: Places, batch_size: int) -> list[Places]:
    """Returns every row once, the shortest first: the order in which scoring is fastest.

    Example:
        >>> by_length(np.array([3, 9, 4]), 2)
        [array([0, 2]), array([1])]
    """
    return _cut(np.argsort(lengths, kind="stable"), batch_size)


def edges(histogram: Sequence[int], count: int) -> list[int]:
    """Returns the widths to pad to, of which XLA compiles one program each, that waste the least.

    Exact, by dynamic programming over the lengths that occur.

    Args:
        histogram: Rows of each length from 0, as `lengths` in `tokens.json`.
        count: Widths at most.

    Returns:
        Lengths, ascending; the last is the longest that occurs. [] where there are no rows.

    Example:
        >>> edges([0, 0, 100, 1, 0, 100, 1], 2)
        [2, 6]
    """
    widths = np.flatnonzero(histogram)
    # rows[j]: rows of the j shortest lengths. best[j]: fewest positions, padding included, that
    # these rows take with the widths given out so far, the last of which is widths[j - 1].
    rows = np.concatenate([[0], np.cumsum(np.asarray(histogram, np.int64)[widths])])
    best = np.where(rows == 0, 0.0, np.inf)
    chosen = []
    for _ in range(min(count, len(widths))):
        taken = [best[: j + 1] + w * (rows[j + 1] - rows[: j + 1]) for j, w in enumerate(widths)]
        chosen.append([int(np.argmin(each)) for each in taken])
        best = np.array([np.inf, *(each.min() for each in taken)])
    found, j = [], len(widths)
    for before in reversed(chosen):
        found.append(int(widths[j - 1]))
        j = before[j - 1]
    return found[::-1]


def padded(
    rows: Rows, batch: Places, inputs: Collection[str], widths: Sequence[int] = ()
) -> dict[str, Ints]:
    """Returns a batch as the model takes it.

    Args:
        rows: All rows.
        batch: Row numbers, int64 [batch].
        inputs: The model's inputs: of token_ids, padding_mask and segment_ids those it has.
        widths: Pad to the first of these, ascending, that the longest row fits in; where there is
            none, to the longest row.

    Returns:
        int32 [batch, width] for each input.
    """
    starts, ends = rows.starts[batch], rows.starts[batch + 1]
    parts = [rows.token_ids[i:j] for i, j in zip(starts.tolist(), ends.tolist(), strict=True)]
    mask = np.arange(_width((ends - starts).max(), widths)) < (ends - starts)[:, None]
    token_ids = np.zeros(mask.shape, np.int32)
    token_ids[mask] = np.concatenate(parts)
    every = {"token_ids": token_ids, "padding_mask": mask.astype(np.int32)}
    if "segment_ids" in inputs:
        every["segment_ids"] = segments(token_ids, rows.separator)
    return {name: every[name] for name in inputs}


def segments(token_ids: Ints, separator: int | None) -> Ints:
    """Returns 1 for each token of the second of two texts, and behind it, else 0.

    Args:
        token_ids: int32 [batch, width].
        separator: The id between the two; None: all is one text.
    """
    if separator is None:
        return np.zeros_like(token_ids)
    ends = (token_ids == separator).astype(np.int32)
    before: Ints = np.cumsum(ends, axis=1, dtype=np.int32) - ends
    return np.minimum(before, 1)


def targets(rows: Rows, batch: Places, width: int) -> npt.NDArray[Any]:
    """Returns the labels of a batch: `rows.labels` of its rows, those of spans padded with 0.

    Args:
        rows: All rows.
        batch: Row numbers, int64 [batch].
        width: Positions of a row.
    """
    if rows.kind != "spans":
        return rows.labels[batch]
    starts, ends = rows.starts[batch], rows.starts[batch + 1]
    found = np.zeros((len(batch), width), np.int32)
    parts = [rows.labels[i:j] for i, j in zip(starts.tolist(), ends.tolist(), strict=True)]
    found[np.arange(width) < (ends - starts)[:, None]] = np.concatenate(parts)
    return found


def padding(lengths: Places, batches: Sequence[Places], widths: Sequence[int] = ()) -> float:
    """Returns the share of positions that hold no token, 0 to 1.

    Example:
        >>> padding(np.array([3, 1]), [np.array([0, 1])])
        0.333...
        >>> padding(np.array([3, 1]), [np.array([0, 1])], widths=[2, 4])
        0.5
    """
    held = sum(_width(lengths[b].max(), widths) * len(b) for b in batches)
    return 1 - sum(int(lengths[b].sum()) for b in batches) / held if held else 0.0


def dataset(
    rows: Rows,
    batches: Sequence[Places],
    inputs: Collection[str],
    *,
    pieces: int = 1,
    widths: Sequence[int] = (),
    weights: Floats | None = None,
) -> tf.data.Dataset:
    """Returns the batches as tensors, in their order, made ahead of whoever takes them.

    Args:
        rows: All rows.
        batches: Row numbers, int64 [batch] each; none is empty.
        inputs: As `padded` takes them.
        pieces: Cut each batch into so many nearly equal pieces (into rows, where it has fewer),
            which come one after the other: what fits in memory, for gradients that are summed.
        widths: As `padded` takes them.
        weights: How much each of all rows counts, float32 [rows]; None: all alike.

    Returns:
        Inputs by name, int32 [piece, width]; labels as `targets` returns them; and weights, float32
        [piece]: what a row counts, as a share of its whole batch. So the sum of weights times
        losses over the pieces of a batch, and over the replicas among which they are shared, is the
        batch's mean loss.
    """
    import tensorflow as tf

    names, cut = list(inputs), cut_into(batches, pieces)
    counts = np.ones(len(rows), np.float32) if weights is None else weights
    sums = [counts[b].sum() for b in batches for _ in range(min(pieces, len(b)))]
    kind = tf.int32 if rows.kind in ("one", "spans") else tf.float32
    shape = {"many": [None, rows.labels.shape[-1]], "spans": [None, None]}.get(rows.kind, [None])

    def arrays(i: int) -> tuple[Any, ...]:
        found = padded(rows, cut[i], names, widths)
        labels = targets(rows, cut[i], found[names[0]].shape[1])
        return *found.values(), labels, counts[cut[i]] / sums[i]

    def tensors(i: tf.Tensor) -> tuple[dict[str, tf.Tensor], tf.Tensor, tf.Tensor]:
        *found, labels, each = tf.numpy_function(
            arrays, [i], [tf.int32] * len(names) + [kind, tf.float32]
        )
        # Open dimensions, so that a new length does not trace the training step anew.
        found = [tf.ensure_shape(one, [None, None]) for one in found]
        labels, each = tf.ensure_shape(labels, shape), tf.ensure_shape(each, [None])
        return dict(zip(names, found, strict=True)), labels, each

    made = tf.data.Dataset.range(len(cut)).map(tensors, num_parallel_calls=2, deterministic=True)
    return made.prefetch(8)


def cut_into(batches: Sequence[Places], pieces: int) -> list[Places]:
    """Returns the pieces of all batches, as `dataset` makes them.

    Example:
        >>> [part.tolist() for part in cut_into([np.arange(3), np.arange(1)], 2)]
        [[0, 1], [2], [0]]
    """
    return [part for b in batches for part in np.array_split(b, min(pieces, len(b)))]


def _cut(order: Places, batch_size: int) -> list[Places]:
    return [order[i : i + batch_size] for i in range(0, len(order), batch_size)]


def _cut_by_tokens(order: Places, lengths: Places, tokens: int) -> list[Places]:
    """Cuts rows, the shortest first, into the fewest batches that hold at most `tokens`."""
    found, start = [], 0
    while start < len(order):
        # Rows behind one that is too long are longer, so the first that fails is the end.
        most = max(1, tokens // max(1, int(lengths[start])))
        ahead = lengths[start : start + most]
        stop = start + max(1, int(np.sum(ahead * np.arange(1, len(ahead) + 1) <= tokens)))
        found.append(order[start:stop])
        start = stop
    return found


def _width(longest: int, widths: Sequence[int]) -> int:
    return next((width for width in widths if width >= longest), int(longest))
