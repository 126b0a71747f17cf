"""The part of a vocabulary that texts use: embeddings of other tokens need not be served."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from textmill.errors import UserError
from textmill.frame import Frame
from textmill.models.rows import Rows

if TYPE_CHECKING:
    from pathlib import Path

    import numpy.typing as npt

    from textmill.encoder_weights import EncoderWeights

    Ints = npt.NDArray[np.int32]

BATCH = 1 << 20  # tokens that are looked at together


def stand_ins(rows: Rows, size: int, frame: Frame, tokenizer_file: Path) -> Ints:
    """Returns which token is read for each: itself, or the unknown one where texts never had it.

    Args:
        rows: Of the texts.
        size: How many tokens the vocabulary has.
        frame: Its special tokens, which stay.
        tokenizer_file: The `tokenizer.json`.

    Returns:
        int32 [size].

    Raises:
        UserError: The vocabulary has no token for what is unknown.
    """
    from textmill.models.tokenizer import read_tokenizer

    unknown = frame.unknown
    if unknown in {*frame.before, *frame.between, *frame.after}:
        raise UserError(
            "the vocabulary can't be pruned",
            expected="a tokenizer with a token for what is unknown, such as [UNK]",
            received=f"{tokenizer_file.name} with none; byte-level BPE knows every text",
            fix="leave pruned_vocabulary out of optimize.candidates",
        )
    used = np.zeros(size, np.bool_)
    total = int(rows.starts[-1])
    for first in range(0, total, BATCH):
        used[rows.token_ids[first : min(first + BATCH, total)]] = True
    special = read_tokenizer(tokenizer_file).get_added_tokens_decoder()
    kept = [unknown, *frame.before, *frame.between, *frame.after, *special]
    used[[i for i in kept if i < size]] = True
    return np.where(used, np.arange(size), unknown).astype(np.int32)


def pruned(weights: EncoderWeights, stands: Ints) -> EncoderWeights:
    """Returns weights without the embeddings of tokens for which another one stands.

    Args:
        weights: Of a whole encoder.
        stands: As `stand_ins` returns it.
    """
    kept, rows = rows_of(stands)
    return weights._replace(tokens=weights.tokens[kept], rows=rows)


def rows_of(stands: Ints) -> tuple[Ints, Ints]:
    """Returns the tokens that stay, and for each id the place of its stand-in among them.

    Example:
        >>> kept, rows = rows_of(np.array([0, 1, 1, 3], np.int32))
        >>> kept.tolist(), rows.tolist()
        ([0, 1, 3], [0, 1, 1, 2])
    """
    kept, rows = np.unique(stands, return_inverse=True)
    return kept, rows.reshape(-1).astype(np.int32)


def unread(stands: Ints) -> int:
    """Returns for how many tokens another one stands.

    Example:
        >>> unread(np.array([0, 1, 1, 3], np.int32))
        1
    """
    return int((stands != np.arange(len(stands))).sum())
