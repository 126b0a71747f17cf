"""Text that goes on: from the tokens of prompts to those that a decoder puts behind them."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from textmill.serving.endings import Endings, ended, without_ends
from textmill.serving.lookup import GUESSES, ROWS, generate_greedily
from textmill.serving.processors import NONE, Processors, before_penalty, behind_penalty
from textmill.serving.read import following
from textmill.serving.room import Room, room
from textmill.serving.sampling import Wishes, drawn, draws, penalized
from textmill.serving.steps import begun, stepped

if TYPE_CHECKING:
    import tensorflow as tf

    from textmill.serving.read import Caches, Reader


class _State(NamedTuple):
    """How far the rows are.

    Attributes:
        step: int32 [], the place among new tokens of those drawn last.
        token: int32 [rows], drawn last.
        new: int32 [rows, most], all new tokens, -1 where there is none.
        alive: bool [rows], which rows go on.
        tail: string [rows], the last bytes of the text, which may end inside a character.
    """

    step: tf.Tensor
    token: tf.Tensor
    new: tf.Tensor
    alive: tf.Tensor
    tail: tf.Tensor


def generate(
    network: Reader,
    prompts: tf.RaggedTensor,
    wishes: Wishes,
    endings: Endings,
    processors: Processors = NONE,
) -> tuple[tf.RaggedTensor, tf.Tensor]:
    """Returns what comes behind prompts.

    Args:
        network: Predicts the next token, in the graph where this is called.
        prompts: int32 [rows, (tokens)], one at least in each; of long ones the end is read, see
            `room`.
        wishes: How each row is decoded.
        endings: With what a text ends.
        processors: What is done to logits, whatever is wished for.

    Returns:
        int32 [rows, (tokens)] without the token that ended a row, and int32 [rows], how many there
        are, that one counted. Of a prompt, the tokens that count to what is written are there too,
        see `Reader.counted`. A row that a string ended has all its tokens still.
    """
    import tensorflow as tf

    wanted, wishes = wishes, wishes.behind(network.counted)
    held = room(prompts, wishes.max_new_tokens, network.longest)
    looked_up = network.guesses and not endings.strings and not any(processors)
    slots = held.slots + GUESSES if looked_up else held.slots
    logits, caches = begun(network, held, slots)

    def one_by_one() -> tf.Tensor:
        return _one_by_one(network, logits, caches, slots, held, wishes, endings, processors)

    def greedily() -> tf.Tensor:
        return generate_greedily(
            network, logits, caches, slots, held, wishes.min_new_tokens, endings
        )

    if not looked_up:
        return counted_too(network, prompts, wanted, *without_ends(one_by_one(), endings))
    greedy = tf.reduce_all((wishes.temperature <= 0) & (wishes.repetition_penalty == 1))
    new = tf.cond(greedy & (tf.size(held.lengths) <= ROWS), greedily, one_by_one)
    return counted_too(network, prompts, wanted, *without_ends(new, endings))


def counted_too(
    network: Reader,
    prompts: tf.RaggedTensor,
    wishes: Wishes,
    found: tf.RaggedTensor,
    drawn: tf.Tensor,
) -> tuple[tf.RaggedTensor, tf.Tensor]:
    """Returns what `generate` does, of what was drawn behind prompts.

    Args:
        network: As there.
        prompts: Likewise.
        wishes: Likewise, as given.
        found: int32 [rows, (tokens)], those that were drawn, without ends.
        drawn: int32 [rows], how many.
    """
    import tensorflow as tf

    if not network.counted:
        return found, drawn
    begun = prompts[:, -network.counted :]
    there = tf.clip_by_value(wishes.max_new_tokens, 0, network.counted)
    kept = tf.range(network.counted)[None] < there[:, None]
    begun = tf.ragged.boolean_mask(begun.to_tensor(shape=[None, network.counted]), kept)
    return tf.concat([begun, found], 1), there + drawn


def _one_by_one(
    network: Reader,
    logits: tf.Tensor,
    caches: Caches,
    slots: tf.Tensor,
    held: Room,
    wishes: Wishes,
    endings: Endings,
    processors: Processors,
) -> tf.Tensor:
    """Returns tokens behind prompts, decoded as wished for; see `generate_greedily`."""
    import tensorflow as tf

    rows, end = tf.size(held.lengths), held.slots
    chances = tf.cond(
        tf.reduce_any(wishes.temperature > 0),
        lambda: draws(wishes.seed, network.longest),
        lambda: tf.zeros([rows, network.longest]),
    )

    def went_on(before: _State, logits: tf.Tensor) -> _State:
        step = before.step + 1
        logits = heeded(logits, before.new, step, held, wishes, endings, processors)
        token = drawn(logits, wishes, chances[:, step])
        place = tf.stack([tf.range(rows), tf.fill([rows], step)], 1)
        new = tf.tensor_scatter_nd_update(before.new, place, tf.where(before.alive, token, -1))
        stopped, tail = ended(before.tail, token, endings)
        return _State(step, token, new, before.alive & ~stopped & (step + 1 < held.most), tail)

    state = _State(
        tf.constant(-1),
        tf.zeros([rows], tf.int32),
        tf.fill(tf.stack([rows, held.widest]), -1),
        held.most > 0,
        tf.fill([rows], ""),
    )
    state = went_on(state, logits)

    def body(state: _State, caches: Caches) -> tuple[_State, Caches]:
        places = tf.minimum(held.lengths + state.step, end - 1)  # of rows that ended, any will do
        x, caches = network(state.token, following(places, slots), caches)
        return went_on(state, network.logits(x)), caches

    return stepped(lambda state: state.alive, body, state, caches).new


def heeded(
    logits: tf.Tensor,
    new: tf.Tensor,
    step: tf.Tensor,
    held: Room,
    wishes: Wishes,
    endings: Endings,
    processors: Processors,
) -> tf.Tensor:
    """Returns logits with the repetition penalty, and with what is done before and behind it."""
    import tensorflow as tf

    logits = before_penalty(logits, new, step, held, processors)

    def fresh() -> tf.Tensor:
        since = tf.where(new >= 0, new, held.token_ids[:, :1])
        before = tf.concat([held.token_ids, since], 1)
        return penalized(logits, before, wishes.repetition_penalty)

    logits = tf.cond(tf.reduce_any(wishes.repetition_penalty != 1), fresh, lambda: logits)
    return behind_penalty(logits, new, step, held, wishes, endings, processors)
