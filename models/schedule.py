"""How weights move: the learning rate over the steps, and AdamW in one pass over each weight."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import keras


def linear(step: Any, *, peak: float, warmup: int, total: int) -> Any:
    """Returns the learning rate at `step`: up to `peak` over `warmup` steps, then down to 0.

    Args:
        step: Steps done; a number or a tensor.
        peak: The highest learning rate.
        warmup: Steps of the way up.
        total: Steps in all.

    Source: https://arxiv.org/abs/1810.04805, appendix A.2.

    Example:
        >>> [float(linear(s, peak=1.0, warmup=2, total=6)) for s in (0, 1, 2, 4, 6)]
        [0.0, 0.5, 1.0, 0.5, 0.0]
    """
    from keras import ops

    step = ops.cast(step, "float32")
    up = step / max(warmup, 1)
    down = (total - step) / max(total - warmup, 1)
    return peak * ops.clip(ops.where(step < warmup, up, down), 0.0, 1.0)


def adamw(
    model: keras.Model, *, peak: float, warmup: int, total: int, weight_decay: float
) -> keras.optimizers.AdamW:
    """Returns AdamW for a model, with the learning rate of `linear`.

    Norms and biases do not decay, as in BERT's own training. Given dense gradients, the numbers are
    those of `keras.optimizers.AdamW`; the update is one TensorFlow op instead of a dozen, each of
    which reads and writes every weight: a fifth of a training step on a CPU.

    Source: https://arxiv.org/abs/1711.05101.
    """
    import keras
    import tensorflow as tf
    from keras import ops

    optimizer: keras.optimizers.AdamW = keras.optimizers.AdamW(
        # `iterations` belongs to the optimizer that this makes: it is read when a step is traced.
        learning_rate=lambda: linear(optimizer.iterations, peak=peak, warmup=warmup, total=total),
        weight_decay=weight_decay,
    )
    optimizer.exclude_from_weight_decay(
        var_list=[v for v in model.trainable_variables if v.name in ("bias", "beta", "gamma")]
    )

    def update_step(gradient: tf.Tensor, variable: tf.Variable, learning_rate: tf.Tensor) -> None:
        place = optimizer._get_variable_index(variable)
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
    return optimizer
