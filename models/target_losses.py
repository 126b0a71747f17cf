"""The cross-entropy of tokens that are to be guessed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import tensorflow as tf


MOST_LOGITS = 1 << 27  # float32, half a gigabyte; the gradient takes as much again


def most_logits(count: int) -> int | None:
    """Returns how many of a batch's logits are to be in memory at a time; None: all of them.

    Example:
        >>> most_logits(1 << 20) is None, most_logits(1 << 30)
        (True, 134217728)
    """
    return MOST_LOGITS if count > MOST_LOGITS else None


def row_losses(shares: tf.Tensor, losses: tf.Tensor) -> tf.Tensor:
    """Returns the loss of each row, float32 [rows], such that all targets count alike.

    Args:
        shares: What a target counts, float32 [rows].
        losses: Of its targets, float32 [rows, tokens].
    """
    import tensorflow as tf

    return tf.reduce_sum(losses, 1) * shares


def cross_entropy(logits: Any, target: Any, smoothing: float) -> Any:
    """Returns the cross-entropy of targets in nats, float32 [targets].

    Args:
        logits: [targets, vocabulary].
        target: int32 [targets].
        smoothing: Share of each target that goes to all tokens alike.
    """
    import tensorflow as tf

    logits = tf.cast(logits, tf.float32)
    each = tf.nn.sparse_softmax_cross_entropy_with_logits(target, logits)
    if smoothing:
        every = tf.reduce_logsumexp(logits, -1) - tf.reduce_mean(logits, -1)
        each = (1 - smoothing) * each + smoothing * every
    return each


def linear_losses(hidden: Any, kernel: Any, target: Any, smoothing: float, most: int | None) -> Any:
    """Returns the cross-entropy of targets, float32 [targets].

    Args:
        hidden: [targets, width].
        kernel: [vocabulary, width].
        target: int32 [targets].
        smoothing: Share of each target that goes to all tokens alike.
        most: Logits in memory at a time; each part of them is computed again for the gradient.
            None: all are computed once.

    Source: https://arxiv.org/abs/2410.10989, section 3.2 (linear cross entropy in parts).
    """
    import tensorflow as tf

    def of(hidden: Any, kernel: Any, target: Any) -> Any:
        losses = cross_entropy(tf.matmul(hidden, kernel, transpose_b=True), target, 0.0)
        if not smoothing:
            return losses
        # What is smoothed is how far a target's logit is above their mean, which takes no more
        # passes over the logits.
        apart = tf.gather(kernel, target) - tf.reduce_mean(kernel, 0)
        above = tf.reduce_sum(tf.cast(hidden, tf.float32) * tf.cast(apart, tf.float32), -1)
        return losses + smoothing * above

    if most is None:
        return of(hidden, kernel, target)
    size = max(1, most // kernel.shape[0])
    count = tf.shape(hidden)[0]

    def part(i: Any) -> Any:
        return slice(i * size, tf.minimum((i + 1) * size, count))

    @tf.custom_gradient  # type: ignore[untyped-decorator]
    def in_parts(hidden: Any, kernel: Any) -> Any:
        parts = (count + size - 1) // size

        def forward(i: Any, found: Any) -> Any:
            return i + 1, found.write(i, of(hidden[part(i)], kernel, target[part(i)]))

        room = tf.TensorArray(tf.float32, parts, infer_shape=False, element_shape=[None])
        _, found = tf.while_loop(lambda i, _: i < parts, forward, [0, room])

        def gradient(upstream: Any) -> Any:
            def back(i: Any, before: Any, total: Any) -> Any:
                some = hidden[part(i)]
                with tf.GradientTape() as tape:
                    tape.watch([some, kernel])
                    losses = of(some, kernel, target[part(i)])
                one, other = tape.gradient(losses, [some, kernel], upstream[part(i)])
                return i + 1, before.write(i, one), total + tf.cast(other, tf.float32)

            shape = [None, hidden.shape[-1]]
            room = tf.TensorArray(hidden.dtype, parts, infer_shape=False, element_shape=shape)
            start = [0, room, tf.zeros(kernel.shape)]
            _, before, total = tf.while_loop(lambda i, *_: i < parts, back, start)
            return before.concat(), tf.cast(total, kernel.dtype)

        return found.concat(), gradient

    return in_parts(hidden, kernel)
