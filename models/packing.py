"""Documents side by side in rows of one length: how language models are fed without padding."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from textmill.models.rows import Rows

if TYPE_CHECKING:
    import numpy.typing as npt
    import tensorflow as tf

    from textmill.models.rows import Ints, Places

# Shuffled documents that are packed with each other: enough for rows to be full, and few enough
# that which documents meet in a row stays a matter of chance.
WINDOW = 16_384
NAMES = ("token_ids", "document", "position")


@dataclass(frozen=True)
class Packing:
    """Where every token of an epoch goes.

    Attributes:
        length: Tokens that a row has room for.
        pieces: int64 [pieces, 3]: a document's number, the first of its tokens, and how many.
        rows: int64 [rows, 2]: row i holds `pieces[rows[i, 0]:rows[i, 1]]`, one behind the other.
    """

    length: int
    pieces: Places
    rows: Places

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def padding(self) -> float:
        """The share of positions that hold no token, 0 to 1."""
        held = len(self) * self.length
        return 1 - int(self.pieces[:, 2].sum()) / held if held else 0.0


def pack(
    lengths: Places,
    length: int,
    *,
    seed: int,
    epoch: int,
    shared: bool = True,
    shifted: bool = False,
    overlap: int = 0,
    window: int = WINDOW,
) -> Packing:
    """Packs documents into rows, which come in an order that only the arguments decide.

    A document that is longer than a row is cut into rows and a rest. Within each window of shuffled
    documents, pieces go, the longest first, into the row with the least space that they fit in. A
    million documents take some seconds.

    Args:
        lengths: Tokens of each document, int64 [documents].
        length: Tokens a row.
        seed: The run's seed.
        epoch: From 0; each has a packing of its own.
        shared: Whether pieces share rows; else, for models that must not see two, each has its own.
        shifted: Whether the rest of a document lies anywhere among its pieces, not behind them: so
            it is cut elsewhere in each epoch.
        overlap: Tokens at the end of a piece with which the next of its document begins.
        window: Documents that are packed with each other.

    Example:
        >>> packing = pack(np.array([5, 2, 9, 3, 1]), 5, seed=0, epoch=0)
        >>> packing.pieces.tolist()
        [[2, 0, 5], [0, 0, 5], [2, 5, 4], [4, 0, 1], [3, 0, 3], [1, 0, 2]]
        >>> len(packing), packing.padding
        (4, 0.0)
        >>> packing = pack(np.array([5, 2]), 4, seed=0, epoch=0, shared=False)
        >>> len(packing), packing.pieces.tolist()
        (3, [[0, 0, 4], [0, 4, 1], [1, 0, 2]])

    Source: Ding et al., Fewer Truncations Improve Language Modeling, 2024,
    https://arxiv.org/abs/2404.10830.
    """
    random = np.random.default_rng([seed, epoch])
    cuts = random if shifted else None
    if not shared:
        each = _cut(np.arange(len(lengths)), lengths, length, overlap, cuts)
        places = np.arange(len(each))
        return Packing(length, each, random.permutation(np.stack([places, places + 1], 1)))
    order = random.permutation(len(lengths))
    pieces, counts = [np.zeros((0, 3), np.int64)], [np.zeros(0, np.int64)]
    for start in range(0, len(order), window):
        cut = _cut(order[start : start + window], lengths, length, overlap, cuts)
        cut = cut[np.argsort(-cut[:, 2], kind="stable")]
        row = np.array(_best_fit(cut[:, 2].tolist(), length), np.int64)
        pieces.append(cut[np.argsort(row, kind="stable")])
        counts.append(np.bincount(row))
    count = np.concatenate(counts)
    ends = np.cumsum(count)
    rows = np.stack([ends - count, ends], 1)
    return Packing(length, np.concatenate(pieces), random.permutation(rows))


def filled(rows: Rows, packing: Packing, batch: Places) -> dict[str, Ints]:
    """Returns rows of a packing as a model takes them.

    Args:
        rows: The documents.
        packing: Where their tokens go.
        batch: Numbers of rows of the packing, int64 [batch].

    Returns:
        int32 [batch, length] each: `token_ids`; `document`, which counts the pieces of a row from
        1, so that attention can be kept inside each, and is 0 where there is no token; and
        `position`, which counts the tokens of a piece from 0.
    """
    counts = np.diff(packing.rows[batch], axis=1)[:, 0]
    pieces = np.concatenate([packing.pieces[i:j] for i, j in packing.rows[batch]])
    begin, size = rows.starts[pieces[:, 0]] + pieces[:, 1], pieces[:, 2]
    parts = [
        rows.token_ids[i:j] for i, j in zip(begin.tolist(), (begin + size).tolist(), strict=True)
    ]
    of_row = np.repeat(np.arange(len(batch)), counts)
    held = np.bincount(of_row, size, len(batch))
    used = np.arange(packing.length) < held[:, None]
    found = {name: np.zeros(used.shape, np.int32) for name in NAMES}
    found["token_ids"][used] = np.concatenate(parts)
    found["document"][used] = np.repeat(_counted(counts) + 1, size)
    found["position"][used] = _counted(size)
    return found


def dataset(rows: Rows, packing: Packing, batch_size: int, *, skip: int = 0) -> tf.data.Dataset:
    """Returns the rows of a packing in batches, made ahead of whoever takes them.

    Args:
        rows: The documents.
        packing: Where their tokens go.
        batch_size: Rows a batch; the last may have fewer.
        skip: Batches to leave out, because a training has had them.

    Returns:
        Batches as `filled` returns them.
    """
    import tensorflow as tf

    def arrays(first: int) -> list[Ints]:
        batch = np.arange(first, min(first + batch_size, len(packing)))
        found = filled(rows, packing, batch)
        return [found[name] for name in NAMES]

    def tensors(first: tf.Tensor) -> dict[str, tf.Tensor]:
        found = tf.numpy_function(arrays, [first], [tf.int32] * len(NAMES))
        shape = [None, packing.length]
        return {n: tf.ensure_shape(each, shape) for n, each in zip(NAMES, found, strict=True)}

    firsts = tf.data.Dataset.range(skip * batch_size, len(packing), batch_size)
    return firsts.map(tensors, num_parallel_calls=2, deterministic=True).prefetch(8)


def _cut(
    documents: Places,
    lengths: Places,
    length: int,
    overlap: int,
    random: np.random.Generator | None,
) -> Places:
    """Returns pieces of documents, int64 [pieces, 3]; the short one is any, or the last."""
    sizes, step = lengths[documents], length - overlap
    counts = np.where(sizes > 0, 1 - (-np.maximum(sizes - length, 0) // step), 0)
    missing = np.repeat(counts * step + overlap - sizes, counts)
    short = counts - 1 if random is None else random.integers(0, np.maximum(counts, 1))
    short, number = np.repeat(short, counts), _counted(counts)
    first = number * step - np.where(number > short, missing, 0)
    size = length - np.where(number == short, missing, 0)
    return np.stack([np.repeat(documents, counts), first, size], 1)


def _best_fit(sizes: list[int], length: int) -> list[int]:
    """Returns the row of each piece: the one with the least space for it, or else a new one."""
    spaces = 0  # bit s says whether a row has s tokens of space; these are in having[s]
    having: list[list[int]] = [[] for _ in range(length)]
    rows: list[int] = []
    count = 0
    for size in sizes:
        fitting = spaces >> size
        if fitting:
            space = size + (fitting & -fitting).bit_length() - 1
            row = having[space].pop()
            if not having[space]:
                spaces ^= 1 << space
        else:
            row, space = count, length
            count += 1
        rows.append(row)
        left = space - size
        if left:
            having[left].append(row)
            spaces |= 1 << left
    return rows


def _counted(counts: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Returns 0, 1, … up to each count, one behind the other: [2, 3] gives 0 1 0 1 2."""
    ends = np.cumsum(counts)
    return np.arange(counts.sum()) - np.repeat(ends - counts, counts)
