"""Token ids of texts to rows that a model reads: special tokens, pairs, windows over long texts."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from textmill.frame import Frame
from textmill.models.token_ids import Pieces, take

if TYPE_CHECKING:
    import numpy.typing as npt

    Ints = npt.NDArray[np.int64]


class Framed(NamedTuple):
    """Rows for a model.

    Attributes:
        ids: int64 [tokens], special tokens included, all rows one behind the other.
        starts: int64 [rows + 1].
        texts: int64 [rows], the text that a row is of; a long one has several.
        firsts: int64 [rows], which of the text's tokens is the row's first.
        truncated: Texts of which the end is missing.
    """

    ids: Ints
    starts: Ints
    texts: Ints
    firsts: Ints
    truncated: int


def frame(
    pieces: Pieces,
    frame: Frame,
    max_length: int,
    *,
    pair: Pieces | None = None,
    overlap: int | None = None,
    windows: int = 1,
) -> Framed:
    """Puts special tokens around texts, and cuts what is too long, or slides a window over it.

    Of two texts the longer one is cut first, as `truncation="longest_first"` of the `tokenizers`
    library does; its windows are those of `stride`.

    Args:
        pieces: The texts.
        frame: The special tokens.
        max_length: Tokens a row at most.
        pair: The second text of each row.
        overlap: Tokens that a window shares with the one before; None: one window, the beginning.
        windows: How many a text has at most.
    """
    room = frame.room(max_length, pair=pair is not None)
    sizes = np.diff(pieces.starts)
    if pair is not None:
        others = np.diff(pair.starts)
        kept, kept_others = shares(sizes, others, room)
        texts = np.arange(len(sizes))
        cut = int(((kept < sizes) | (kept_others < others)).sum())
        ids, starts = _joined(
            len(texts),
            frame.before,
            (pieces.ids, pieces.starts[:-1], kept),
            frame.between,
            (pair.ids, pair.starts[:-1], kept_others),
            frame.after,
        )
        return Framed(ids, starts, texts, np.zeros_like(texts), cut)
    step = room - (overlap or 0)
    counts = np.ones(len(sizes), np.int64)
    if overlap is not None:
        counts = np.minimum(1 + np.maximum(0, -(-(sizes - room) // step)), windows)
    texts = np.repeat(np.arange(len(sizes)), counts)
    ends = np.cumsum(counts)
    firsts = step * (np.arange(counts.sum()) - np.repeat(ends - counts, counts))
    kept = np.minimum(sizes[texts] - firsts, room)
    cut = int((step * (counts - 1) + room < sizes).sum())
    begins = pieces.starts[texts] + firsts
    ids, starts = _joined(len(texts), frame.before, (pieces.ids, begins, kept), frame.after)
    return Framed(ids, starts, texts, firsts, cut)


def shares(first: Ints, second: Ints, room: int) -> tuple[Ints, Ints]:
    """Returns how many tokens of two texts fit: the longer one is cut to the other's length first.

    Args:
        first: Tokens of the first text of each row [rows].
        second: Of the second.
        room: For both.

    Example:
        >>> kept = shares(np.array([9, 2, 9]), np.array([2, 9, 9]), 7)
        >>> kept[0].tolist(), kept[1].tolist()
        ([5, 2, 3], [2, 5, 4])

    Source: `truncate_encodings` of huggingface/tokenizers, `utils/truncation.rs`.
    """
    short, long = np.minimum(first, second), np.maximum(first, second)
    fitting = np.where(short > room, short, np.maximum(short, room - short))
    halves = short + fitting > room
    # Where nothing is too long, nothing is cut.
    whole = short + long <= room
    short = np.where(whole, short, np.where(halves, room // 2, short))
    long = np.where(whole, long, np.where(halves, room // 2 + room % 2, fitting))
    swapped = first > second
    return np.where(swapped, long, short), np.where(swapped, short, long)


def _joined(rows: int, *parts: tuple[int, ...] | tuple[Ints, Ints, Ints]) -> tuple[Ints, Ints]:
    """Returns rows and their starts, each of them made of the same parts.

    Args:
        rows: How many.
        parts: Ids that are the same in every row; or ids, and of each row where its own begin among
            them and how many they are.
    """
    values, begins, sizes, offset = [], [], [], 0
    for part in parts:
        if len(part) == 3 and isinstance(part[0], np.ndarray):
            ids, begin, size = part
        else:
            ids = np.array(part, np.int64)
            begin, size = np.zeros(rows, np.int64), np.full(rows, len(ids))
        values.append(ids)
        begins.append(begin + offset)
        sizes.append(size)
        offset += len(ids)
    every = np.stack(sizes, 1)
    ids = take(np.concatenate(values), np.stack(begins, 1).ravel(), every.ravel())
    return ids, np.concatenate([[0], np.cumsum(every.sum(1))])
