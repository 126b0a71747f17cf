"""Text that goes on: from the tokens of prompts to those that a decoder puts behind them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from textmill.serving.read import following, prompt
from textmill.serving.sampling import Wishes, drawn, draws, penalized

if TYPE_CHECKING:
    import tensorflow as tf

    from textmill.serving.read import Reader


class Endings(NamedTuple):
    """With what a text ends.

    Attributes:
        tokens: Ids that end it, and are no part of it.
        strings: Texts that end it, and are no part of it; none is empty.
        of_tokens: The bytes that each token stands for; needed where there are `strings`.
    """

    tokens: tuple[int, ...]
    strings: tuple[str, ...] = ()
    of_tokens: Sequence[bytes] = ()

    @property
    def pattern(self) -> str:
        """Returns an expression of RE2 that finds the first of the strings."""
        return "|".join(re.escape(each) for each in self.strings)


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


SHAPES = _State([], [None], [None, None], [None], [None])


class Room(NamedTuple):
    """Prompts as far as they are read, and how much may come behind them.

    Attributes:
        token_ids: int32 [rows, time], padded behind with the row's first.
        lengths: int32 [rows].
        most: int32 [rows], how many tokens may come.
    """

    token_ids: tf.Tensor
    lengths: tf.Tensor
    most: tf.Tensor


def room(prompts: tf.RaggedTensor, most: tf.Tensor, longest: int) -> Room:
    """Cuts prompts at their beginning, so that what is wished for has room behind them.

    At least half of what a row may hold is left to the prompt; then fewer tokens come.

    Args:
        prompts: int32 [rows, (tokens)], one at least in each.
        most: int32 [rows], how many tokens are wished for.
        longest: How many tokens a row may hold, prompt and all.
    """
    import tensorflow as tf

    most = tf.maximum(most, 0)
    given = tf.cast(prompts.row_lengths(), tf.int32)
    lengths = tf.minimum(given, tf.maximum(longest - most, (longest + 1) // 2))
    time = tf.reduce_max(tf.concat([lengths, [1]], 0))
    inside = tf.minimum(tf.range(time)[None], lengths[:, None] - 1)
    padded = tf.where(tf.range(time)[None] < lengths[:, None], inside, 0)
    firsts = tf.cast(prompts.row_starts(), tf.int32) + given - lengths
    token_ids = tf.gather(prompts.flat_values, firsts[:, None] + padded)
    return Room(token_ids, lengths, tf.minimum(most, longest - lengths))


def generate(
    network: Reader, prompts: tf.RaggedTensor, wishes: Wishes, endings: Endings
) -> tuple[tf.RaggedTensor, tf.Tensor]:
    """Returns what comes behind prompts.

    Args:
        network: Predicts the next token, in the graph where this is called.
        prompts: int32 [rows, (tokens)], one at least in each; of long ones the end is read, see
            `room`.
        wishes: How each row is decoded.
        endings: With what a text ends.

    Returns:
        int32 [rows, (tokens)] without the token that ended a row, and int32 [rows], how many were
        drawn, that one counted. A row that a string ended has all its tokens still.
    """
    import tensorflow as tf

    held = room(prompts, wishes.max_new_tokens, network.longest)
    rows = tf.size(held.lengths)
    most = tf.reduce_max(tf.concat([held.most, [1]], 0))
    slots = tf.reduce_max(tf.concat([held.lengths + held.most, [1]], 0))
    chances = tf.cond(
        tf.reduce_any(wishes.temperature > 0),
        lambda: draws(wishes.seed, network.longest),
        lambda: tf.zeros([rows, network.longest]),
    )

    def went_on(before: _State, logits: tf.Tensor) -> _State:
        step = before.step + 1
        logits = heeded(logits, before.new, step, held, wishes, endings)
        token = drawn(logits, wishes, chances[:, step])
        place = tf.stack([tf.range(rows), tf.fill([rows], step)], 1)
        new = tf.tensor_scatter_nd_update(before.new, place, tf.where(before.alive, token, -1))
        stopped, tail = ended(before.tail, token, endings)
        return _State(step, token, new, before.alive & ~stopped & (step + 1 < held.most), tail)

    caches = network.caches(rows, slots)
    tokens, read = prompt(held.token_ids, held.lengths, slots)
    x, caches = network(tokens, read, caches)
    x = tf.gather(x, tf.cumsum(held.lengths) - 1)
    state = _State(
        tf.constant(-1),
        tf.zeros([rows], tf.int32),
        tf.fill(tf.stack([rows, most]), -1),
        held.most > 0,
        tf.fill([rows], ""),
    )
    state = went_on(state, network.logits(x))

    def body(state: _State, caches: list[tf.Tensor]) -> tuple[_State, list[tf.Tensor]]:
        places = tf.minimum(held.lengths + state.step, slots - 1)  # of rows that ended, any will do
        x, caches = network(state.token, following(places, slots), caches)
        return went_on(state, network.logits(x)), caches

    state, _ = tf.while_loop(
        lambda state, caches: tf.reduce_any(state.alive),
        body,
        (state, caches),
        shape_invariants=(
            _State(*map(tf.TensorShape, SHAPES)),
            [tf.TensorShape([None, each.shape[-1]]) for each in caches],
        ),
        parallel_iterations=1,
    )
    return without_ends(state.new, endings)


def without_ends(new: tf.Tensor, endings: Endings) -> tuple[tf.RaggedTensor, tf.Tensor]:
    """Returns new tokens but for those that end a text, and how many they were with them.

    Args:
        new: int32 [rows, most], -1 where there is none.
        endings: With what a text ends.
    """
    import tensorflow as tf

    drawn_count = tf.reduce_sum(tf.cast(new >= 0, tf.int32), 1)
    ends = tf.reduce_any(new[:, :, None] == tf.constant([*endings.tokens], tf.int32), -1)
    return tf.ragged.boolean_mask(new, (new >= 0) & ~ends), drawn_count


def cut(text: tf.Tensor, endings: Endings) -> tf.Tensor:
    """Returns texts up to the first string that ends them, [rows] string to the same."""
    import tensorflow as tf

    if not endings.strings:
        return text
    return tf.strings.regex_replace(text, f"(?s)(?:{endings.pattern}).*", "", replace_global=False)


def heeded(
    logits: tf.Tensor,
    new: tf.Tensor,
    step: tf.Tensor,
    held: Room,
    wishes: Wishes,
    endings: Endings,
) -> tf.Tensor:
    """Returns logits with the repetition penalty, and without endings where it is too early."""
    import tensorflow as tf

    def fresh() -> tf.Tensor:
        since = tf.where(new >= 0, new, held.token_ids[:, :1])
        before = tf.concat([held.token_ids, since], 1)
        return penalized(logits, before, wishes.repetition_penalty)

    logits = tf.cond(tf.reduce_any(wishes.repetition_penalty != 1), fresh, lambda: logits)
    if not endings.tokens:
        return logits
    early = step < wishes.min_new_tokens
    ids = tf.constant(endings.tokens, tf.int32)[:, None]
    is_end = tf.scatter_nd(ids, tf.ones(len(endings.tokens)), [logits.shape[-1]]) > 0
    return tf.cond(
        tf.reduce_any(early),
        lambda: tf.where(early[:, None] & is_end, logits.dtype.min, logits),
        lambda: logits,
    )


def ended(tail: tf.Tensor, token: tf.Tensor, endings: Endings) -> tuple[tf.Tensor, tf.Tensor]:
    """Says which texts end with a token.

    Args:
        tail: string [rows], the last bytes of each text.
        token: int32 [rows], what comes behind them.
        endings: With what a text ends.

    Returns:
        bool [rows], and the last bytes of the texts with their tokens.
    """
    import tensorflow as tf

    stopped = tf.reduce_any(token[:, None] == tf.constant([*endings.tokens], tf.int32), 1)
    if not endings.strings:
        return stopped, tail
    tail = _tail(tail, token, endings)
    seen = tf.strings.unicode_transcode(tail, "UTF-8", "UTF-8", errors="replace")
    found = tf.strings.regex_full_match(seen, f"(?s).*(?:{endings.pattern}).*")
    return stopped | found, tail


def _tail(tail: tf.Tensor, token: tf.Tensor, endings: Endings) -> tf.Tensor:
    """Returns as much of the end of each text as a string that ends it may lie in."""
    import tensorflow as tf

    last = tf.gather(tf.constant(list(endings.of_tokens)), token)
    reach = max(len(each.encode()) for each in endings.strings) - 1
    # Only what is there since the last look can end a text: the token, and what it completes.
    old = tf.minimum(tf.strings.length(tail), reach)
    return tf.strings.join([tf.strings.substr(tail, -old, old), last])
