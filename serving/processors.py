"""What is done to logits before a token is taken, whatever a request says.

Each is what the processor of its name in transformers does, in the same order.

Source: https://huggingface.co/docs/transformers/internal/generation_utils#logitsprocessor.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from textmill.serving.endings import Endings, without_early_ends

if TYPE_CHECKING:
    import tensorflow as tf

    from textmill.serving.room import Room
    from textmill.serving.sampling import Wishes


class Processors(NamedTuple):
    """How a model decodes by itself, beside what a request may say; none is there if all are empty.

    Attributes:
        no_repeat_ngram_size: So many tokens one behind the other stand in a text once at most, the
            prompt counted; 0: as often as they come.
        min_length: Before so many tokens, the prompt's counted, no text ends, unless a request has
            a `min_new_tokens` of its own.
        forced_bos: The token behind a prompt of one token, if any.
        forced_eos: The tokens of which one is the last that there is room for.
        suppressed: Tokens that are never written.
        suppressed_first: Tokens that no text begins with.
        bad_words: Tokens one behind the other that are never written; no text has been ended by
            its last one alone.
        sequence_bias: What is added to the logit of the last of some tokens behind the others.
        early_stopping: Of beam search: True ends it when there are as many whole texts as beams;
            "never" goes on for as long as a better one may come, whatever its length.
        renormalize_logits: Of beam search: whether log-probabilities are made of what is left.
    """

    no_repeat_ngram_size: int = 0
    min_length: int = 0
    forced_bos: Sequence[int] = ()
    forced_eos: Sequence[int] = ()
    suppressed: Sequence[int] = ()
    suppressed_first: Sequence[int] = ()
    bad_words: Sequence[Sequence[int]] = ()
    sequence_bias: Sequence[tuple[Sequence[int], float]] = ()
    early_stopping: bool | str = False
    renormalize_logits: bool = False


NONE = Processors()


def before_penalty(
    logits: tf.Tensor, new: tf.Tensor, step: tf.Tensor, held: Room, processors: Processors
) -> tf.Tensor:
    """Returns logits with what comes before the repetition penalty; see `behind_penalty`."""
    if not processors.sequence_bias:
        return logits
    sequences, biases = zip(*processors.sequence_bias, strict=True)
    return _biased(logits, _so_far(new, held), held.lengths + step, sequences, biases)


def behind_penalty(
    logits: tf.Tensor,
    new: tf.Tensor,
    step: tf.Tensor,
    held: Room,
    wishes: Wishes,
    endings: Endings,
    processors: Processors,
) -> tf.Tensor:
    """Returns logits with what comes behind the repetition penalty.

    Args:
        logits: float32 [rows, vocabulary].
        new: int32 [rows, most], what was written, -1 where there is nothing yet.
        step: int32 [], the place among new tokens of those that are taken now.
        held: The prompts.
        wishes: How many tokens are to come is heeded.
        endings: With what a text ends.
        processors: What is to be done.
    """
    import tensorflow as tf

    never, length = logits.dtype.min, held.lengths + step

    def only(tokens: Sequence[int]) -> tf.Tensor:
        return tf.where(_among(tokens, logits), 0.0, never)

    size = processors.no_repeat_ngram_size
    if size:
        logits = tf.where(_repeated(logits, _so_far(new, held), length, size), never, logits)
    # A token that ends a text is no bad word.
    bad = [
        each for each in processors.bad_words if tuple(each) not in {(e,) for e in endings.tokens}
    ]
    if bad:
        logits = _biased(logits, _so_far(new, held), length, bad, [never] * len(bad))
    early = step < wishes.min_new_tokens
    if processors.min_length:
        early |= (wishes.min_new_tokens <= 0) & (length < processors.min_length)
    logits = without_early_ends(logits, early, endings)
    if processors.forced_bos:
        logits = tf.where((length == 1)[:, None], only(processors.forced_bos), logits)
    if processors.forced_eos:
        last = step + 1 == held.most
        logits = tf.where(last[:, None], only(processors.forced_eos), logits)
    if processors.suppressed:
        logits = tf.where(_among(processors.suppressed, logits), never, logits)
    if processors.suppressed_first:
        forced = (held.lengths == 1) & bool(processors.forced_bos)
        first = (step == tf.cast(forced, tf.int32))[:, None]
        logits = tf.where(first & _among(processors.suppressed_first, logits), never, logits)
    return logits


def _among(tokens: Sequence[int], logits: tf.Tensor) -> tf.Tensor:
    """Says which tokens of the vocabulary are among some, bool [vocabulary]."""
    import tensorflow as tf

    there = [False] * logits.shape[-1]
    for token in tokens:
        there[token] = True
    return tf.constant(there)


def _so_far(new: tf.Tensor, held: Room) -> tf.Tensor:
    """Returns prompts with what was written behind each, -1 where there is nothing yet.

    Returns:
        int32 [rows, slots].
    """
    import tensorflow as tf

    place = tf.range(held.slots)[None]
    behind = place - held.lengths[:, None]
    prompts = tf.gather(
        held.token_ids,
        tf.broadcast_to(
            tf.minimum(place, tf.shape(held.token_ids)[1] - 1),
            tf.stack([tf.size(held.lengths), held.slots]),
        ),
        batch_dims=1,
    )
    since = tf.gather(new, tf.clip_by_value(behind, 0, tf.shape(new)[1] - 1), batch_dims=1)
    return tf.where(behind < 0, prompts, tf.where(behind < tf.shape(new)[1], since, -1))


def _last(text: tf.Tensor, length: tf.Tensor, count: int) -> tf.Tensor:
    """Returns the last tokens of each text, -1 before its first, int32 [rows, count]."""
    import tensorflow as tf

    place = length[:, None] - count + tf.range(count)
    # Rows that have ended are counted on while others go on; of them any tokens will do.
    found = tf.gather(text, tf.clip_by_value(place, 0, tf.shape(text)[1] - 1), batch_dims=1)
    return tf.where(place >= 0, found, -1)


def _repeated(logits: tf.Tensor, text: tf.Tensor, length: tf.Tensor, size: int) -> tf.Tensor:
    """Says which tokens would make so many stand in a text again, bool [rows, vocabulary]."""
    import tensorflow as tf

    rows, slots = tf.unstack(tf.shape(text))
    longer = tf.pad(text, [[0, 0], [0, size - 1]], constant_values=-1)
    again = tf.broadcast_to((length >= size)[:, None], tf.shape(text))
    last = _last(text, length, size - 1)
    for i in range(size - 1):
        again &= longer[:, i : slots + i] == last[:, i : i + 1]
    token = longer[:, size - 1 : slots + size - 1]
    again &= token >= 0
    row = tf.broadcast_to(tf.range(rows)[:, None], tf.shape(text))
    places = tf.stack([row, tf.maximum(token, 0)], -1)
    shape = tf.stack([rows, logits.shape[-1]])
    return tf.scatter_nd(places, tf.cast(again, tf.int32), shape) > 0


def _biased(
    logits: tf.Tensor,
    text: tf.Tensor,
    length: tf.Tensor,
    sequences: Sequence[Sequence[int]],
    biases: Sequence[float],
) -> tf.Tensor:
    """Returns logits with something added to those of tokens that end a sequence.

    Args:
        logits: float32 [rows, vocabulary].
        text: int32 [rows, slots].
        length: int32 [rows], how long each text is.
        sequences: Tokens, one at least in each.
        biases: What is added, of each; the lowest number of its type stands for minus infinity.
    """
    import tensorflow as tf

    most = max(len(each) for each in sequences) - 1
    # Of a shorter one, any tokens may stand before its first.
    wanted = tf.constant(
        [[-2] * (most + 1 - len(each)) + [*each[:-1]] for each in sequences], tf.int32
    )
    last = _last(text, length, most)[:, None]
    there = tf.reduce_all((wanted == -2) | (last == wanted), -1)
    ends = tf.constant([each[-1] for each in sequences], tf.int32)
    rows, count = tf.shape(logits)[0], len(sequences)
    row = tf.broadcast_to(tf.range(rows)[:, None], [rows, count])
    places = tf.stack([row, tf.broadcast_to(ends, [rows, count])], -1)
    never = tf.constant([bias <= logits.dtype.min for bias in biases])
    some = tf.where(
        there & ~never, tf.constant([0.0 if b <= logits.dtype.min else b for b in biases]), 0.0
    )
    logits = tf.tensor_scatter_nd_add(logits, places, some)
    banned = tf.scatter_nd(places, tf.cast(there & never, tf.int32), tf.shape(logits)) > 0
    return tf.where(banned, logits.dtype.min, logits)
