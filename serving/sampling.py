"""From the logits of the next token to the token: greedy, or drawn as each row wishes.

Every row is on its own: its numbers, its seed, its draws. So a row's tokens are the same whatever
else is in the batch. That is why KerasHub's samplers do not suffice: they have one number and one
seed for all rows, and write to the cache by an operation of XLA, which servers refuse.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import tensorflow as tf

FEW = 256  # of the likeliest tokens, among which most draws are settled without sorting all


class Wishes(NamedTuple):
    """How each row is decoded, a number a row.

    Attributes:
        temperature: float32 [rows], what logits are divided by; 0 takes the likeliest token.
        top_k: int32 [rows], how many of the likeliest tokens may be drawn; 0 for all.
        top_p: float32 [rows], of the likeliest tokens as few may be drawn as have this share of
            the probability; 1 for all.
        repetition_penalty: float32 [rows], by what the logits of tokens that were there before
            are made smaller; 1 leaves them.
        min_new_tokens: int32 [rows], before which no text may end.
        max_new_tokens: int32 [rows], with which it ends.
        seed: int32 [rows], equal seeds give equal texts; below 0 each request has its own.
    """

    temperature: tf.Tensor
    top_k: tf.Tensor
    top_p: tf.Tensor
    repetition_penalty: tf.Tensor
    min_new_tokens: tf.Tensor
    max_new_tokens: tf.Tensor
    seed: tf.Tensor

    def behind(self, counted: int) -> Wishes:
        """Returns these for what comes behind so many tokens that count as new ones."""
        return self._replace(
            min_new_tokens=self.min_new_tokens - counted,
            max_new_tokens=self.max_new_tokens - counted,
        )


def draws(seed: tf.Tensor, count: int) -> tf.Tensor:
    """Returns random numbers for each row: of a row, its seed says which.

    Args:
        seed: int32 [rows]; where it is below 0, any.
        count: How many.

    Returns:
        float32 [rows, count], in [0, 1).
    """
    import tensorflow as tf

    # The clock is what no seed of a training can fix: else every server that loads a graph which
    # was made in the training's process would draw the same. Rows of a request differ by number.
    # It is read where a row asks for it alone: after a deterministic training TensorFlow refuses.
    def clock() -> tf.Tensor:
        return tf.cast(tf.math.floormod(tf.timestamp() * 1e6, tf.int32.max), tf.int32)

    now = tf.cond(tf.reduce_any(seed < 0), clock, lambda: 0)
    lucky = tf.stack([tf.fill([tf.size(seed)], now), 1 + tf.range(tf.size(seed))], 1)
    chosen = tf.stack([seed, tf.zeros_like(seed)], 1)
    seeds = tf.where(seed[:, None] < 0, lucky, chosen)
    return tf.map_fn(
        lambda pair: tf.random.stateless_uniform([count], pair),
        seeds,
        fn_output_signature=tf.TensorSpec([count], tf.float32),
    )


def penalized(logits: tf.Tensor, before: tf.Tensor, penalty: tf.Tensor) -> tf.Tensor:
    """Makes tokens that were there before less likely.

    Args:
        logits: float32 [rows, vocabulary].
        before: int32 [rows, any], tokens of the prompt and since; as often as you like.
        penalty: float32 [rows].

    Returns:
        [rows, vocabulary]; positive logits are divided, negative ones multiplied.

    Source: https://arxiv.org/abs/1909.05858, section 4.1, as Hugging Face computes it.
    """
    import tensorflow as tf

    found = tf.gather(logits, before, batch_dims=1)
    by = penalty[:, None]
    found = tf.where(found < 0, found * by, found / by)
    row = tf.broadcast_to(tf.range(tf.shape(before)[0])[:, None], tf.shape(before))
    return tf.tensor_scatter_nd_update(logits, tf.stack([row, before], -1), found)


def drawn(logits: tf.Tensor, wishes: Wishes, draw: tf.Tensor) -> tf.Tensor:
    """Returns a token a row: the likeliest where the temperature is 0, else one by chance.

    Args:
        logits: float32 [rows, vocabulary].
        wishes: Temperature, top-k and top-p of each row are heeded, in this order.
        draw: float32 [rows], in [0, 1): which share of the probability lies on likelier tokens.

    Returns:
        int32 [rows].

    Source: top-k https://arxiv.org/abs/1805.04833, top-p https://arxiv.org/abs/1904.09751.
    """
    import tensorflow as tf

    best = tf.argmax(logits, -1, output_type=tf.int32)
    by_chance = wishes.temperature > 0

    def chosen() -> tf.Tensor:
        heat = tf.where(by_chance, wishes.temperature, 1.0)
        scaled = logits / heat[:, None]
        scaled -= tf.reduce_max(scaled, -1, keepdims=True)
        whole = tf.reduce_sum(tf.exp(scaled), -1, keepdims=True)
        size = tf.shape(logits)[1]
        token, settled = _among(scaled, whole, wishes, draw, tf.minimum(FEW, size))
        token = tf.cond(
            tf.reduce_all(settled | ~by_chance),
            lambda: token,
            lambda: _among(scaled, whole, wishes, draw, size)[0],
        )
        return tf.where(by_chance, token, best)

    return tf.cond(tf.reduce_any(by_chance), chosen, lambda: best)


def _among(
    scaled: tf.Tensor, whole: tf.Tensor, wishes: Wishes, draw: tf.Tensor, count: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Draws among the likeliest tokens; which one does not depend on how many these are.

    Args:
        scaled: float32 [rows, vocabulary], 0 for the likeliest.
        whole: float32 [rows, 1], the sum of all exponentials.
        wishes: Top-k and top-p.
        draw: float32 [rows].
        count: How many of the likeliest are looked at.

    Returns:
        int32 [rows] and bool [rows], whether no other token could be it.
    """
    import tensorflow as tf

    size = tf.shape(scaled)[1]
    values, tokens = tf.math.top_k(scaled, count)
    upto = tf.cumsum(tf.exp(values) / whole, 1)  # share of the probability, up to each
    before = tf.pad(upto[:, :-1], [[0, 0], [1, 0]])
    limited = (wishes.top_k > 0) & (wishes.top_k < size)
    most = tf.where(limited, wishes.top_k, size)
    known = ~limited | (most <= count)
    # The share of the k likeliest; of all it is 1, whatever rounding says.
    mass = tf.where(limited, tf.gather(upto, tf.minimum(most, count) - 1, batch_dims=1), 1.0)
    every = wishes.top_p >= 1
    rank = tf.range(count)
    near = every[:, None] | (before < (wishes.top_p * mass)[:, None]) | (rank == 0)
    kept = tf.reduce_sum(tf.cast(near & (rank < most[:, None]), tf.int32), 1)
    cut = kept < tf.minimum(most, count)
    share = tf.where(cut, tf.gather(upto, kept - 1, batch_dims=1), mass)
    target = draw * share
    place = tf.reduce_sum(tf.cast(upto <= target[:, None], tf.int32), 1)
    settled = known & (limited | cut | (every & (target < upto[:, -1]))) | (count == size)
    return tf.gather(tokens, tf.minimum(place, kept - 1), batch_dims=1), settled
