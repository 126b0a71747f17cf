"""In what numbers a served encoder keeps its weights, and in what it multiplies them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from textmill.errors import UserError, nearest, one_of
from textmill.serving.quantization import dequantized, quantized

if TYPE_CHECKING:
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


class Place(NamedTuple):
    """Where a `Store` keeps an array: on which shelf, and which of the arrays there it is."""

    shelf: tuple[str, tuple[int, ...]]
    number: int


class Store:
    """Keeps weights as variables, each number once, and hands them to the graph.

    Arrays of one type and shape lie on one shelf, which is one variable however many layers there
    are: to hand a variable over to a request takes longer than to find an array in it.

    Attributes:
        variables: All of them, for whoever saves the graph; complete when `close` was called.
        precision: In what numbers.
    """

    def __init__(self, precision: Precision) -> None:
        self.variables: list[tf.Variable] = []
        self.precision = precision
        self._open: dict[tuple[str, tuple[int, ...]], list[Array]] = {}
        self._shelves: dict[tuple[str, tuple[int, ...]], tf.Variable] = {}

    def matrix(self, value: Array, axis: int = 0) -> tuple[Place, Place | None]:
        """Keeps the kernel of a dense layer, and the scales of its numbers if it has any.

        Args:
            value: float32 [rows, columns].
            axis: Along which the inputs of the layer are: numbers of an output share scales.
        """
        if self.precision.weights != "int8":
            return self._put(value, self.precision.weights), None
        whole, scale = quantized(value, axis)
        return self._put(whole, "int8"), self._put(scale, "float32")

    def vector(self, value: Array) -> Place:
        """Keeps a bias or a part of a norm: float32, for they are small."""
        return self._put(value, "float32")

    def numbers(self, value: npt.NDArray[np.int32]) -> tf.Variable:
        """Keeps whole numbers, which are no weights."""
        return self._keep(value, "int32")

    def table(self, value: Array) -> Callable[[tf.Tensor], tf.Tensor]:
        """Keeps embeddings; what comes back looks ids up, float32 [ids, width]."""
        import tensorflow as tf

        if self.precision.weights == "int8":
            pairs = zip(quantized(value, axis=1), ("int8", "float32"), strict=True)
            whole, scale = (self._keep(array, kind) for array, kind in pairs)
            width = value.shape[1]
            return lambda ids: dequantized(tf.gather(whole, ids), tf.gather(scale, ids), width)
        kept = self._keep(value, self.precision.weights)
        return lambda ids: tf.cast(tf.gather(kept, ids), tf.float32)

    def close(self) -> None:
        """Makes variables of the shelves; nothing is put there from then on."""
        for shelf, values in self._open.items():
            self._shelves[shelf] = self._keep(np.stack(values), shelf[0])
        self._open.clear()

    def read(self) -> Reading:
        """Returns what reads the shelves, each once, in the graph where this is called."""
        return Reading(self._shelves, self.precision.products)

    def _put(self, value: Array, kind: str) -> Place:
        values = self._open.setdefault((kind, value.shape), [])
        values.append(value)
        return Place((kind, value.shape), len(values) - 1)

    def _keep(self, value: npt.NDArray[Any], kind: str) -> tf.Variable:
        import tensorflow as tf

        kept = tf.Variable(tf.cast(value, kind), trainable=False)
        self.variables.append(kept)
        return kept


class Reading:
    """The weights of a `Store` as tensors of one graph."""

    def __init__(
        self, shelves: dict[tuple[str, tuple[int, ...]], tf.Variable], products: str
    ) -> None:
        self._shelves, self._products = shelves, products
        self._read: dict[tuple[str, tuple[int, ...]], list[tf.Tensor]] = {}

    def matrix(self, kept: tuple[Place, Place | None]) -> tf.Tensor:
        """Returns what `Store.matrix` kept, ready for a product."""
        import tensorflow as tf

        place, scale = kept
        value = self.vector(place)
        if scale is not None:
            _, inner, last = place.shelf[1]
            # Groups of a column lie above each other, those of a row side by side.
            width = last if scale.shelf[1][1] == 1 else inner * last
            value = dequantized(value, self.vector(scale), width)
        return tf.cast(value, self._products)

    def vector(self, place: Place) -> tf.Tensor:
        """Returns what `Store.vector` kept."""
        import tensorflow as tf

        if place.shelf not in self._read:
            # TensorFlow shares the memory of arrays that fill whole lines of the cache.
            self._read[place.shelf] = tf.unstack(self._shelves[place.shelf].read_value())
        return self._read[place.shelf][place.number]
