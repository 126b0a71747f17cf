"""How likely a decoder finds given continuations."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textmill.serving.read import prompt

if TYPE_CHECKING:
    import tensorflow as tf

    from textmill.serving.read import Reader

AT_ONCE = 256  # tokens whose logits are in memory together


def score(
    network: Reader, prompts: tf.RaggedTensor, continuations: tf.RaggedTensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns the log-probability of continuations behind prompts.

    Of what is longer than a row may be, the end is read.

    Args:
        network: Predicts the next token, in the graph where this is called.
        prompts: int32 [rows, (tokens)], one at least in each.
        continuations: int32 [rows, (tokens)].

    Returns:
        float32 [rows], in nats, 0 for an empty continuation; and int32 [rows], of how many tokens:
        all of the continuation's that have one before them.
    """
    import tensorflow as tf

    whole = tf.concat([prompts, continuations], 1)[:, -network.longest :]
    lengths = tf.cast(whole.row_lengths(), tf.int32)
    wanted = tf.minimum(tf.cast(continuations.row_lengths(), tf.int32), lengths - 1)
    rows, time = tf.size(lengths), tf.reduce_max(tf.concat([lengths, [1]], 0))
    tokens, read = prompt(whole.to_tensor(shape=[None, None]), lengths, time)
    x, _ = network(tokens, read, network.caches(rows, time))
    row = tf.cast(whole.value_rowids(), tf.int32)
    asked = read.places > tf.gather(lengths - 1 - wanted, row)
    places = tf.cast(tf.where(asked)[:, 0], tf.int32)
    count = tf.size(places)

    def some(first: tf.Tensor, found: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        at = places[first : first + AT_ONCE]
        logits = network.logits(tf.gather(x, at - 1))
        likely = tf.gather(logits, tf.gather(tokens, at), batch_dims=1)
        likely -= tf.reduce_logsumexp(logits, -1)
        added = tf.math.unsorted_segment_sum(likely, tf.gather(row, at), rows)
        return first + AT_ONCE, found + added

    _, found = tf.while_loop(
        lambda first, _: first < count, some, (tf.constant(0), tf.zeros([rows]))
    )
    return found, wanted
