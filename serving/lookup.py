"""Greedy text, several tokens a step: where a text repeats itself, it says what comes next.

For one row a decoder takes about as long to read four tokens as to read one, for it is reading the
weights that takes time. So behind the last token it is given what came behind the same token
before, and what it would have written itself is kept.

Source: https://github.com/apoorvumang/prompt-lookup-decoding; tokens that the decoder does not
agree with are dropped as in https://arxiv.org/abs/2211.17192, greedy being the simplest case.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from textmill.serving.endings import is_end, without_early_ends
from textmill.serving.read import following
from textmill.serving.steps import stepped

if TYPE_CHECKING:
    import tensorflow as tf

    from textmill.serving.endings import Endings
    from textmill.serving.read import Caches, Reader
    from textmill.serving.room import Room

GUESSES = 3  # tokens that are read behind the last one
ROWS = 2  # of more, a step with guesses takes much longer than one without


class _State(NamedTuple):
    """How far the rows are.

    Attributes:
        text: int32 [rows, slots], prompts and what is written, -1 where there is nothing yet.
        count: int32 [rows], how many tokens are new.
        alive: bool [rows], which rows go on.
    """

    text: tf.Tensor
    count: tf.Tensor
    alive: tf.Tensor


def guessed(text: tf.Tensor, place: tf.Tensor) -> tf.Tensor:
    """Returns what came behind the same token before.

    Where the token before it was the same too, that place is taken, else the last one.

    Args:
        text: int32 [rows, slots], -1 where there is nothing yet.
        place: int32 [rows], of the last token of each.

    Returns:
        int32 [rows, GUESSES], any tokens where there is no such place.

    Example:
        >>> import tensorflow as tf
        >>> guessed(tf.constant([[5, 1, 2, 3, 4, 6, 2, 9, 1, 2, -1]]), tf.constant([9])).numpy()
        array([[3, 4, 6]], dtype=int32)
    """
    import tensorflow as tf

    slots = tf.shape(text)[1]
    places = tf.range(slots)[None]
    before = tf.pad(text[:, :-1], [[0, 0], [1, 0]], constant_values=-1)
    here, there = (tf.gather(each, place, batch_dims=1)[:, None] for each in (text, before))
    same = (text == here) & (places < place[:, None])
    rank = tf.where(same, tf.where(before == there, places + slots, places), -1)
    first = tf.argmax(rank, 1, tf.int32) + 1
    behind = tf.minimum(first[:, None] + tf.range(GUESSES), slots - 1)
    return tf.maximum(tf.gather(text, behind, batch_dims=1), 0)


def generate_greedily(
    network: Reader,
    logits: tf.Tensor,
    caches: Caches,
    slots: tf.Tensor,
    held: Room,
    least: tf.Tensor,
    endings: Endings,
) -> tf.Tensor:
    """Returns the likeliest tokens behind prompts.

    Args:
        network: Predicts the next token, in the graph where this is called.
        logits: float32 [rows, vocabulary], of the token behind each prompt.
        caches: Of what was read.
        slots: Tokens that a row has room for in them, `GUESSES` more than the longest text.
        held: The prompts.
        least: int32 [rows], before how many new tokens no text may end.
        endings: The tokens that end a text; there are no strings.

    Returns:
        int32 [rows, most], -1 where there is none.
    """
    import tensorflow as tf

    time = tf.shape(held.token_ids)[1]

    def went_on(before: _State, guesses: tf.Tensor, logits: tf.Tensor) -> _State:
        """Returns what a step makes of logits, [rows * (guesses + 1), vocabulary]."""
        each = guesses.shape[1] + 1
        step = before.count[:, None] + tf.range(each)
        early = tf.reshape(step < least[:, None], [-1])
        found = tf.argmax(without_early_ends(logits, early, endings), 1, tf.int32)
        found = tf.reshape(found, [-1, each])
        ends = is_end(found, endings)
        # A token counts if all before it were guessed, and none of them ended the text.
        right = tf.cast(tf.equal(guesses, found[:, :-1]) & ~ends[:, :-1], tf.int32)
        taken = 1 + tf.reduce_sum(tf.math.cumprod(right, 1), 1)
        taken = tf.where(before.alive, tf.minimum(taken, held.most - before.count), 0)
        stopped = tf.reduce_any(ends & (tf.range(each) < taken[:, None]), 1)
        place = tf.range(slots) - (held.lengths + before.count)[:, None]
        new = tf.gather(found, tf.clip_by_value(place, 0, each - 1), batch_dims=1)
        text = tf.where((place >= 0) & (place < taken[:, None]), new, before.text)
        count = before.count + taken
        return _State(text, count, before.alive & ~stopped & (count < held.most))

    def body(state: _State, caches: Caches) -> tuple[_State, Caches]:
        last = held.lengths + state.count - 1
        guesses = guessed(state.text, last)
        tokens = tf.concat([tf.gather(state.text, last[:, None], batch_dims=1), guesses], 1)
        read = following(last, slots, GUESSES + 1, held.slots)
        x, caches = network(tf.reshape(tokens, [-1]), read, caches)
        return went_on(state, guesses, network.logits(x)), caches

    inside = tf.range(time)[None] < held.lengths[:, None]
    text = tf.pad(
        tf.where(inside, held.token_ids, -1), [[0, 0], [0, slots - time]], constant_values=-1
    )
    state = _State(text, tf.zeros_like(held.lengths), held.most > 0)
    none = tf.zeros(tf.stack([tf.shape(text)[0], 0]), tf.int32)
    state = went_on(state, tf.ensure_shape(none, [None, 0]), logits)
    state = stepped(lambda state: state.alive, body, state, caches)
    place = tf.range(held.widest)[None]
    new = tf.gather(state.text, tf.minimum(held.lengths[:, None] + place, slots - 1), batch_dims=1)
    return tf.where(place < state.count[:, None], new, -1)
