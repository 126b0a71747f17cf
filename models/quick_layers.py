"""Dropout, GELU, gates and norms in fewer passes over memory than Keras's.

Each of theirs is a dozen TensorFlow operations, forward and back, that read and write the whole
tensor: together they take a tenth of a training step on a CPU.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import tensorflow as tf

LEVELS = 1 << 16  # of a random number that decides what is dropped


def dropout(x: tf.Tensor, rate: float, seed: tf.Tensor) -> tf.Tensor:
    """Returns `x` with a share of its elements 0 and the others scaled up, so that the mean stays.

    Two elements share the 32 bits of a random number, which is exact enough for a rate: to 1/65536.

    Args:
        x: Floats, any shape.
        rate: Share to drop, 0 to 1.
        seed: int32 [2].

    Source: https://jmlr.org/papers/v15/srivastava14a.html.
    """
    import tensorflow as tf

    shape = tf.shape(x)
    count = tf.reduce_prod(shape)
    bits = tf.random.stateless_uniform([(count + 1) // 2], seed, None, None, tf.int32)
    parts = tf.reshape(tf.bitcast(bits, tf.int16), [-1])[:count]
    dropped = round(rate * LEVELS)
    kept = tf.cast(parts >= dropped - LEVELS // 2, x.dtype) * (LEVELS / (LEVELS - dropped))
    return x * tf.reshape(kept, shape)


def gelu(x: tf.Tensor) -> tf.Tensor:
    """Returns GELU.

    Source: https://arxiv.org/abs/1606.08415, section 2.
    """
    import tensorflow as tf

    def forward(x: Any) -> Any:
        gate = tf.math.erf(x * math.sqrt(0.5)) * 0.5 + 0.5

        def gradient(upstream: Any) -> Any:
            density = tf.exp(x * x * -0.5) * (1 / math.sqrt(2 * math.pi))
            return upstream * (gate + x * density)

        return x * gate, gradient

    return tf.custom_gradient(forward)(x)


def tanh_gelu(x: tf.Tensor) -> tf.Tensor:
    """Returns GELU with the tanh in the place of the error function.

    0.5 (1 + tanh u) is sigmoid(2 u), whose gradient is one operation.

    Source: https://arxiv.org/abs/1606.08415, section 2.
    """
    import tensorflow as tf

    slope, bend = 2 * math.sqrt(2 / math.pi), 0.044715

    def gelu(x: Any) -> Any:
        square = x * x
        gate = tf.sigmoid(x * (square * (slope * bend) + slope))

        def gradient(upstream: Any) -> Any:
            scaled = upstream * x
            inside = tf.raw_ops.SigmoidGrad(y=gate, dy=scaled)
            return inside * (square * (3 * slope * bend) + slope) + upstream * gate

        return x * gate, gradient

    return tf.custom_gradient(gelu)(x)


def swiglu(x: tf.Tensor) -> tf.Tensor:
    """Returns the sigmoid linear unit of the first half of the last axis times the second half.

    Source: https://arxiv.org/abs/2002.05202, section 2.
    """
    import tensorflow as tf

    def forward(x: Any) -> Any:
        gate, value = tf.split(x, 2, -1)
        half = tf.sigmoid(gate)
        opened = gate * half

        def gradient(upstream: Any) -> Any:
            slope = half + opened * (1 - half)
            return tf.concat([upstream * value * slope, upstream * opened], -1)

        return opened * value, gradient

    return tf.custom_gradient(forward)(x)


def layer_norm(x: tf.Tensor, scale: tf.Tensor, offset: tf.Tensor, epsilon: float) -> tf.Tensor:
    """Returns a layer norm, float32 [rows, width] to the same.

    Source: https://arxiv.org/abs/1607.06450.
    """
    import tensorflow as tf

    def forward(x: Any, scale: Any, offset: Any) -> Any:
        apart = x - tf.reduce_mean(x, -1, keepdims=True)
        spread = tf.math.rsqrt(tf.reduce_mean(apart * apart, -1, keepdims=True) + epsilon)
        unit = apart * spread

        def gradient(upstream: Any) -> Any:
            inner = upstream * scale
            along = tf.reduce_mean(inner * unit, -1, keepdims=True)
            inner = inner - tf.reduce_mean(inner, -1, keepdims=True) - unit * along
            return inner * spread, _column_sums(upstream * unit), _column_sums(upstream)

        return unit * scale + offset, gradient

    return tf.custom_gradient(forward)(x, scale, offset)


def rms_norm(x: tf.Tensor, scale: tf.Tensor, epsilon: float) -> tf.Tensor:
    """Returns a norm by the root of the mean square, float32 [rows, width] to the same.

    Source: https://arxiv.org/abs/1910.07467.
    """
    import tensorflow as tf

    def forward(x: Any, scale: Any) -> Any:
        spread = tf.math.rsqrt(tf.reduce_mean(x * x, -1, keepdims=True) + epsilon)
        unit = x * spread

        def gradient(upstream: Any) -> Any:
            inner = upstream * scale
            along = tf.reduce_mean(inner * unit, -1, keepdims=True)
            return (inner - unit * along) * spread, _column_sums(upstream * unit)

        return unit * scale, gradient

    return tf.custom_gradient(forward)(x, scale)


def _column_sums(x: tf.Tensor) -> tf.Tensor:
    """Returns the sum of each column, as a product: quicker than TensorFlow's sum over rows."""
    import tensorflow as tf

    return tf.matmul(tf.ones([1, tf.shape(x)[0]], x.dtype), x)[0]
