"""Causal language models: from packed rows to the loss of every token that is to be guessed."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import TYPE_CHECKING, Any

from textmill.errors import UserError
from textmill.models.quick_decoder import packed_decoder

if TYPE_CHECKING:
    import keras
    import tensorflow as tf

INPUTS = ("token_ids", "document", "position", "target")


def build(
    backbone: keras.Model, *, smoothing: float = 0.0, most_logits: int | None = None
) -> keras.Model:
    """Returns a model from packed rows to losses, around KerasHub's backbone.

    It takes `token_ids`, `document` and `position` as `packing.filled` returns them, and `target`,
    the token that comes next or -1 where none is to be guessed: int32 [rows, tokens] each. It gives
    the cross-entropy of each target in nats, float32 [rows, tokens], 0 where there is none; logits
    are computed for targets alone.

    Attention stays inside a document, where KerasHub's layers are of a kind that
    `quick_decoder.packed_decoder` knows. Of others a row must hold one document only, and
    `packs` of the model is false.

    Args:
        backbone: KerasHub's, of a causal language model.
        smoothing: Share of each target that goes to all tokens alike, in training.
        most_logits: That are in memory at a time; each part of them is computed again for the
            gradient. None: all are computed once.

    Source: https://cdn.openai.com/better-language-models/language_models_are_unsupervised_multitask_learners.pdf.
    """
    import keras
    import tensorflow as tf

    decode = packed_decoder(backbone)

    class CausalLosses(keras.Model):  # type: ignore[misc]
        packs = decode is not None

        def __init__(self, backbone: keras.Model) -> None:
            super().__init__(name="causal_losses", dtype="float32")
            self.backbone = backbone

        def call(self, inputs: Any, training: bool | None = None) -> Any:
            token_ids, target = inputs["token_ids"], inputs["target"]
            smooth = smoothing if training else 0.0
            if decode is not None:
                found = decode(token_ids, inputs["document"], inputs["position"], bool(training))
            else:
                held = tf.cast(inputs["document"] > 0, tf.int32)
                given = {"token_ids": token_ids, "padding_mask": held}
                found = self.backbone(given, training=training)
            where = tf.where(target >= 0)
            wanted = tf.gather_nd(target, where)
            hidden = tf.reshape(found, [*_shape(target), found.shape[-1]])
            hidden = tf.gather_nd(hidden, where)
            if decode is not None:
                kernel = _kernel(self.backbone, hidden.dtype)
                losses = _losses(hidden, kernel, wanted, smooth, most_logits)
            else:
                given = self.backbone.token_embedding(hidden, reverse=True)
                losses = _cross_entropy(given, wanted, smooth)
            return tf.scatter_nd(where, losses, tf.shape(target, tf.int64))

    model = CausalLosses(backbone)
    model.built = True  # its only weights are those of the backbone
    return model


def logits(model: keras.Model, inputs: Any) -> tf.Tensor:
    """Returns the logits of every token of packed rows, float32 [rows, tokens, vocabulary].

    Args:
        model: What `build` returned.
        inputs: Of its inputs all but `target`.
    """
    import tensorflow as tf

    decode = packed_decoder(model.backbone)
    assert decode is not None
    found = decode(inputs["token_ids"], inputs["document"], inputs["position"], False)
    kernel = _kernel(model.backbone, found.dtype)
    shape = [*_shape(inputs["token_ids"]), kernel.shape[0]]
    return tf.reshape(tf.cast(tf.matmul(found, kernel, transpose_b=True), tf.float32), shape)


def task_class(backbone: keras.Model, name: str = "the preset") -> Any:
    """Returns KerasHub's causal language model for a backbone.

    Raises:
        UserError: There is none.
    """
    import keras_hub

    classes: Any = filter(inspect.isclass, vars(keras_hub.models).values())
    theirs = [each for each in classes if issubclass(each, keras_hub.models.CausalLM)]
    known = [each for each in theirs if each.backbone_cls is not None]
    for found in known:
        if found.backbone_cls is type(backbone):
            return found
    raise UserError(
        f"{name}: KerasHub has no causal language model for {type(backbone).__name__}",
        expected=", ".join(sorted(each.backbone_cls.__name__ for each in known)),
        received=type(backbone).__name__,
        fix="take another model, such as GPT-2, Llama or Qwen",
    )


def load(path: Path) -> keras.Model:
    """Returns KerasHub's causal language model of a Model artifact, without its tokenizer."""
    import keras_hub

    from textmill.models.checkpoint import load_task

    return load_task(path, keras_hub.models.CausalLM)


