"""Tokens that are read at once: where they stand, and what they may look at."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    import tensorflow as tf

    Caches = list[tf.Tensor]

HIDDEN = -1e9  # added to the attention of what a token may not see


class Read(NamedTuple):
    """The tokens that are read at once, and where they stand.

    A row's tokens stand one behind the other from place 0; its cache has a slot for each place.

    Attributes:
        places: int32 [tokens], of each its place in its row.
        slots: int32 [tokens], the slot among those of all rows, [rows, slots] counted through.
        spread: int32 [rows, time], which token is read at a time; of a row that has fewer some
            other.
        joined: int32 [tokens], which of [rows, time] a token is.
        hidden: float32, 0 where a token may look, else `HIDDEN`: [1, 1, time, slots], where
            `few` [rows, 1, slots, time], of a source [rows, 1, 1, slots].
        count: int32 [3], rows, time and slots.
        few: `time`, if every row has so few tokens that they are read as steps of decoding are:
            those of a row stand one behind the other. Else 0.
    """

    places: tf.Tensor
    slots: tf.Tensor
    spread: tf.Tensor
    joined: tf.Tensor
    hidden: tf.Tensor
    count: tf.Tensor
    few: int = 0


class Reader(Protocol):
    """What reads tokens and predicts the next ones, its weights tensors of one graph.

    Texts are generated and scored with any such thing, a decoder of an encoded text for example.

    Attributes:
        longest: Tokens that a row may have.
        guesses: Whether what comes next may be guessed from a row's own text; see
            `textmill.serving.lookup`.
        counted: Tokens at the end of each prompt that count to what is written behind it.
    """

    longest: int
    guesses: bool
    counted: int

    def caches(self, rows: tf.Tensor, slots: tf.Tensor) -> Caches:
        """Returns empty caches for rows of at most so many tokens."""

    def __call__(
        self, token_ids: tf.Tensor, read: Read, caches: Caches
    ) -> tuple[tf.Tensor, Caches]:
        """Returns what becomes of tokens, float32 [tokens, width], and the caches with them."""

    def logits(self, x: tf.Tensor) -> tf.Tensor:
        """Returns the logits of the token behind each, float32 [tokens, vocabulary]."""

    def picked(self, caches: Caches, rows: tf.Tensor, which: tf.Tensor) -> Caches:
        """Returns the caches of some rows, in their order, one as often as it is named.

        Args:
            caches: Of so many `rows`.
            rows: int32 [].
            which: int32 [new rows], of each the row that it was.
        """


def prompt(token_ids: tf.Tensor, lengths: tf.Tensor, slots: tf.Tensor) -> tuple[tf.Tensor, Read]:
    """Returns the tokens of prompts, and where they are, for a decoder to read.

    Args:
        token_ids: int32 [rows, time], each row padded behind its end.
        lengths: int32 [rows], its tokens, one at least.
        slots: Tokens that a row has room for.
    """
    import tensorflow as tf

    rows, time = tf.shape(token_ids)[0], tf.shape(token_ids)[1]
    held = tf.sequence_mask(lengths, time)
    joined = tf.cast(tf.where(tf.reshape(held, [-1]))[:, 0], tf.int32)
    row, place = joined // time, joined % time
    firsts = tf.cumsum(lengths, exclusive=True)
    spread = tf.minimum(firsts[:, None] + tf.range(time), tf.size(joined) - 1)
    visible = tf.range(slots)[None, :] <= tf.range(time)[:, None]
    hidden = tf.where(visible, 0.0, HIDDEN)[None, None]
    count = tf.stack([rows, time, slots])
    return (
        tf.gather(tf.reshape(token_ids, [-1]), joined),
        Read(place, row * slots + place, spread, joined, hidden, count),
    )


def source(sources: tf.RaggedTensor) -> tuple[tf.Tensor, Read]:
    """Returns the tokens of sources, and where they are, for an encoder to read.

    Every token sees all of its source.

    Args:
        sources: int32 [rows, (tokens)], one at least in each.
    """
    import tensorflow as tf

    lengths = tf.cast(sources.row_lengths(), tf.int32)
    rows, time = tf.size(lengths), tf.reduce_max(tf.concat([lengths, [1]], 0))
    row, firsts = tf.cast(sources.value_rowids(), tf.int32), tf.cumsum(lengths, exclusive=True)
    count = tf.size(row)
    place = tf.range(count) - tf.gather(firsts, row)
    joined = row * time + place
    spread = tf.minimum(firsts[:, None] + tf.range(time), count - 1)
    hidden = tf.where(tf.range(time) < lengths[:, None], 0.0, HIDDEN)[:, None, None]
    read = Read(place, joined, spread, joined, hidden, tf.stack([rows, time, time]))
    return sources.flat_values, read


def following(
    places: tf.Tensor, slots: tf.Tensor, few: int = 1, longest: tf.Tensor | None = None
) -> Read:
    """Returns where the next tokens of each row are.

    Args:
        places: int32 [rows], the place of the first.
        slots: Tokens that a row has room for.
        few: How many each row has.
        longest: How many a row may have where there is room for more, which no text keeps then.
    """
    import tensorflow as tf

    rows = tf.size(places)
    slot = places[:, None] + tf.range(few)
    hidden = tf.where(tf.range(slots)[:, None] <= slot[:, None, None, :], 0.0, HIDDEN)
    place = slot if longest is None else tf.minimum(slot, longest - 1)
    token = tf.range(rows * few)
    return Read(
        tf.reshape(place, [-1]),
        tf.reshape(tf.range(rows)[:, None] * slots + slot, [-1]),
        tf.reshape(token, [-1, few]),
        token,
        hidden,
        tf.stack([rows, few, slots]),
        few,
    )
