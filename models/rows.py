"""The rows of a split: in memory while they are few, in a file of no name when they are many."""

from __future__ import annotations

import errno
import os
import tempfile
import weakref
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from textmill.artifact import LabelKind, Split, Tokens
from textmill.errors import UserError
from textmill.frame import read_frame
from textmill.models.labels import Labels

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
        labels: By kind, "one": ids, int32 [rows]; "many": float32 [rows, names], 1 where a row has
            the name; "number": float32 [rows]; "spans": int32 [tokens], 1 more than the id of the
            tag where a word begins, else 0.
        places: int64 [rows], the place of the row's text in the split of Examples; a long text may
            have several rows, one behind the other.
        kind: What the labels are.
        firsts: int64 [rows], which token of its text is a row's first (special ones not counted);
            None where each text has one row.
        separator: The id behind which tokens belong to the second of two texts; None: there is
            none, or the model does not tell.
        unread: Of spans, the tags' ids of the words that no row of their text has, in its last
            row; None: there are none.
    """

    token_ids: TokenIds
    starts: Places
    labels: npt.NDArray[Any]
    places: Places
    kind: LabelKind = "one"
    firsts: Places | None = None
    separator: int | None = None
    unread: Labels | None = None

    def __len__(self) -> int:
        return len(self.places)

    @property
    def lengths(self) -> Places:
        """Tokens of each row: int64 [rows]."""
        return np.diff(self.starts)

    @property
    def shares(self) -> npt.NDArray[np.float32]:
        """What each row counts, such that all texts count alike: float32 [rows]."""
        _, text, count = np.unique(self.places, return_inverse=True, return_counts=True)
        return (1 / count[text]).astype(np.float32)


def read_rows(tokens: Tokens, split: Split) -> Rows:
    """Returns the rows of a split.

    Memory for the whole is taken once: 20 bytes a row, and 4 a token up to `IN_MEMORY`. More tokens
    go to a temporary file in the folder that `TMPDIR` names.

    Raises:
        UserError: The shards do not hold the rows that `tokens.json` counts.
    """
    import tensorflow as tf

    info = tokens.info()
    kind = info["kind"]
    count, total = info["rows"].get(split, 0), info["tokens"].get(split, 0)
    starts = np.zeros(count + 1, np.int64)
    labels, places = (
        _empty_labels(kind, count, total, len(info["labels"])),
        np.empty(count, np.int64),
    )
    firsts = np.empty(count, np.int64) if info["overlap"] is not None else None
    token_ids: Any = np.empty(total, np.int32) if total * 4 <= IN_MEMORY else _File()
    many = tf.io.RaggedFeature(tf.float32 if kind == "number" else tf.int64)
    one = tf.io.FixedLenFeature([], tf.int64)
    features = {"token_ids": tf.io.RaggedFeature(tf.int64), "label": many, "row": one}
    if firsts is not None:
        features["first"] = one
    # Conversations have labels of this kind too, and no words.
    tagged = "spans" in info
    if tagged:
        features["unread"] = tf.io.RaggedFeature(tf.int64)
    unread, unread_starts = [np.zeros(0, np.int64)], np.zeros(count + 1, np.int64)
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
        values = batch["label"].values.numpy()
        if kind == "many":
            labels[row + batch["label"].value_rowids().numpy(), values] = 1
        elif kind == "spans":
            labels[int(starts[row]) : int(ends[-1])] = values
        else:
            labels[row:until] = values
        places[row:until] = batch["row"].numpy()
        if firsts is not None:
            firsts[row:until] = batch["first"].numpy()
        if tagged:
            unread.append(batch["unread"].values.numpy())
            held = batch["unread"].row_splits.numpy()[1:]
            unread_starts[row + 1 : until + 1] = unread_starts[row] + held
        row = until
    if row != count or starts[-1] != total:
        raise UserError(
            f"{tokens.path}: the {split} shards are not those that tokens.json tells of",
            expected=f"{count:,} rows with {total:,} tokens",
            received="more" if row > count else f"{row:,} rows with {starts[row]:,} tokens",
            fix="run the step again with --force tokenize",
        )
    separator = read_frame(tokens.tokenizer_file).separator if info["pair"] else None
    words = Labels(np.concatenate(unread), unread_starts) if tagged else None
    return Rows(token_ids, starts, labels, places, kind, firsts, separator, words)


def joined(first: Rows, second: Rows) -> Rows:
    """Returns the rows of both; texts of the second count on behind those of the first.

    Args:
        first: Rows with labels.
        second: Rows whose labels stand for nothing, but for those of spans, which say where words
            begin.
    """
    labels = second.labels
    if first.kind != "spans":
        labels = np.zeros((len(second), *first.labels.shape[1:]), first.labels.dtype)
    both_firsts = first.firsts is not None and second.firsts is not None
    texts = int(first.places.max(initial=-1)) + 1
    return Rows(
        _Both(first.token_ids, second.token_ids, int(first.starts[-1])),
        np.concatenate([first.starts, first.starts[-1] + second.starts[1:]]),
        np.concatenate([first.labels, labels]),
        np.concatenate([first.places, texts + second.places]),
        first.kind,
        np.concatenate([first.firsts, second.firsts]) if both_firsts else None,
        first.separator,
    )


@dataclass(frozen=True)
class _Both:
    """Token ids of two, where no slice is of both."""

    first: TokenIds
    second: TokenIds
    held: int

    def __getitem__(self, part: slice, /) -> Ints:
        if part.stop <= self.held:
            return self.first[part]
        return self.second[part.start - self.held : part.stop - self.held]


def _empty_labels(kind: LabelKind, rows: int, tokens: int, names: int) -> npt.NDArray[Any]:
    if kind == "many":
        return np.zeros((rows, names), np.float32)
    if kind == "number":
        return np.empty(rows, np.float32)
    return np.empty(tokens if kind == "spans" else rows, np.int32)


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
