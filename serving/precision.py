"""In what numbers a served encoder keeps its weights, and in what it multiplies them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from textmill.errors import UserError, nearest, one_of
from textmill.serving.quantization import dequantized, quantized

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import tensorflow as tf

    from textmill.encoder_weights import Array


Name = Literal["float32", "bfloat16_weights", "bfloat16", "int8_weights"]


class Precision(NamedTuple):
    """Types by their names in TensorFlow: float32, bfloat16 or int8.

    Sums, norms, softmax and whatever leaves the encoder are float32 in any case.

    Attributes:
        weights: Of matrices and embeddings, as they are stored. int8 has float32 scales beside it,
            one for some inputs of an output of a matrix, and for some columns of a row of a table.
        products: Of both sides of a matrix product.
        tolerance: By how much a score may differ from the trained model's.
    """

    weights: str = "float32"
    products: str = "float32"
    tolerance: float = 1e-5


FLOAT32 = Precision()
# Of fine-tuned six-layer MiniLM, 3,447 test rows: the most that a score differed by was 0.009 with
# weights in bfloat16, 0.019 with products too (0.011 in 999 of 1,000 rows), 0.035 with int8.
# benchmarks/variant_accuracy.py measures it. Other models have somewhat more.
PRECISIONS: dict[Name, Precision] = {
    "float32": FLOAT32,
    "bfloat16_weights": Precision(weights="bfloat16", tolerance=1.5e-2),
    "bfloat16": Precision("bfloat16", "bfloat16", 2.5e-2),
    "int8_weights": Precision(weights="int8", tolerance=5e-2),
}


def precision_named(name: str) -> Name:
    """Returns a name that `PRECISIONS` knows.

    Raises:
        UserError: It is none of them.

    Example:
        >>> precision_named("bfloat16")
        'bfloat16'
    """
    for known in PRECISIONS:
        if known == name:
            return known
    near = nearest(name, PRECISIONS)
    raise UserError(
        f"no precision {name!r}",
        expected=one_of(PRECISIONS),
        received=repr(name),
        fix=f"did you mean {near}?" if near else "take float32",
    )


class Store:
    """Keeps weights as variables, each once, and hands them to the graph as it computes with them.

    The graph asks for tensors, and not how they are stored.

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

        if self.precision.weights == "int8":
            whole, scale = self._keep_int8(value, axis=0)
            width = value.shape[1]
            return lambda: tf.cast(
                dequantized(whole.read_value(), scale, width), self.precision.products
            )
        kept = self._keep(value, self.precision.weights)
        return lambda: tf.cast(kept.read_value(), self.precision.products)

    def vector(self, value: Array) -> tf.Variable:
        """Keeps a bias or a part of a norm: float32, for they are small."""
        return self._keep(value, "float32")

    def numbers(self, value: npt.NDArray[np.int32]) -> tf.Variable:
        """Keeps whole numbers, which are no weights."""
        return self._keep(value, "int32")

    def table(self, value: Array) -> Callable[[tf.Tensor], tf.Tensor]:
        """Keeps embeddings; what comes back looks ids up, float32 [ids, width]."""
        import tensorflow as tf

        if self.precision.weights == "int8":
            whole, scale = self._keep_int8(value, axis=1)
            width = value.shape[1]
            return lambda ids: dequantized(tf.gather(whole, ids), tf.gather(scale, ids), width)
        kept = self._keep(value, self.precision.weights)
        return lambda ids: tf.cast(tf.gather(kept, ids), tf.float32)

    def _keep_int8(self, value: Array, axis: int) -> tuple[tf.Variable, tf.Variable]:
        """Keeps a matrix as whole numbers, with scales along `axis`."""
        whole, scale = quantized(value, axis)
        return self._keep(whole, "int8"), self._keep(scale, "float32")

    def _keep(self, value: npt.NDArray[Any], kind: str) -> Any:
        import tensorflow as tf

        kept = tf.Variable(tf.cast(value, kind), trainable=False)
        self.variables.append(kept)
        return kept
