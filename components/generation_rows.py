"""Token ids of rows that a model is to write, and the shards that hold them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from textmill.artifact import Examples, Split, Tokens, TokensInfo
from textmill.components.records import records
from textmill.components.token_shards import TokenShards
from textmill.models.token_ids import Pieces
from textmill.progress import advance, warn

BYTES = 4 << 20  # of text, or a row, are tokenized at a time


@dataclass(frozen=True)
class Made:
    """Token ids of some rows.

    Attributes:
        pieces: The ids; a row without any is left out.
        labels: int64, [tokens] where some of a row are learned, [rows] where all are.
        size: Bytes of what is to be written.
        cut: Rows that were cut off or left out.
    """

    pieces: Pieces
    labels: Any
    size: int
    cut: int = 0


def write_split(
    out: Tokens,
    examples: Examples,
    split: Split,
    make: Callable[..., Made],
    info: TokensInfo,
    *,
    pair: bool = False,
) -> None:
    """Writes the shards of a split, and to `info` what is in them.

    Args:
        out: Whose.
        examples: The rows.
        split: Which.
        make: From texts, string [rows], to their token ids; from two of them where rows are pairs.
        info: Gets rows, tokens, truncated and bytes of the split.
        pair: Whether rows are of two texts.
    """
    schema, total, size, cut, seen, left_out = examples.schema(), 0, 0, 0, 0, 0
    columns = [name for name in (schema["text"], schema["pair"] if pair else None) if name]
    with TokenShards(out, split) as shards:
        for batch in examples.batches(split, columns):
            step = max(1, BYTES * batch.num_rows // max(1, batch.nbytes))
            for start in range(0, batch.num_rows, step):
                made = make(*(column[start : start + step] for column in batch.columns))
                ids, starts = made.pieces
                rows = np.flatnonzero(np.diff(starts))
                each = np.arange(len(rows) + 1)
                full = np.concatenate([starts[rows], starts[-1:]])
                labels = (made.labels, full if len(made.labels) == len(ids) else each)
                shards.write(
                    records({"token_ids": (ids, full), "label": labels, "row": (seen + rows, each)})
                )
                seen += len(starts) - 1
                left_out += len(starts) - 1 - len(rows)
                total, size, cut = total + len(ids), size + made.size, cut + made.cut
                advance(seen, schema["rows"].get(split), split)
    if left_out:
        warn(f"{left_out} conversations of {split} are too long for any of their responses")
    info["rows"][split], info["tokens"][split], info["truncated"][split] = shards.rows, total, cut
    info.setdefault("bytes", {})[split] = size
