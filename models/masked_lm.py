"""Masked language models: KerasHub's, with the head of a checkpoint where it has one."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from textmill.errors import UserError
from textmill.models.numerics import get_numerics
from textmill.models.preset import Preset, Scratch

if TYPE_CHECKING:
    import keras
    import tensorflow as tf

# Model type in `config.json` -> the head's dense layer, its norm and its bias in PyTorch. The
# matrix is that of the embeddings.
_BERT = (
    "cls.predictions.transform.dense",
    "cls.predictions.transform.LayerNorm",
    "cls.predictions",
)
_ROBERTA = ("lm_head.dense", "lm_head.layer_norm", "lm_head")
_HEADS = {
    "albert": ("predictions.dense", "predictions.LayerNorm", "predictions"),
    "bert": _BERT,
    "deberta-v2": _BERT,
    "distilbert": ("vocab_transform", "vocab_layer_norm", "vocab_projector"),
    "roberta": _ROBERTA,
    "xlm-roberta": _ROBERTA,
}


def build(backbone: keras.Model, name: str = "the preset") -> keras.Model:
    """Returns KerasHub's masked language model for a backbone, with a new head.

    It takes token_ids, padding_mask, perhaps segment_ids, and mask_positions, int32 [rows, most];
    and gives the logits of these places alone, [rows, most, tokens]. The head's matrix is that of
    the embeddings, and it computes with the encoder's activation and epsilon.

    Args:
        backbone: KerasHub's; it computes all tokens, and quicker, from then on.
        name: What to call it in a message.

    Raises:
        UserError: KerasHub has no masked language model for it.

    Source: https://arxiv.org/abs/1810.04805, section 3.1.
    """
    from textmill.models.quick_encoder import quicken

    made = masked_lm_class(backbone, name)(backbone=backbone)
    for layer in backbone.layers:
        if layer.name == "pooled_dense":  # no guess depends on it
            layer.trainable = False
    quicken(backbone, first_token_only=False)
    like_its_encoder(made)
    return made


def masked_lm_class(backbone: keras.Model, name: str = "the preset") -> Any:
    """Returns KerasHub's masked language model for a backbone.

    Raises:
        UserError: There is none.
    """
    import keras_hub

    classes: Any = filter(inspect.isclass, vars(keras_hub.models).values())
    theirs = [each for each in classes if issubclass(each, keras_hub.models.MaskedLM)]
    known = [each for each in theirs if each.backbone_cls is not None]
    for found in known:
        if found.backbone_cls is type(backbone):
            return found
    raise UserError(
        f"{name}: KerasHub has no masked language model for {type(backbone).__name__}",
        expected=", ".join(sorted(each.backbone_cls.__name__ for each in known)),
        received=type(backbone).__name__,
        fix="take another model, such as BERT or RoBERTa",
    )


def like_its_encoder(model: keras.Model) -> None:
    """Makes the head compute with the activation and the epsilon of the encoder."""
    import keras

    numerics = get_numerics(model.backbone)
    if numerics is None:
        return
    layers = model.backbone._flatten_layers()
    inner = (getattr(each, "_feedforward_intermediate_dense", None) for each in layers)
    head = model.masked_lm_head
    head._intermediate_dense.activation = next(each.activation for each in inner if each)
    assert isinstance(head._intermediate_layer_norm, keras.layers.LayerNormalization)
    head._intermediate_layer_norm.epsilon = numerics.layer_norm_epsilon


def load_head(model: keras.Model, preset: Preset | Scratch) -> bool:
    """Sets the head's weights to those of a checkpoint, where it has them.

    Args:
        model: What `build` returned for the checkpoint's backbone.
        preset: A Hugging Face model, or what a pretraining of ours left.

    Returns:
        Whether it has them.

    Raises:
        UserError: One of them is missing or does not fit.
    """
    if isinstance(preset, Scratch):
        return False
    if preset.from_keras:
        return _load_ours(model, preset)
    from textmill.models.huggingface import Source

    source = Source(preset)
    names = _HEADS.get(preset.config()["model_type"])
    if names is None or not source.has(f"{names[0]}.weight"):
        return False
    dense, norm, last = names
    matrix = f"{last}.weight" if last == "vocab_projector" else f"{last}.decoder.weight"
    words = "embeddings.word_embeddings.weight"
    if source.has(matrix) and not np.array_equal(
        source.get_tensor(matrix), source.get_tensor(words)
    ):
        raise UserError(
            f"{preset.name}: its head for masked words has a matrix of its own",
            expected=f"{matrix} that equals the embeddings of words",
            received="other values",
            fix="take another model, or take the head's weights out of the file",
        )
    # It has two names in PyTorch, and a file has one of them or both.
    bias = f"{last}.bias" if source.has(f"{last}.bias") else f"{last}.decoder.bias"
    head: Any = model.masked_lm_head
    source.port_weight(
        head._intermediate_dense.kernel, f"{dense}.weight", lambda x, shape: x.T.reshape(shape)
    )
    source.port_weight(head._intermediate_dense.bias, f"{dense}.bias")
    source.port_weight(head._intermediate_layer_norm.gamma, f"{norm}.weight")
    source.port_weight(head._intermediate_layer_norm.beta, f"{norm}.bias")
    source.port_weight(head._bias, bias)
    return True


def _load_ours(model: keras.Model, preset: Preset) -> bool:
    from keras_hub.src.utils.preset_utils import load_json

    file = preset.file("task.weights.h5")
    if file is None or preset.file("task.json") is None:
        return False
    if (
        load_json(preset.name, "task.json")["registered_name"].split(">")[-1]
        != type(model).__name__
    ):
        return False
    model.load_task_weights(str(file))
    return True


def loss(labels: tf.Tensor, logits: tf.Tensor, *, smoothing: float = 0.0) -> tf.Tensor:
    """Returns the mean cross-entropy of each row's guesses, in nats: float32 [rows].

    Args:
        labels: int32 [rows, most], -1 where there is nothing to guess.
        logits: float32 [rows, most, tokens].
        smoothing: Share of each label that goes to all tokens alike.
    """
    import tensorflow as tf

    each = tf.nn.sparse_softmax_cross_entropy_with_logits(tf.maximum(labels, 0), logits)
    if smoothing:
        every = tf.reduce_logsumexp(logits, -1) - tf.reduce_mean(logits, -1)
        each = (1 - smoothing) * each + smoothing * every
    return _mean(labels, each)


def right(labels: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
    """Returns the share of each row's guesses that are right: float32 [rows]."""
    import tensorflow as tf

    said = tf.argmax(logits, -1, labels.dtype)
    return _mean(labels, tf.cast(said == labels, tf.float32))


def _mean(labels: tf.Tensor, values: tf.Tensor) -> tf.Tensor:
    import tensorflow as tf

    used = tf.cast(labels >= 0, tf.float32)
    return tf.reduce_sum(values * used, 1) / tf.maximum(tf.reduce_sum(used, 1), 1.0)


def load(path: Path) -> keras.Model:
    """Returns the masked language model that `pretrain` left in a folder."""
    import keras_hub

    from textmill.models.checkpoint import restore_numerics

    model = keras_hub.models.MaskedLM.from_preset(str(path), preprocessor=None)
    restore_numerics(model.backbone, path)
    like_its_encoder(model)
    return model