def loss(shares: tf.Tensor, losses: tf.Tensor) -> tf.Tensor:
    """Returns the loss of each row, float32 [rows], such that all targets count alike.

    Args:
        shares: What a target counts, float32 [rows].
        losses: Of its targets, float32 [rows, tokens].
    """
    import tensorflow as tf

    return tf.reduce_sum(losses, 1) * shares


def _shape(x: Any) -> list[Any]:
    import tensorflow as tf

    return tf.unstack(tf.shape(x))  # type: ignore[no-any-return]


def _kernel(backbone: Any, kind: Any) -> Any:
    """Returns what hidden states are multiplied with, [vocabulary, width]."""
    import tensorflow as tf

    layer = getattr(backbone, "embeddings", backbone).token_embedding
    if layer.tie_weights:
        return tf.cast(tf.convert_to_tensor(layer.embeddings), kind)
    return tf.cast(tf.transpose(tf.convert_to_tensor(layer.reverse_embeddings)), kind)


def _cross_entropy(logits: Any, target: Any, smoothing: float) -> Any:
    import tensorflow as tf

    logits = tf.cast(logits, tf.float32)
    each = tf.nn.sparse_softmax_cross_entropy_with_logits(target, logits)
    if smoothing:
        every = tf.reduce_logsumexp(logits, -1) - tf.reduce_mean(logits, -1)
        each = (1 - smoothing) * each + smoothing * every
    return each


def _losses(hidden: Any, kernel: Any, target: Any, smoothing: float, most: int | None) -> Any:
    """Returns the cross-entropy of targets, float32 [targets].

    Args:
        hidden: [targets, width].
        kernel: [vocabulary, width].
        target: int32 [targets].
        smoothing: As in `build`.
        most: As in `build`.

    Source: https://arxiv.org/abs/2410.10989, section 3.2 (linear cross entropy in parts).
    """
    import tensorflow as tf

    def of(hidden: Any, kernel: Any, target: Any) -> Any:
        return _cross_entropy(tf.matmul(hidden, kernel, transpose_b=True), target, smoothing)

    if most is None:
        return of(hidden, kernel, target)
    size = max(1, most // kernel.shape[0])
    count = tf.shape(hidden)[0]

    def part(i: Any) -> Any:
        return slice(i * size, tf.minimum((i + 1) * size, count))

    @tf.custom_gradient  # type: ignore[untyped-decorator]
    def in_parts(hidden: Any, kernel: Any) -> Any:
        parts = (count + size - 1) // size

        def forward(i: Any, found: Any) -> Any:
            return i + 1, found.write(i, of(hidden[part(i)], kernel, target[part(i)]))

        room = tf.TensorArray(tf.float32, parts, infer_shape=False, element_shape=[None])
        _, found = tf.while_loop(lambda i, _: i < parts, forward, [0, room])

        def gradient(upstream: Any) -> Any:
            def back(i: Any, before: Any, total: Any) -> Any:
                some = hidden[part(i)]
                with tf.GradientTape() as tape:
                    tape.watch([some, kernel])
                    losses = of(some, kernel, target[part(i)])
                one, other = tape.gradient(losses, [some, kernel], upstream[part(i)])
                return i + 1, before.write(i, one), total + tf.cast(other, tf.float32)

            shape = [None, hidden.shape[-1]]
            room = tf.TensorArray(hidden.dtype, parts, infer_shape=False, element_shape=shape)
            start = [0, room, tf.zeros(kernel.shape)]
            _, before, total = tf.while_loop(lambda i, *_: i < parts, back, start)
            return before.concat(), tf.cast(total, kernel.dtype)

        return found.concat(), gradient

    return in_parts(hidden, kernel)
