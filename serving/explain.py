"""What each token adds to a score: integrated gradients, in the graph."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from textmill.serving import heads
from textmill.serving.encoder import Encoder, layout
from textmill.serving.framing import Framing, Rows
from textmill.serving.heads import Head

if TYPE_CHECKING:
    import tensorflow as tf

STEPS = 32  # points between nothing and the text, of Gauss and Legendre
AT_ONCE = 8  # of them; what a text takes in memory does not depend on the others beside it


class Explainer:
    """Says of each token how much it adds to the score of the label that a text gets.

    A token's contribution is the integral, over the way from nothing to its embedding, of the
    score's gradient along that way. Nothing is an embedding of zeros for each token of the text;
    special tokens, places and segments stay what they are. So special tokens contribute 0, and all
    contributions of a text sum up to the difference between its score and that of nothing, but for
    the error of the integral.

    Args:
        encoder: Of the model.
        head: What its logits mean; any kind but spans.
        framing: Which tokens are special.
        vocabulary: The tokens in the order of their ids.

    Source: https://arxiv.org/abs/1703.01365, sections 3 and 5.
    """

    def __init__(
        self, encoder: Encoder, head: Head, framing: Framing, vocabulary: Sequence[str]
    ) -> None:
        frame = framing.frame
        self.encoder, self.head, self.vocabulary = encoder, head, list(vocabulary)
        self.special = sorted({*frame.before, *frame.between, *frame.after})

    def __call__(self, rows: Rows) -> dict[str, tf.Tensor]:
        """Returns the outputs of `explain`, as `textmill.serving.heads.forms` names them.

        Args:
            rows: One of each text.
        """
        import tensorflow as tf

        ids, mask = rows.token_ids, rows.padding_mask
        every = layout(mask, self.encoder.heads)
        segments = tf.gather_nd(rows.segment_ids, every.index)
        found = tf.gather_nd(ids, every.index)
        whole = self.encoder.tokens(found)
        kept = tf.cast(self._special(found), tf.float32)[:, None]
        logits, nothing = (
            self.encoder.encode(tokens, every, segments) for tokens in (whole, whole * kept)
        )
        target = tf.argmax(logits, -1, tf.int32)
        score = self._score(logits, target)
        added = self._contributions(rows, target)
        names = tf.gather(tf.constant(self.vocabulary), tf.where(mask, ids, 0))
        outputs = {
            "tokens": tf.ensure_shape(tf.where(mask, names, ""), [None, None]),
            "contributions": tf.ensure_shape(added, [None, None]),
            "difference": score - self._score(nothing, target),
        }
        if self.head.kind == "number":
            return outputs | {"value": score}
        return outputs | {"score": score, "label": tf.gather(tf.constant(self.head.labels), target)}

    def _special(self, ids: tf.Tensor) -> tf.Tensor:
        import tensorflow as tf

        return tf.reduce_any(ids[..., None] == tf.constant(self.special, tf.int32), -1)

    def _score(self, logits: tf.Tensor, target: tf.Tensor) -> tf.Tensor:
        """Returns the score of the label `target` of each row: float32 [rows]."""
        import tensorflow as tf

        answer = heads.answer(logits, self.head)
        if self.head.kind == "number":
            return answer["value"]
        return tf.gather(answer["scores"], target, batch_dims=1)

    def _contributions(self, rows: Rows, target: tf.Tensor) -> tf.Tensor:
        """Returns float32 [rows, time]: a row after the other, some steps of it at once."""
        import numpy as np
        import tensorflow as tf

        points, shares = np.polynomial.legendre.leggauss(STEPS)
        # From [-1, 1] to [0, 1].
        ways = tf.constant((points.reshape(-1, AT_ONCE) + 1) / 2, tf.float32)
        weights = tf.constant(shares.reshape(-1, AT_ONCE) / 2, tf.float32)
        parts = STEPS // AT_ONCE
        lengths = tf.reduce_sum(tf.cast(rows.padding_mask, tf.int32), 1)
        count, time = tf.shape(rows.token_ids)[0], tf.shape(rows.token_ids)[1]

        def step(i: tf.Tensor, sums: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            row, part = i // parts, i % parts
            length = lengths[row]
            ids = rows.token_ids[row, :length]
            whole = self.encoder.tokens(ids)
            kept = tf.cast(self._special(ids), tf.float32)[:, None]
            changing = whole * (1 - kept)
            tokens = ways[part][:, None, None] * changing + whole * kept
            every = layout(tf.ones([AT_ONCE, length], tf.bool), self.encoder.heads)
            segments = tf.tile(rows.segment_ids[row, :length], [AT_ONCE])
            with tf.GradientTape() as tape:
                tape.watch(tokens)
                flat = tf.reshape(tokens, [-1, whole.shape[-1]])
                logits = self.encoder.encode(flat, every, segments)
                scores = self._score(logits, tf.repeat(target[row], AT_ONCE))
            (slopes,) = tape.gradient(scores, [tokens])
            slope = tf.tensordot(weights[part], slopes, 1)
            added = tf.reduce_sum(slope * changing, -1)
            padded = tf.pad(added, [[0, time - length]])
            return i + 1, tf.tensor_scatter_nd_add(sums, [[row]], padded[None])

        _, found = tf.while_loop(
            lambda i, sums: i < count * parts,
            step,
            [0, tf.zeros([count, time])],
            shape_invariants=[tf.TensorShape([]), tf.TensorShape([None, None])],
            parallel_iterations=1,
        )
        return found
