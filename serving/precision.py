"""In what numbers a served encoder keeps its weights, and in what it multiplies them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np

from textmill.errors import UserError, nearest, one_of

if TYPE_CHECKING:
    import tensorflow as tf

    from textmill.encoder_weights import Array


Name = Literal["float32", "bfloat16_weights", "bfloat16", "int8_weights"]


class Precision(NamedTuple):
    """Types by their names in TensorFlow: float32, bfloat16 or int8.

    Sums, norms, softmax and whatever leaves the encoder are float32 in any case.

    Attributes:
        weights: Of matrices and embeddings, as they are stored. int8 has float32 scales beside it,
            one for each output of a matrix and for each row of a table.
        products: Of both sides of a matrix product.
        tolerance: By how much a score may differ from the trained model's.
    """

    weights: str = "float32"
    products: str = "float32"
    tolerance: float = 1e-5


FLOAT32 = Precision()
PRECISIONS: dict[Name, Precision] = {
    "float32": FLOAT32,
    "bfloat16_weights": Precision(weights="bfloat16", tolerance=3e-2),
    "bfloat16": Precision("bfloat16", "bfloat16", 3e-2),
    "int8_weights": Precision(weights="int8", tolerance=5e-2),
}
LARGEST = 127  # of int8, on both sides of 0


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

    def matrix(self, value: Array) -> tuple[Place, Place | None]:
        """Keeps the kernel of a dense layer, and the scales of its outputs if it has any."""
        if self.precision.weights != "int8":
            return self._put(value, self.precision.weights), None
        whole, scale = _whole(value, axis=0)
        return self._put(whole, "int8"), self._put(scale, "float32")

    def vector(self, value: Array) -> Place:
        """Keeps a bias or a part of a norm: float32, for they are small."""
        return self._put(value, "float32")

    def table(self, value: Array) -> Callable[[tf.Tensor], tf.Tensor]:
        """Keeps embeddings; what comes back looks ids up, float32 [ids, width]."""
        import tensorflow as tf

        if self.precision.weights == "int8":
            whole, scale = (
                self._keep(x, kind)
                for x, kind in zip(_whole(value, axis=1), ("int8", "float32"), strict=True)
            )
            return lambda ids: tf.cast(tf.gather(whole, ids), tf.float32) * tf.gather(scale, ids)
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

    def _keep(self, value: Array, kind: str) -> tf.Variable:
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
            value = tf.cast(value, tf.float32) * self.vector(scale)
        return tf.cast(value, self._products)

    def vector(self, place: Place) -> tf.Tensor:
        """Returns what `Store.vector` kept."""
        import tensorflow as tf

        if place.shelf not in self._read:
            # TensorFlow shares the memory of arrays that fill whole lines of the cache.
            self._read[place.shelf] = tf.unstack(self._shelves[place.shelf].read_value())
        return self._read[place.shelf][place.number]


def _whole(value: Array, axis: int) -> tuple[Array, Array]:
    """Returns a matrix as whole numbers and the scale of each line along `axis`.

    Source: https://arxiv.org/abs/1712.05877, symmetric and by channel.
    """
    scale = np.abs(value).max(axis, keepdims=True) / LARGEST
    whole = np.rint(value / np.where(scale > 0, scale, 1))
    return whole.astype(np.float32), scale
