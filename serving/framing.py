"""Token ids of texts to what a model reads, in a graph: special tokens, pairs, windows, padding."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from textmill.frame import Frame

if TYPE_CHECKING:
    import tensorflow as tf


class Framing(NamedTuple):
    """How rows are made of texts; the same as in training, see `textmill.models.framing.frame`.

    Attributes:
        frame: The special tokens.
        max_length: Tokens a row at most.
        overlap: Tokens that a window shares with the one before; None: a text is one row.
        windows: How many windows a text has at most.
        padding: The id behind the end of a row.
    """

    frame: Frame
    max_length: int
    overlap: int | None = None
    windows: int = 1
    padding: int = 0

    @property
    def most(self) -> int:
        """How many tokens of a text can matter."""
        room = self.frame.room(self.max_length)
        if self.overlap is None:
            return room
        return room + (self.windows - 1) * (room - self.overlap)


class Rows(NamedTuple):
    """Rows that a model reads.

    Attributes:
        token_ids: int32 [rows, time], padded to the longest row, one position at least.
        padding_mask: bool [rows, time], true where there is a token.
        segment_ids: int32 [rows, time], 1 in the second of two texts.
        texts: int64 [rows], ascending: the text that a row is of.
        firsts: int64 [rows], which of the text's tokens is the row's first.
    """

    token_ids: tf.Tensor
    padding_mask: tf.Tensor
    segment_ids: tf.Tensor
    texts: tf.Tensor
    firsts: tf.Tensor


def rows_of(pieces: tf.RaggedTensor, framing: Framing, pair: tf.RaggedTensor | None = None) -> Rows:
    """Returns the rows of some texts, or of some pairs of texts.

    Args:
        pieces: int32 [texts, (tokens)], without special tokens.
        framing: How.
        pair: The second text of each row, likewise.
    """
    import tensorflow as tf

    frame = framing.frame
    room = frame.room(framing.max_length, pair=pair is not None)
    sizes = pieces.row_lengths()
    starts = pieces.row_starts()
    texts = tf.range(tf.size(sizes, out_type=tf.int64))
    firsts = tf.zeros_like(texts)
    if pair is not None:
        kept, kept_pair = _shares(sizes, pair.row_lengths(), room)
        parts = [
            frame.before,
            _part(pieces, starts, kept),
            frame.between,
            _part(pair, pair.row_starts(), kept_pair),
            frame.after,
        ]
    else:
        if framing.overlap is not None:
            step = room - framing.overlap
            counts = 1 + tf.maximum(tf.zeros_like(sizes), -(-(sizes - room) // step))
            counts = tf.minimum(counts, framing.windows)
            numbers = tf.ragged.range(counts)
            texts, firsts = numbers.value_rowids(), step * numbers.flat_values
        kept = tf.minimum(tf.gather(sizes, texts) - firsts, room)
        begins = tf.gather(starts, texts) + firsts
        parts = [frame.before, _part(pieces, begins, kept), frame.after]
    count = tf.size(texts)
    ids = tf.concat(
        [
            tf.tile(tf.constant(part, tf.int32, [1, len(part)]), [count, 1])
            if isinstance(part, tuple)
            else part
            for part in parts
        ],
        1,
    )
    lengths = ids.row_lengths()
    # A layer may look at the first token, so there is one even where there are no rows.
    longest = tf.reduce_max(tf.concat([lengths, [1]], 0))
    padded = ids.to_tensor(framing.padding, shape=tf.stack([-1, longest]))
    token_ids = tf.ensure_shape(padded, [None, None])
    return Rows(
        token_ids,
        tf.sequence_mask(lengths, longest),
        segments(token_ids, frame.separator if pair is not None else None),
        texts,
        firsts,
    )


def _part(pieces: tf.RaggedTensor, begins: tf.Tensor, sizes: tf.Tensor) -> tf.RaggedTensor:
    import tensorflow as tf

    return tf.gather(pieces.flat_values, tf.ragged.range(begins, begins + sizes))


def segments(token_ids: tf.Tensor, separator: int | None) -> tf.Tensor:
    """Returns the segments of tokens: 1 in the second of two texts.

    Args:
        token_ids: int32 [rows, time].
        separator: What is behind the first text; None where segments tell nothing.

    Returns:
        int32 [rows, time].
    """
    import tensorflow as tf

    if separator is None:
        return tf.zeros_like(token_ids)
    ends = tf.cast(token_ids == separator, tf.int32)
    # Padding counts as part of the second text; nothing attends to it.
    return tf.minimum(tf.cumsum(ends, axis=1, exclusive=True), 1)


def _shares(first: tf.Tensor, second: tf.Tensor, room: int) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns how many tokens of two texts fit, as `textmill.models.framing.shares` does."""
    import tensorflow as tf

    short, long = tf.minimum(first, second), tf.maximum(first, second)
    fitting = tf.where(short > room, short, tf.maximum(short, room - short))
    whole, halves = short + long <= room, short + fitting > room
    half, rest = tf.constant(room // 2, tf.int64), tf.constant(room - room // 2, tf.int64)
    short = tf.where(whole, short, tf.where(halves, half, short))
    long = tf.where(whole, long, tf.where(halves, rest, fitting))
    swapped = first > second
    return tf.where(swapped, long, short), tf.where(swapped, short, long)
