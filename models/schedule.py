"""How weights move: the learning rate over a training, and AdamW in one pass over each weight."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import keras
    import tensorflow as tf

Decay = Literal["linear", "cosine", "polynomial", "constant"]


def learning_rate(progress: float, *, peak: float, warmup: float, decay: Decay) -> float:
    """Returns the learning rate at `progress`: up to `peak` in a line, then down.

    Args:
        progress: How much of the training is behind us, 0 to 1.
        peak: The highest learning rate.
        warmup: Share of the training in which the rate rises.
        decay: The way down, to 0: a line, half a wave of the cosine, or a parabola (a polynomial of
            degree 2); "constant" stays at the peak.

    Source: https://arxiv.org/abs/1810.04805, appendix A.2 (linear);
    https://arxiv.org/abs/1608.03983 (cosine).

    Example:
        >>> [learning_rate(p, peak=1.0, warmup=0.2, decay="linear") for p in (0, 0.1, 0.2, 0.6, 1)]
        [0.0, 0.5, 1.0, 0.5, 0.0]
    """
    if progress < warmup:
        return peak * progress / warmup
    left = max(1 - progress, 0) / (1 - warmup)
    shapes = {
        "linear": left,
        "cosine": (1 + math.cos(math.pi * (1 - left))) / 2,
        "polynomial": left**2,
        "constant": 1.0,
    }
    return peak * shapes[decay]


def adamw(
    model: keras.Model, *, weight_decay: float, step_sizes: Mapping[str, float] | None = None
) -> keras.optimizers.AdamW:
    """Returns AdamW for a model; whoever trains sets its `learning_rate` before each step.

    Norms and biases do not decay, as in BERT's own training. Given dense gradients, the numbers are
    those of `keras.optimizers.AdamW`; the update is one TensorFlow op instead of a dozen, each of
    which reads and writes every weight: a fifth of a training step on a CPU.

    Args:
        model: Whose trainable variables it moves.
        weight_decay: Share of the learning rate by which a weight is drawn to 0.
        step_sizes: Path of a variable -> share of the learning rate that it gets; else all of it.

    Source: https://arxiv.org/abs/1711.05101.
    """
    import keras
    import tensorflow as tf
    from keras import ops

    optimizer: keras.optimizers.AdamW = keras.optimizers.AdamW(0.0, weight_decay=weight_decay)
    optimizer.exclude_from_weight_decay(
        var_list=[v for v in model.trainable_variables if v.name in ("bias", "beta", "gamma")]
    )

    shares = [(step_sizes or {}).get(v.path, 1.0) for v in model.trainable_variables]

    def update_step(gradient: tf.Tensor, variable: tf.Variable, learning_rate: tf.Tensor) -> None:
        place = optimizer._get_variable_index(variable)
        learning_rate *= shares[place]
        if optimizer._use_weight_decay(variable):
            variable.assign(variable * (1 - weight_decay * learning_rate))
        step = ops.cast(optimizer.iterations + 1, variable.dtype)
        tf.raw_ops.ResourceApplyAdam(
            var=variable.handle,
            m=optimizer._momentums[place].value.handle,
            v=optimizer._velocities[place].value.handle,
            beta1_power=optimizer.beta_1**step,
            beta2_power=optimizer.beta_2**step,
            lr=ops.cast(learning_rate, variable.dtype),
            beta1=optimizer.beta_1,
            beta2=optimizer.beta_2,
            epsilon=optimizer.epsilon,
            # An embedding's gradient holds only the rows that the batch read, one as often as its
            # token came. AdamW moves the other rows too, by their momentum, and squares the sum
            # of the repeated ones; Keras 3.15 sums their squares, which is not AdamW.
            grad=tf.convert_to_tensor(gradient),
        )

    optimizer.update_step = update_step
    optimizer._apply_weight_decay = lambda variables: None  # update_step does it
    optimizer.build(model.trainable_variables)
    return optimizer
