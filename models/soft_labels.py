"""What a teacher says of rows: its logits, in a file of which only what a batch needs is read."""

from __future__ import annotations

import os
import weakref
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from textmill.models.batches import by_length
from textmill.models.scoring import BATCH_SIZE

if TYPE_CHECKING:
    import numpy.typing as npt

    from textmill.models.rows import Places, Rows

    Floats = npt.NDArray[np.float32]

FILE = "teacher.logits"  # float32, of all rows one behind the other


class SoftLabels:
    """The logits of rows; of spans those of each token.

    A file rather than an array, so that memory need not hold them, and one that outlives a kill,
    for a teacher takes its time. Not `np.memmap`: see `textmill.models.rows`.

    Args:
        file: As `write` leaves it.
        rows: What it is of.
        size: Logits a row, or a token.
    """

    def __init__(self, file: Path, rows: Rows, size: int) -> None:
        self._starts, self._size, self._spans = _starts(rows), size, rows.kind == "spans"
        self._descriptor = os.open(file, os.O_RDONLY)
        weakref.finalize(self, os.close, self._descriptor)

    def __call__(self, batch: Places) -> Floats:
        """Returns the logits of a batch: float32 [batch, size], or of spans [batch, longest, size].

        Args:
            batch: Row numbers, int64 [batch].
        """
        parts = [self._read(row) for row in batch.tolist()]
        if not self._spans:
            return np.concatenate(parts)
        found = np.zeros((len(parts), max(map(len, parts)), self._size), np.float32)
        for row, part in enumerate(parts):
            found[row, : len(part)] = part
        return found

    def _read(self, row: int) -> Floats:
        start, end = self._starts[row : row + 2].tolist()
        width = 4 * self._size
        data = os.pread(self._descriptor, width * (end - start), width * start)
        return np.frombuffer(data, np.float32).reshape(-1, self._size)


def is_whole(file: Path, rows: Rows, size: int) -> bool:
    """Returns whether `write` has been here, and for as many rows."""
    return file.is_file() and file.stat().st_size == 4 * size * int(_starts(rows)[-1])


def write(file: Path, rows: Rows, size: int, found: Iterable[Floats]) -> None:
    """Writes logits to a file, whole or not at all.

    Args:
        file: Where to.
        rows: What they are of.
        size: Logits a row, or a token.
        found: Logits of the batches of `order(rows)`: float32 [batch, size], or of spans
            [batch, longest, size].
    """
    starts, draft = _starts(rows), file.with_name(file.name + ".draft")
    file.parent.mkdir(parents=True, exist_ok=True)
    with draft.open("wb") as out:
        for batch, logits in zip(order(rows), found, strict=True):
            for row, each in zip(batch.tolist(), np.asarray(logits, np.float32), strict=True):
                start, end = starts[row : row + 2].tolist()
                out.seek(4 * size * start)
                out.write(np.ascontiguousarray(each.reshape(-1, size)[: end - start]).data)
        out.flush()
        os.fsync(out.fileno())
    draft.rename(file)


def order(rows: Rows) -> list[Places]:
    """Returns the batches in which a teacher reads rows."""
    return by_length(rows.lengths, BATCH_SIZE)


def _starts(rows: Rows) -> Places:
    """Returns where the logits of each row begin, in rows or tokens: int64 [rows + 1]."""
    return rows.starts if rows.kind == "spans" else np.arange(len(rows) + 1)
