"""What an encoder computes with beside its weights: activation, and epsilon of its norms.

KerasHub's classes fix both. Checkpoints differ: BERT of Hugging Face uses GELU with the error
function, KerasHub's the approximation with tanh, and a logit differs by a thousandth.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import keras

# Names in `config.json` of Hugging Face -> whether GELU is approximated with tanh; None: ReLU.
ACTIVATIONS: dict[str, bool | None] = {
    "gelu": False,
    "gelu_new": True,
    "gelu_fast": True,
    "gelu_pytorch_tanh": True,
    "gelu_accurate": True,
    "gelu_python": False,
    "gelu_python_tanh": True,
    "relu": None,
}


@dataclass(frozen=True)
class Numerics:
    """Numbers of an encoder.

    Attributes:
        activation: Of the feed-forward blocks; a key of `ACTIVATIONS`.
        layer_norm_epsilon: What is added to a variance.
    """

    activation: str
    layer_norm_epsilon: float


def set_numerics(backbone: keras.Model, numerics: Numerics) -> None:
    """Makes a KerasHub encoder compute with these.

    They stay with the object: a preset that is saved from it loads with KerasHub's own, unless
    `textmill/numerics.json` beside it is heeded.
    """
    import keras

    tanh = ACTIVATIONS[numerics.activation]
    for layer in backbone._flatten_layers():
        if isinstance(layer, keras.layers.LayerNormalization):
            layer.epsilon = numerics.layer_norm_epsilon
        inner = getattr(layer, "_feedforward_intermediate_dense", None)
        if inner is not None:
            inner.activation = keras.activations.relu if tanh is None else _gelu(tanh)


def get_numerics(backbone: keras.Model) -> Numerics | None:
    """Returns what a KerasHub encoder computes with; None where its blocks are of other kinds."""
    import keras

    layers = backbone._flatten_layers()
    norms = [each for each in layers if isinstance(each, keras.layers.LayerNormalization)]
    inner = [getattr(each, "_feedforward_intermediate_dense", None) for each in layers]
    found = {each.activation for each in inner if each is not None}
    known = {_gelu(False): "gelu", _gelu(True): "gelu_new", keras.activations.relu: "relu"}
    if len(found) != 1 or not found <= known.keys() or not norms:
        return None
    return Numerics(known[found.pop()], float(norms[0].epsilon))


def _gelu(approximate: bool) -> Any:
    import keras
    from keras_hub.src.utils.keras_utils import gelu_approximate

    return gelu_approximate if approximate else keras.activations.gelu
