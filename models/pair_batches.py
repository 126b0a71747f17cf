"""Batches of pairs of texts: those in which both are of like length together."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from textmill.models.rows import Rows

if TYPE_CHECKING:
    from textmill.models.rows import Ints, Places


def source_lengths(rows: Rows) -> Places:
    """Returns the tokens of each row that are read and not written, int64 [rows].

    Args:
        rows: Their labels say of each token whether it is of the target; it has two at least.
    """
    written = np.concatenate([[0], np.cumsum(rows.labels > 0)])
    return rows.lengths - np.diff(written[rows.starts])


def bucketed(
    sources: Places,
    targets: Places,
    batch_size: int,
    *,
    seed: int,
    epoch: int,
    tokens_per_batch: int | None = None,
) -> list[Places]:
    """Returns the batches of an epoch: every pair once, in an order that only the arguments decide.

    Pairs are sorted by their targets, cut into as many parts as one part will have batches, and
    each part is sorted by its sources: so little of either is padding. Which of those that are
    equally long meet in a batch, and when it comes, is chance.

    Args:
        sources: Lengths, int64 [pairs].
        targets: Lengths, int64 [pairs].
        batch_size: Pairs a batch; the last of a part may have fewer.
        seed: The run's seed.
        epoch: From 0.
        tokens_per_batch: Rather cut such that pairs times longest source plus longest target is at
            most this.

    Returns:
        Numbers of pairs, int64 [pairs of the batch] each.

    Example:
        >>> sources, targets = np.array([9, 2, 9, 2]), np.array([3, 3, 8, 8])
        >>> found = bucketed(sources, targets, 1, seed=0, epoch=0)
        >>> sorted(int(batch[0]) for batch in found)
        [0, 1, 2, 3]
    """
    random = np.random.default_rng([seed, epoch])
    order = random.permutation(len(sources))
    order = order[np.argsort(targets[order], kind="stable")]
    if tokens_per_batch is not None:
        mean = max(1.0, float((sources + targets).mean())) if len(order) else 1.0
        batch_size = max(1, int(tokens_per_batch / mean))
    parts = max(1, round(math.sqrt(len(order) / batch_size)))
    batches: list[Places] = []
    for part in np.array_split(order, parts):
        part = part[np.argsort(sources[part], kind="stable")]
        if tokens_per_batch is None:
            batches += [part[i : i + batch_size] for i in range(0, len(part), batch_size)]
        else:
            batches += _cut(part, sources[part], targets[part], tokens_per_batch)
    return [batches[i] for i in random.permutation(len(batches))]


def _cut(order: Places, sources: Places, targets: Places, tokens: int) -> list[Places]:
    found, start, longest = [], 0, 0
    for i in range(len(order)):
        longest = max(longest, int(targets[i]))
        if i > start and (i + 1 - start) * (int(sources[i]) + longest) > tokens:
            found.append(order[start:i])
            start, longest = i, int(targets[i])
    return [*found, order[start:]] if start < len(order) else found


def pair_rows(rows: Rows, sources: Places, batch: Places) -> dict[str, Ints]:
    """Returns a batch of pairs as `seq2seq.build` takes it.

    Args:
        rows: All pairs, a source and its target behind it in each.
        sources: Lengths of their sources, int64 [pairs].
        batch: Numbers of pairs, int64 [batch].

    Returns:
        int32 [batch, tokens] each: `source` and `source_mask`; `token_ids`, each target without its
        last token; `target`, it without its first, behind it -1.
    """
    lengths, read = rows.lengths[batch], sources[batch]
    found = {
        "source": np.zeros((len(batch), int(read.max())), np.int32),
        "token_ids": np.zeros((len(batch), int((lengths - read).max()) - 1), np.int32),
    }
    found["target"] = np.full_like(found["token_ids"], -1)
    for row, (start, length, source) in enumerate(
        zip(rows.starts[batch].tolist(), lengths.tolist(), read.tolist(), strict=True)
    ):
        ids = rows.token_ids[start : start + length]
        found["source"][row, :source] = ids[:source]
        found["token_ids"][row, : length - source - 1] = ids[source:-1]
        found["target"][row, : length - source - 1] = ids[source + 1 :]
    places = np.arange(found["source"].shape[1])
    return {**found, "source_mask": (places < read[:, None]).astype(np.int32)}
