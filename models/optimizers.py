"""How gradients move weights: AdamW in one pass over each weight, and Muon for matrices."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from textmill.models.adaptation import step_sizes, transformer_layers
from textmill.models.settings import Settings

if TYPE_CHECKING:
    import keras
    import tensorflow as tf

BETAS = (0.9, 0.999)  # of AdamW, and so is EPSILON; Keras's
EPSILON = 1e-7


def optimizer_of(model: keras.Model, settings: Settings) -> keras.optimizers.Optimizer:
    """Returns what moves a model's weights; before each step its `learning_rate` is set.

    Norms and biases do not decay, as in BERT's own training. Given dense gradients, the numbers are
    those of `keras.optimizers.AdamW` and `keras.optimizers.Muon`. AdamW's update is one TensorFlow
    op instead of a dozen, each of which reads and writes every weight: a fifth of a training step
    on a CPU. Keras's Muon leaves kernels of more than two axes to AdamW, which KerasHub's attention
    has; here they are matrices, too.

    Args:
        model: Whose trainable variables it moves.
        settings: Which optimizer, how weights decay, and how fast each layer learns.

    Source: https://arxiv.org/abs/1711.05101 (AdamW); https://kellerjordan.github.io/posts/muon/ and
    https://arxiv.org/abs/2502.16982, section 2.2 (Muon that takes AdamW's learning rate and decay).
    """
    import keras

    decay, kind = settings.weight_decay, getattr(model, "backbone", model).compute_dtype
    if settings.optimizer == "muon":
        optimizer = keras.optimizers.Muon(0.0, weight_decay=decay, adam_weight_decay=decay)
        matrices = _matrices(model)
        optimizer._should_use_adamw = lambda variable: variable.path not in matrices
    else:
        optimizer = keras.optimizers.AdamW(0.0, weight_decay=decay)
    optimizer.exclude_from_weight_decay(
        var_list=[v for v in model.trainable_variables if v.name in ("bias", "beta", "gamma")]
    )
    sizes = step_sizes(model, settings.layer_decay) if settings.layer_decay < 1 else {}
    shares = [sizes.get(v.path, 1.0) for v in model.trainable_variables]

    def update_step(gradient: tf.Tensor, variable: tf.Variable, learning_rate: tf.Tensor) -> None:
        place = optimizer._get_variable_index(variable)
        learning_rate *= shares[place]
        if optimizer._use_weight_decay(variable):
            variable.assign(variable * (1 - decay * learning_rate))
        mean, square = _moments(optimizer, place)
        if square is None:
            _move_matrix(optimizer, gradient, variable, learning_rate, mean, kind)
        else:
            _move_by_adam(optimizer, gradient, variable, learning_rate, mean, square)

    optimizer.update_step = update_step
    optimizer._apply_weight_decay = lambda variables: None  # update_step does it
    optimizer.build(model.trainable_variables)
    return optimizer


def sides(shape: tuple[int, ...]) -> tuple[int, int]:
    """Returns rows and columns of a kernel as a matrix: as near to a square as its axes can be.

    Example:
        >>> sides((256, 4, 64)), sides((4, 64, 256)), sides((256, 1024))
        ((256, 256), (256, 256), (256, 1024))
    """
    size = math.prod(shape)
    rows = [math.prod(shape[:i]) for i in range(1, len(shape))]
    return min(((n, size // n) for n in rows), key=max)


def _matrices(model: keras.Model) -> set[str]:
    """Returns the paths of the kernels of a model's Transformer layers, which Muon moves."""
    layers = transformer_layers(model.backbone)
    return {v.path for each in layers for v in each.trainable_variables if v.name == "kernel"}


def _moments(optimizer: Any, place: int) -> tuple[Any, Any]:
    """Returns the mean of a variable's gradients, and that of their squares, None for Muon."""
    if hasattr(optimizer, "adam_velocities"):
        return optimizer.momentums[place], optimizer.adam_velocities[place]
    return optimizer._momentums[place], optimizer._velocities[place]


def _move_by_adam(
    optimizer: Any, gradient: Any, variable: Any, learning_rate: Any, mean: Any, square: Any
) -> None:
    import tensorflow as tf
    from keras import ops

    step = ops.cast(optimizer.iterations + 1, variable.dtype)
    tf.raw_ops.ResourceApplyAdam(
        var=variable.handle,
        m=mean.value.handle,
        v=square.value.handle,
        beta1_power=BETAS[0] ** step,
        beta2_power=BETAS[1] ** step,
        lr=ops.cast(learning_rate, variable.dtype),
        beta1=BETAS[0],
        beta2=BETAS[1],
        epsilon=EPSILON,
        # An embedding's gradient holds only the rows that the batch read, one as often as its
        # token came. AdamW moves the other rows too, by their momentum, and squares the sum
        # of the repeated ones; Keras 3.15 sums their squares, which is not AdamW.
        grad=tf.convert_to_tensor(gradient),
    )


def _move_matrix(
    optimizer: Any, gradient: Any, variable: Any, learning_rate: Any, mean: Any, kind: str
) -> None:
    import tensorflow as tf

    mean.assign(mean * optimizer.momentum + gradient)
    ahead = tf.reshape(gradient + optimizer.momentum * mean.value, sides(tuple(variable.shape)))
    # Its length is taken before it is rounded; what follows bears the fewer bits.
    ahead = tf.cast(tf.math.l2_normalize(ahead, epsilon=EPSILON**2), kind)
    step = optimizer.zeropower_via_newtonschulz5(ahead, optimizer.ns_steps)
    step = optimizer.lr_adjust(tf.cast(step, tf.float32)) * learning_rate
    variable.assign_sub(tf.reshape(step, variable.shape))
