"""In what numbers a served encoder keeps its weights, and in what it multiplies them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import tensorflow as tf

    from textmill.encoder_weights import Array


class Precision(NamedTuple):
    """Types by their names in TensorFlow: float32 or bfloat16.

    Sums, norms, softmax and whatever leaves the encoder are float32 in any case.

    Attributes:
        weights: Of matrices and embeddings, as they are stored.
        products: Of both sides of a matrix product.
    """

    weights: str = "float32"
    products: str = "float32"


FLOAT32 = Precision()
PRECISIONS = {
    "float32": FLOAT32,
    "bfloat16_weights": Precision(weights="bfloat16"),
    "bfloat16": Precision("bfloat16", "bfloat16"),
}


class Store:
    """Keeps weights as variables, each once, and hands them to the graph as it computes with them.

    A kind of number that takes more than a cast, such as int8 with a scale for each output, is
    a branch in `matrix` and `table`: the graph asks for tensors, and not how they are stored.

    Attributes:
        variables: All of them, for whoever saves the graph.
        precision: In what numbers.
    """

    def __init__(self, precision: Precision) -> None:
        self.variables: list[tf.Variable] = []
        self.precision = precision

    def matrix(self, value: Array) -> Callable[[], tf.Tensor]:
        """Keeps the kernel of a dense layer; what comes back reads it, ready for a product."""
        import tensorflow as tf

        kept = self._keep(value, self.precision.weights)
        return lambda: tf.cast(kept.read_value(), self.precision.products)

    def vector(self, value: Array) -> tf.Variable:
        """Keeps a bias or a part of a norm: float32, for they are small."""
        return self._keep(value, "float32")

    def table(self, value: Array) -> Callable[[tf.Tensor], tf.Tensor]:
        """Keeps embeddings; what comes back looks ids up, float32 [ids, width]."""
        import tensorflow as tf

        kept = self._keep(value, self.precision.weights)
        return lambda ids: tf.cast(tf.gather(kept, ids), tf.float32)

    def _keep(self, value: Array, kind: str) -> Any:
        import tensorflow as tf

        kept = tf.Variable(tf.cast(value, kind), trainable=False)
        self.variables.append(kept)
        return kept
