"""What every way of decoding does: prompts are read, then a token or a few a step, till all end."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from textmill.serving.read import prompt

if TYPE_CHECKING:
    from collections.abc import Callable

    import tensorflow as tf

    from textmill.serving.read import Caches, Reader
    from textmill.serving.room import Room

    State = TypeVar("State", bound=tuple[object, ...])


def begun(network: Reader, held: Room, slots: tf.Tensor) -> tuple[tf.Tensor, Caches]:
    """Reads prompts.

    Args:
        network: Reads them, in the graph where this is called.
        held: The prompts.
        slots: Tokens that a row has room for.

    Returns:
        float32 [rows, vocabulary], the logits of the token behind each, and the caches.
    """
    import tensorflow as tf

    tokens, read = prompt(held.token_ids, held.lengths, slots)
    x, caches = network(tokens, read, network.caches(tf.size(held.lengths), slots))
    return network.logits(tf.gather(x, tf.cumsum(held.lengths) - 1)), caches


def stepped(
    going: Callable[[State], tf.Tensor],
    step: Callable[[State, Caches], tuple[State, Caches]],
    state: State,
    caches: Caches,
) -> State:
    """Returns the state when no row goes on.

    Args:
        going: Says of a state which rows go on, bool [rows].
        step: Reads what was decoded last; dimensions of a state may change in it.
        state: The one to begin with.
        caches: Those to begin with.
    """
    import tensorflow as tf

    state, _ = tf.while_loop(
        lambda state, caches: tf.reduce_any(going(state)),
        step,
        (state, caches),
        shape_invariants=(
            tf.nest.map_structure(lambda each: tf.TensorShape([None] * len(each.shape)), state),
            [tf.TensorShape([None, each.shape[-1]]) for each in caches],
        ),
        parallel_iterations=1,
    )
    return state
