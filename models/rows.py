"""The rows of a split: in memory while they are few, in a file of no name when they are many."""

from __future__ import annotations

import errno
import os
import tempfile
import weakref
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from textmill.artifact import Split, Tokens
from textmill.errors import UserError

if TYPE_CHECKING:
    import numpy.typing as npt

    Ints = npt.NDArray[np.int32]
    Places = npt.NDArray[np.int64]

# Token ids that take more bytes are read from a file, row by row as batches need them. The system
# keeps the file in what memory is free, so little speed is lost, and the process stays small.
IN_MEMORY = 128 << 20
BATCH = 1024  # records that are parsed at a time


class TokenIds(Protocol):
    """Token ids one behind the other: a NumPy array, or a file of which only slices are read."""

    def __getitem__(self, part: slice, /) -> Ints:
        """Returns int32 [tokens of the part]."""
        ...


@dataclass(frozen=True)
class Rows:
    """The token ids of a split.

    Attributes:
        token_ids: int32 [tokens], all rows one behind the other, to be read by slices.
        starts: int64 [rows + 1]; row i is `token_ids[starts[i]:starts[i + 1]]`.
        labels: int32 [rows].
        places: int64 [rows], the row's place in the split of Examples.
    """

    token_ids: TokenIds
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
    """Returns the rows of a split.

    Memory for the whole is taken once: 20 bytes a row, and 4 a token up to `IN_MEMORY`. More tokens
    go to a temporary file in the folder that `TMPDIR` names.

    Raises:
        UserError: The shards do not hold the rows that `tokens.json` counts.
    """
    import tensorflow as tf

    info = tokens.info()
    count, total = info["rows"].get(split, 0), info["tokens"].get(split, 0)
    starts = np.zeros(count + 1, np.int64)
    labels, places = np.empty(count, np.int32), np.empty(count, np.int64)
    token_ids: Any = np.empty(total, np.int32) if total * 4 <= IN_MEMORY else _File()
    one = tf.io.FixedLenFeature([], tf.int64)
    features = {"token_ids": tf.io.RaggedFeature(tf.int64), "label": one, "row": one}
    records = tf.data.TFRecordDataset(tokens.shards(split)).batch(BATCH)
    row = 0
    for batch in records.map(lambda r: tf.io.parse_example(r, features), num_parallel_calls=2):
        ids = batch["token_ids"].values.numpy()
        ends = starts[row] + batch["token_ids"].row_splits.numpy()[1:]
        until = row + len(ends)
        if until > count or ends[-1] > total:
            row = count + 1
            break
        token_ids[int(starts[row]) : int(ends[-1])] = ids
        starts[row + 1 : until + 1] = ends
        labels[row:until] = batch["label"].numpy()
        places[row:until] = batch["row"].numpy()
        row = until
    if row != count or starts[-1] != total:
        raise UserError(
            f"{tokens.path}: the {split} shards are not those that tokens.json tells of",
            expected=f"{count:,} rows with {total:,} tokens",
            received="more" if row > count else f"{row:,} rows with {starts[row]:,} tokens",
            fix="run the step again with --force tokenize",
        )
    return Rows(token_ids=token_ids, starts=starts, labels=labels, places=places)


class _File:
    """int32 values in a file that goes with the process.

    Not `np.memmap`: every page that it has touched counts as memory of the process, so after an
    epoch of shuffled rows it would be all of them.
    """

    def __init__(self) -> None:
        with tempfile.TemporaryFile() as file:
            self._descriptor = os.dup(file.fileno())
        weakref.finalize(self, os.close, self._descriptor)

    def __setitem__(self, part: slice, values: Places) -> None:
        data = values.astype(np.int32).tobytes()
        if os.pwrite(self._descriptor, data, 4 * part.start) != len(data):
            raise OSError(errno.ENOSPC, "the folder for temporary files is full")

    def __getitem__(self, part: slice, /) -> Ints:
        data = os.pread(self._descriptor, 4 * (part.stop - part.start), 4 * part.start)
        return np.frombuffer(data, np.int32)
