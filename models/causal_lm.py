"""Causal language models: from packed rows to the loss of every token that is to be guessed."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import TYPE_CHECKING, Any

from textmill.errors import UserError
from textmill.models.quick_decoder import packed_decoder
from textmill.models.target_losses import cross_entropy, linear_losses

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
                losses = linear_losses(hidden, kernel, wanted, smooth, most_logits)
            else:
                given = self.backbone.token_embedding(hidden, reverse=True)
                losses = cross_entropy(given, wanted, smooth)
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

    from textmill.models import more_weights

    names = {**vars(keras_hub.models), **vars(more_weights)}
    classes: Any = filter(inspect.isclass, names.values())
    hub = keras_hub.models
    theirs = [each for each in classes if issubclass(each, hub.CausalLM)]
    theirs = [each for each in theirs if not issubclass(each, hub.Seq2SeqLM)]
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

    from textmill.models import more_weights  # noqa: F401 - it registers what the files name
    from textmill.models.checkpoint import load_task

    return load_task(path, keras_hub.models.CausalLM)


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
