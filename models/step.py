"""A step of training: gradients of a batch, in one piece or several, on one device or many."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import keras
    import numpy as np
    import numpy.typing as npt
    import tensorflow as tf

    Floats = npt.NDArray[np.float32]


class Step:
    """What moves a model's weights, and what scores rows with them.

    A batch comes as pieces of `(inputs, labels, weights)`, where the weights of all its pieces sum
    to 1: so the gradient is that of the batch's mean loss, however the batch is cut into pieces or
    spread over devices.

    Args:
        model: From a dict of token ids and masks [rows, tokens] to logits [rows, …].
        optimizer: Built for the model.
        loss: From labels and logits to a loss for each row [rows].
        right: From labels and logits to how much of each row is right [rows], or to None.
        strategy: The devices; model and optimizer were made in its scope.
        clip_norm: Longest gradient of all weights together; None: any.
        xla: Whether XLA compiles the step, a program for each shape of its input.
    """

    def __init__(
        self,
        model: keras.Model,
        optimizer: keras.optimizers.Optimizer,
        loss: Callable[[tf.Tensor, tf.Tensor], tf.Tensor],
        right: Callable[[tf.Tensor, tf.Tensor], tf.Tensor | None],
        strategy: tf.distribute.Strategy,
        *,
        clip_norm: float | None = None,
        xla: bool = False,
    ) -> None:
        import tensorflow as tf

        self.model, self.optimizer = model, optimizer
        self._loss, self._right, self._strategy = loss, right, strategy
        self._clip_norm = clip_norm
        self._sums: list[tf.Variable] = []

        def taking(function: Any, *, xla: bool = False) -> Any:
            run = tf.function(function, jit_compile=True) if xla else function
            # It takes the data itself, whose shapes are open there: handed in, every new length of
            # a row would trace the function again.
            return tf.function(lambda data: strategy.run(run, args=next(data)))

        self._whole = taking(self._move, xla=xla)
        self._add = taking(self._add_gradients, xla=xla)
        self._apply = tf.function(lambda: strategy.run(self._apply_sums))
        self._score = taking(lambda inputs, labels, weights: (self._logits(inputs),))

    def __call__(
        self, data: Any, learning_rate: float, *, pieces: int = 1
    ) -> tuple[Floats, Floats]:
        """Moves the weights by one batch.

        Args:
            data: An iterator of the strategy's datasets; `pieces` elements are taken.
            learning_rate: How far.
            pieces: How many of them make the batch.

        Returns:
            The loss of each row, and how much of it was right (NaN where a task does not say), of
            before the move: [rows] each.
        """
        self.optimizer.learning_rate = learning_rate
        if pieces == 1:
            losses, right = self._gathered([self._whole(data)])
            return losses, right
        if not self._sums:
            self._make_sums()
        found = [self._add(data) for _ in range(pieces)]
        self._apply()
        losses, right = self._gathered(found)
        return losses, right

    def score(self, data: Any) -> Floats:
        """Returns the logits of the next rows as prediction gives them: [rows, …]."""
        (logits,) = self._gathered([self._score(data)])
        return logits

    def _gathered(self, found: Sequence[tuple[Any, ...]]) -> tuple[Floats, ...]:
        """Joins what the devices gave for the pieces of a batch, in the order of its rows."""
        import numpy as np

        local = self._strategy.experimental_local_results
        return tuple(
            np.concatenate([part.numpy() for value in values for part in local(value)])
            for values in zip(*found, strict=True)
        )

    def _logits(self, inputs: Any, *, training: bool = False) -> tf.Tensor:
        import tensorflow as tf

        return tf.cast(self.model(inputs, training=training), tf.float32)

    def _gradients(self, inputs: Any, labels: Any, weights: Any) -> Any:
        import tensorflow as tf

        variables = [v.value for v in self.model.trainable_variables]
        with tf.GradientTape() as tape:
            logits = self._logits(inputs, training=True)
            losses = self._loss(labels, logits)
            total = tf.reduce_sum(losses * weights)
        # Dense, because the rows that an embedding's gradient repeats count as their sum.
        gradients = [tf.convert_to_tensor(g) for g in tape.gradient(total, variables)]
        right = self._right(labels, logits)
        return (
            gradients,
            losses,
            tf.fill(tf.shape(losses), float("nan")) if right is None else right,
        )

    def _move(self, inputs: Any, labels: Any, weights: Any) -> Any:
        import tensorflow as tf

        gradients, losses, right = self._gradients(inputs, labels, weights)
        # All gradients or none: when memory runs out, the same batch is tried again in pieces.
        with tf.control_dependencies(gradients):
            self._apply_gradients(gradients)
        return losses, right

    def _add_gradients(self, inputs: Any, labels: Any, weights: Any) -> Any:
        gradients, losses, right = self._gradients(inputs, labels, weights)
        for total, gradient in zip(self._sums, gradients, strict=True):
            total.assign_add(gradient)
        return losses, right

    def _apply_sums(self) -> None:
        import tensorflow as tf

        self._apply_gradients([total.read_value() for total in self._sums])
        for total in self._sums:
            total.assign(tf.zeros_like(total))

    def _apply_gradients(self, gradients: list[tf.Tensor]) -> None:
        import tensorflow as tf

        devices = self._strategy.num_replicas_in_sync
        if self._clip_norm is not None:
            if devices > 1:
                # The norm is that of the whole gradient. The optimizer adds up over devices again.
                context = tf.distribute.get_replica_context()
                gradients = context.all_reduce("SUM", gradients)
                gradients = [gradient / devices for gradient in gradients]
            norm = tf.linalg.global_norm(gradients) * devices
            scale = self._clip_norm / tf.maximum(norm, self._clip_norm)
            gradients = [gradient * scale for gradient in gradients]
        self.optimizer.apply(gradients, self.model.trainable_variables)

    def _make_sums(self) -> None:
        import tensorflow as tf

        with self._strategy.scope():
            self._sums = [
                tf.Variable(
                    tf.zeros(v.shape),
                    trainable=False,
                    synchronization=tf.VariableSynchronization.ON_READ,
                    aggregation=tf.VariableAggregation.SUM,
                )
                for v in self.model.trainable_variables
            ]
