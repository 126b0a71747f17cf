"""Layers of a trained Keras model as arrays, for the graph that serves it."""

from __future__ import annotations

from typing import Any

from textmill.decoder_weights import Activation, Linear, Scale
from textmill.errors import UserError


def joined(*layers: Any) -> Linear:
    """Returns layers on the same input as one, their outputs side by side."""
    import numpy as np

    kernels = [array(each.kernel) for each in layers]
    kernel = np.concatenate([each.reshape(len(each), -1) for each in kernels], -1)
    if layers[0].bias is None:
        return Linear(kernel)
    return Linear(kernel, np.concatenate([array(each.bias).reshape(-1) for each in layers]))


def narrowing(layer: Any) -> Linear:
    """Returns a layer whose input may have heads."""
    kernel = array(layer.kernel)
    bias = None if layer.bias is None else array(layer.bias)
    return Linear(kernel.reshape(-1, kernel.shape[-1]), bias)


def scale(norm: Any) -> Scale:
    """Returns a layer norm."""
    return Scale(array(norm.gamma), array(norm.beta))


def epsilon(norms: list[Any]) -> float:
    """Returns what norms add to a variance, all of them the same.

    Raises:
        UserError: They differ.
    """
    found = {float(each.epsilon) for each in norms}
    if len(found) > 1:
        raise UserError(
            "the norms of this model add different numbers to a variance",
            expected="one epsilon",
            received=str(sorted(found)),
            fix="take the model as it was published",
        )
    return found.pop()


def activation(function: Any) -> Activation:
    """Returns the name of an activation, told by what it computes.

    Raises:
        UserError: It has none that serving knows.
    """
    import keras
    import numpy as np

    at = np.linspace(-3, 3, 13, dtype=np.float32)
    known: dict[Activation, Any] = {
        "gelu": lambda x: keras.ops.gelu(x, approximate=False),
        "gelu_new": lambda x: keras.ops.gelu(x, approximate=True),
        "relu": keras.ops.relu,
        "silu": keras.ops.silu,
    }
    for name, theirs in known.items():
        if np.allclose(array(function(at)), array(theirs(at)), atol=1e-6):
            return name
    raise UserError(
        "the activation of this model can't be served yet",
        expected=", ".join(known),
        received=str(getattr(function, "__name__", function)),
        fix="take a model with one of these",
    )


def array(value: Any) -> Any:
    """Returns a variable of Keras as float32."""
    import keras
    import numpy as np

    return np.asarray(keras.ops.convert_to_numpy(value), np.float32)
