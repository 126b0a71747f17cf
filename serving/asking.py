"""A function from token ids to texts, and the signatures that ask it for some text."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from textmill.serving.defaults import kind_of

if TYPE_CHECKING:
    import tensorflow as tf

    Answer = Callable[..., dict[str, tf.Tensor]]
    Read = Callable[[tf.Tensor], tf.RaggedTensor]


class Asking:
    """What answers token ids, traced once: so the graph holds a decoder once, whoever asks it.

    Args:
        answer: From token ids, int32 [rows, (tokens)], and numbers, [rows] or [1] each.
        defaults: The numbers that it takes, by name, as they are where a request says nothing.
    """

    def __init__(self, answer: Answer, defaults: Mapping[str, float]) -> None:
        import tensorflow as tf

        self._defaults = dict(defaults)
        kinds = {name: kind_of(value) for name, value in defaults.items()}
        self._numbers = {name: tf.TensorSpec([None], kind, name) for name, kind in kinds.items()}
        ids = tf.RaggedTensorSpec([None, None], tf.int32, 1, tf.int64)
        specs = [ids, *self._numbers.values()]
        self._ask = tf.function(answer, input_signature=specs, autograph=False)

    def by_default(self, text: tf.TensorSpec, read: Read) -> tf.types.experimental.ConcreteFunction:
        """Returns a signature that takes text alone.

        It is traced here, not while a model is saved: there TensorFlow traces all anew.

        Args:
            text: The text, string [rows].
            read: Makes token ids of it.
        """
        import tensorflow as tf

        def answer(text: tf.Tensor) -> dict[str, tf.Tensor]:
            numbers = (tf.constant([n], kind_of(n)) for n in self._defaults.values())
            found: dict[str, tf.Tensor] = self._ask(read(text), *numbers)
            return found

        return tf.function(answer, autograph=False).get_concrete_function(text)

    def by_wish(self, text: tf.TensorSpec, read: Read) -> tf.types.experimental.ConcreteFunction:
        """Returns a signature that takes the numbers too; see `by_default`."""
        import tensorflow as tf

        def answer(text: tf.Tensor, **numbers: tf.Tensor) -> dict[str, tf.Tensor]:
            given = (numbers[name] for name in self._defaults)
            found: dict[str, tf.Tensor] = self._ask(read(text), *given)
            return found

        return tf.function(answer, autograph=False).get_concrete_function(text, **self._numbers)
