"""Token ids of texts to what a model reads, in a graph: special tokens, pairs, windows, padding."""

from __future__ import annotations

from collections.abc import Sequence
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

    def most(self, *, pair: bool = False) -> int | None:
        """Returns how many tokens of a text can matter, None: all of them.

        Of two texts that are both too long, the longer one has the token that is left over where
        the room is odd: so it counts how long they are.

        Args:
            pair: Whether a row has two texts.
        """
        room = self.frame.room(self.max_length, pair=pair)
        if pair:
            return None if room % 2 else room
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
    sizes, starts = pieces.row_lengths(), pieces.row_starts()
    texts = tf.range(tf.size(sizes, out_type=tf.int64))
    firsts = tf.zeros_like(texts)
    special = (*frame.before, *frame.between, *frame.after, framing.padding)
    values = [pieces.flat_values, tf.constant(special, tf.int32)]
    parts: list[int | tuple[tf.Tensor, tf.Tensor]]
    if pair is not None:
        kept, kept_pair = _shares(sizes, pair.row_lengths(), room)
        values.insert(1, pair.flat_values)
        begins_pair = pair.row_starts() + tf.size(pieces.flat_values, out_type=tf.int64)
        parts = [(starts, kept), len(frame.between), (begins_pair, kept_pair)]
    elif framing.overlap is not None:
        step = room - framing.overlap
        counts = 1 + tf.maximum(tf.zeros_like(sizes), -(-(sizes - room) // step))
        counts = tf.minimum(counts, framing.windows)
        numbers = tf.ragged.range(counts)
        texts, firsts = numbers.value_rowids(), step * numbers.flat_values
        kept = tf.minimum(tf.gather(sizes, texts) - firsts, room)
        parts = [(tf.gather(starts, texts) + firsts, kept)]
    else:
        parts = [(starts, tf.minimum(sizes, room))]
    token_ids, mask = _joined(
        tf.concat(values, 0), [len(frame.before), *parts, len(frame.after)], len(special)
    )
    return Rows(
        token_ids,
        mask,
        segments(token_ids, frame.separator if pair is not None else None),
        texts,
        firsts,
    )


def _joined(
    values: tf.Tensor, parts: Sequence[int | tuple[tf.Tensor, tf.Tensor]], special: int
) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns rows of values, int32 [rows, time], and where they are no padding, bool likewise.

    Args:
        values: int32; at its end the special tokens in the order in which they come, and padding.
        parts: What stands side by side in a row: so many special tokens, or what begins somewhere
            in `values` and has some size, both int64 [rows].
        special: How many special tokens there are, padding counted.
    """
    import tensorflow as tf

    sizes = [part if isinstance(part, int) else part[1][:, None] for part in parts]
    lengths = tf.cast(sum(sizes), tf.int64)
    # A layer may look at the first token, so there is one even where there are no rows.
    longest = tf.reduce_max(tf.concat([lengths[:, 0], [1]], 0))
    column = tf.range(longest)
    next_special = tf.size(values, out_type=tf.int64) - special
    place, index = tf.constant(0, tf.int64), column
    for part, size in zip(parts, sizes, strict=True):
        begin = next_special if isinstance(part, int) else part[0][:, None]
        index = tf.where(column < place, index, column + (begin - place))
        place += tf.cast(size, tf.int64)
        if isinstance(part, int):
            next_special += part
    mask = column < lengths
    token_ids = tf.gather(values, tf.where(mask, index, next_special))
    return tf.ensure_shape(token_ids, [None, None]), mask


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
