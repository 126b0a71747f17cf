"""Batches of token ids: padded to their longest row, rows of like length together."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING, Any

import numpy as np

from textmill.artifact import Split, Tokens

if TYPE_CHECKING:
    import numpy.typing as npt
    import tensorflow as tf

    Ints = npt.NDArray[np.int32]
    Places = npt.NDArray[np.int64]

# Rows are sorted by length within so many batches of shuffled ones: enough to leave 2 % of padding
# on short reviews, and few enough that which rows meet in a batch stays a matter of chance.
WINDOW = 50


@dataclass(frozen=True)
class Rows:
    """The token ids of a split, in memory: four bytes a token.

    Attributes:
        token_ids: int32 [tokens], all rows one behind the other.
        starts: int64 [rows + 1]; row i is `token_ids[starts[i]:starts[i + 1]]`.
        labels: int32 [rows].
        places: int64 [rows], the row's place in the split of Examples.
    """

    token_ids: Ints
    starts: Places
    labels: Ints
    places: Places

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def lengths(self) -> Places:
        """Tokens of each row: int64 [rows]."""
        return np.diff(self.starts)


def read_rows(tokens: Tokens, split: Split) -> Rows:
    """Returns the rows of a split."""
    import tensorflow as tf

    one = tf.io.FixedLenFeature([], tf.int64)
    features = {"token_ids": tf.io.RaggedFeature(tf.int64), "label": one, "row": one}
    parts: dict[str, list[Any]] = {"ids": [], "lengths": [], "label": [], "row": []}
    records = tf.data.TFRecordDataset(tokens.shards(split)).batch(4096)
    for batch in records.map(lambda r: tf.io.parse_example(r, features)):
        parts["ids"].append(batch["token_ids"].values.numpy().astype(np.int32))
        parts["lengths"].append(batch["token_ids"].row_lengths().numpy())
        parts["label"].append(batch["label"].numpy())
        parts["row"].append(batch["row"].numpy())
    empty = np.zeros(0, np.int64)
    return Rows(
        token_ids=np.concatenate([empty.astype(np.int32), *parts["ids"]]),
        starts=np.concatenate([[0], np.cumsum(np.concatenate([empty, *parts["lengths"]]))]),
        labels=np.concatenate([empty, *parts["label"]]).astype(np.int32),
        places=np.concatenate([empty, *parts["row"]]),
    )


def shuffled(lengths: Places, batch_size: int, *, seed: int, epoch: int) -> list[Places]:
    """Returns the batches of an epoch: every row once, in an order that only the arguments decide.

    Args:
        lengths: int64 [rows].
        batch_size: Rows a batch; the last of all may have fewer.
        seed: The run's seed.
        epoch: From 0; each has an order of its own.

    Returns:
        Row numbers, int64 [at most batch_size] a batch.

    Example:
        >>> [len(b) for b in shuffled(np.array([3, 9, 4, 8, 2]), 2, seed=0, epoch=0)]
        [1, 2, 2]
    """
    random = np.random.default_rng([seed, epoch])
    order = random.permutation(len(lengths))
    batches: list[Places] = []
    for start in range(0, len(order), WINDOW * batch_size):
        window = order[start : start + WINDOW * batch_size]
        batches += _cut(window[np.argsort(lengths[window], kind="stable")], batch_size)
    return [batches[i] for i in random.permutation(len(batches))]


def by_length(lengths: Places, batch_size: int) -> list[Places]:
    """Returns every row once, the shortest first: the order in which scoring is fastest.

    Example:
        >>> by_length(np.array([3, 9, 4]), 2)
        [array([0, 2]), array([1])]
    """
    return _cut(np.argsort(lengths, kind="stable"), batch_size)


def padded(rows: Rows, batch: Places, inputs: Iterable[str]) -> dict[str, Ints]:
    """Returns a batch as the model takes it.

    Args:
        rows: All rows.
        batch: Row numbers, int64 [batch].
        inputs: The model's inputs: of token_ids, padding_mask and segment_ids those it has.

    Returns:
        int32 [batch, longest row] for each input.
    """
    starts, lengths = rows.starts[batch], rows.lengths[batch]
    column = np.arange(lengths.max())
    mask = column < lengths[:, None]
    # Beyond a row's end any token will do, as long as it exists: the mask puts a 0 there.
    position = np.minimum(starts[:, None] + column, len(rows.token_ids) - 1)
    token_ids = np.where(mask, rows.token_ids[position], 0).astype(np.int32)
    every = {
        "token_ids": token_ids,
        "padding_mask": mask.astype(np.int32),
        "segment_ids": np.zeros_like(token_ids),
    }
    return {name: every[name] for name in inputs}


def padding(lengths: Places, batches: list[Places]) -> float:
    """Returns the share of positions that hold no token, 0 to 1.

    Example:
        >>> padding(np.array([3, 1]), [np.array([0, 1])])
        0.333...
    """
    held = sum(int(lengths[b].max()) * len(b) for b in batches)
    return 1 - int(lengths.sum()) / held if held else 0.0


def training(rows: Rows, batch_size: int, inputs: Iterable[str], *, seed: int) -> tf.data.Dataset:
    """Returns the input of `fit`: shuffled batches, epoch after epoch without end."""

    def batches() -> Iterator[Places]:
        for epoch in count():
            yield from shuffled(rows.lengths, batch_size, seed=seed, epoch=epoch)

    return _dataset(rows, list(inputs), batches)


def validation(rows: Rows, batch_size: int, inputs: Iterable[str]) -> tf.data.Dataset:
    """Returns the input of `evaluate`: every row once."""
    import tensorflow as tf

    batches = by_length(rows.lengths, batch_size)
    dataset = _dataset(rows, list(inputs), lambda: batches)
    return dataset.apply(tf.data.experimental.assert_cardinality(len(batches)))


def _dataset(
    rows: Rows, inputs: list[str], batches: Callable[[], Iterable[Places]]
) -> tf.data.Dataset:
    import tensorflow as tf

    def generate() -> Iterator[tuple[dict[str, Ints], Ints]]:
        for batch in batches():
            yield padded(rows, batch, inputs), rows.labels[batch]

    # Open dimensions, so that a new length does not trace the training step anew.
    signature = (
        {name: tf.TensorSpec([None, None], tf.int32) for name in inputs},
        tf.TensorSpec([None], tf.int32),
    )
    return tf.data.Dataset.from_generator(generate, output_signature=signature).prefetch(4)


def _cut(order: Places, batch_size: int) -> list[Places]:
    return [order[i : i + batch_size] for i in range(0, len(order), batch_size)]
