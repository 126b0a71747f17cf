"""Texts with labels to the rows of a split."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from textmill.artifact import SpanCounts, Split, Tokens, TokensInfo
from textmill.components.records import records
from textmill.components.token_shards import TokenShards
from textmill.models.row_maker import Made, RowMaker
from textmill.progress import advance, warn

if TYPE_CHECKING:
    import numpy.typing as npt
    import pyarrow as pa

    Ints = npt.NDArray[np.int64]
    # Texts, second texts if there are, and labels, as Examples hold them: string [texts] each.
    Labelled = tuple[pa.Array, pa.Array | None, pa.Array]

BYTES = 4 << 20  # of text, or a row, are tokenized at a time


def write_split(
    out: Tokens,
    split: Split,
    pieces: Iterable[Labelled],
    make: RowMaker,
    info: TokensInfo,
    *,
    expected: int | None,
) -> None:
    """Writes the rows of a split, and counts them in `info`.

    Args:
        out: Gets `<split>/part-*.tfrecord`.
        split: Which.
        pieces: Its texts, as many at a time as are tokenized at a time.
        make: Makes rows of them.
        info: Gets rows, tokens, truncated and lengths of the split, and counts of its spans.
        expected: How many texts there are, as far as is known.
    """
    lengths = np.zeros(info["max_length"] + 1, np.int64)
    texts = truncated = 0
    spans: Counter[str] = Counter()
    windows = info["overlap"] is not None
    with TokenShards(out, split) as shards:
        for made in _made(pieces, split, make):
            shards.write(records(_columns(made, texts, windows=windows)))
            texts += made.texts
            lengths += np.bincount(np.diff(made.framed.starts), minlength=len(lengths))
            truncated += made.framed.truncated
            spans.update(made.spans or {})
            advance(texts, expected, split)
    if info["kind"] == "spans":
        counts = cast("SpanCounts", {name: spans[name] for name in SpanCounts.__annotations__})
        info.setdefault("spans", {})[split] = counts
        _warn_of_spans(split, counts, info)
    info["rows"][split] = shards.rows
    info["tokens"][split] = int(lengths @ np.arange(len(lengths)))
    info["truncated"][split] = truncated
    info["lengths"][split] = lengths.tolist()


def _warn_of_spans(split: Split, counts: SpanCounts, info: TokensInfo) -> None:
    """Says what of the spans can't be learned, and so is missed where it is evaluated."""
    every, lost = counts["spans"], counts["behind"] + counts["across"]
    if lost:
        parts = f"{counts['behind']} whole, {counts['across']} in part"
        more = "set model.overlap" if info["overlap"] is None else "model.windows"
        warn(
            f"{split}: {lost} of {every} spans are cut off by max_length = {info['max_length']}"
            f" ({parts}): they count as missed; raise model.max_length, or {more}"
        )
    if inside := counts["inside_words"]:
        warn(
            f"{split}: {inside} of {every} spans do not begin and end with words; all that they"
            " touch is tagged, and the answer counts as another span"
        )


def in_pieces(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Yields the rows of batches, as many as are tokenized at a time."""
    for batch in batches:
        size = max(1, BYTES * batch.num_rows // max(1, batch.nbytes))
        for start in range(0, batch.num_rows, size):
            yield batch.slice(start, size)


def _columns(made: Made, texts: int, *, windows: bool) -> dict[str, tuple[Any, Ints]]:
    """Returns the features of rows, the first of which is of text number `texts`."""
    framed, single = made.framed, np.arange(len(made.framed.texts) + 1)
    found: dict[str, tuple[Any, Ints]] = {
        "token_ids": (framed.ids, framed.starts),
        "label": (made.labels.values, made.labels.starts),
        "row": (framed.texts + texts, single),
    }
    if made.unread is not None:
        found["unread"] = (made.unread.values, made.unread.starts)
    return found | ({"first": (framed.firsts, single)} if windows else {})


def _made(pieces: Iterable[Labelled], split: Split, make: RowMaker) -> Iterator[Made]:
    """Yields rows, a piece while a thread makes the next."""
    ahead: deque[Future[Made]] = deque()
    with ThreadPoolExecutor(1) as thread:
        for texts, pairs, labels in pieces:
            ahead.append(thread.submit(make, texts, pairs, labels, split))
            if len(ahead) > 2:
                yield ahead.popleft().result()
        while ahead:
            yield ahead.popleft().result()
