"""What of a pretrained model learns, how far, and from which labels."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from textmill.artifact import LabelKind
from textmill.errors import UserError, nearest, one_of

if TYPE_CHECKING:
    import keras
    import numpy.typing as npt
    import tensorflow as tf

    Floats = npt.NDArray[np.float32]
    Loss = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]


def restrict(backbone: keras.Model, *, frozen: bool, lora_rank: int | None) -> None:
    """Keeps an encoder's weights as they are, all or all but small matrices beside them.

    Args:
        backbone: KerasHub's.
        frozen: Whether it learns nothing.
        lora_rank: Rank of the matrices that are added to those of queries and values, and learn
            alone; None: none.

    Source: https://arxiv.org/abs/2106.09685 (LoRA).
    """
    if lora_rank is not None:
        backbone.enable_lora(lora_rank)
    elif frozen:
        backbone.trainable = False


def copy_merged(trained: keras.Model, plain: keras.Model) -> None:
    """Gives `plain` the weights of `trained`, with what LoRA added put into the matrices.

    Args:
        trained: With LoRA or without.
        plain: The same model without.
    """
    pairs = zip(trained._flatten_layers(), plain._flatten_layers(), strict=True)
    for ours, theirs in pairs:
        values = {v.name: v for v in [*ours._trainable_variables, *ours._non_trainable_variables]}
        for variable in [*theirs._trainable_variables, *theirs._non_trainable_variables]:
            merged = variable.name == "kernel" and getattr(ours, "lora_enabled", False)
            variable.assign(ours.kernel if merged else values[variable.name])


def step_sizes(model: keras.Model, decay: float) -> dict[str, float]:
    """Returns the share of the learning rate that each variable of an encoder gets, by its path.

    The last layer gets `decay`, the one below it `decay`², and so on down to the embeddings; the
    head, and what pools for it, is not named, and gets all.

    Args:
        model: A classifier on a KerasHub backbone.
        decay: Above 0, at most 1.

    Source: https://arxiv.org/abs/1801.06146, section 3.2 (discriminative fine-tuning).
    """
    backbone: Any = model.backbone
    layers = transformer_layers(backbone)
    found: dict[str, float] = {}
    for depth, layer in enumerate(reversed(layers), 1):
        found |= {v.path: decay**depth for v in layer.trainable_variables}
    below = decay ** (len(layers) + 1)
    for layer in backbone.layers:
        if layer.name != "pooled_dense":
            for variable in layer.trainable_variables:
                found.setdefault(variable.path, below)
    return found


def transformer_layers(backbone: keras.Model) -> list[keras.layers.Layer]:
    """Returns the layers of a backbone, the lowest first; of a pair the encoder's first."""
    kinds = ("transformer_layers", "encoder_transformer_layers", "decoder_transformer_layers")
    found = [layer for kind in kinds for layer in getattr(backbone, kind, [])]
    # ALBERT has lists of layers that share their weights.
    return [each for layer in found for each in (layer if isinstance(layer, list) else [layer])]


def smoothed(loss: Loss, share: float, kind: LabelKind, classes: int) -> Loss:
    """Returns a loss that takes a share of each label for all labels alike.

    Args:
        loss: Of a task whose labels are of this kind, a loss for each row.
        share: 0 to 1.
        kind: "one", "many" (there each label is a choice between two) or "spans".
        classes: How many labels, or tags, there are.

    Raises:
        UserError: The labels are numbers.

    Source: https://arxiv.org/abs/1512.00567, section 7.
    """
    import tensorflow as tf

    if kind == "number":
        raise UserError(
            "train.label_smoothing: a number can't be smoothed",
            expected="a task with labels to choose from",
            received=f"label_smoothing = {share}",
            fix="remove it from [train]",
        )

    def found(labels: Any, logits: Any) -> Any:
        if kind == "many":
            return loss(labels * (1 - share) + share / 2, logits)
        # Of spans 0 stands for no word, and 1 for the first tag.
        each = [
            tf.fill(tf.shape(labels), i) if kind == "one" else tf.where(labels > 0, i + 1, 0)
            for i in range(classes)
        ]
        others = tf.add_n([loss(tf.cast(ids, labels.dtype), logits) for ids in each]) / classes
        return (1 - share) * loss(labels, logits) + share * others

    return found


def class_weights(
    given: str | Mapping[str, float], names: Sequence[str], labels: npt.NDArray[np.int32]
) -> Floats:
    """Returns how much a row of each class counts: float32 [classes].

    Args:
        given: "balanced" for rows / (classes * rows of the class), as scikit-learn has it; or a
            weight for each name, 1 where there is none.
        names: The classes, by id.
        labels: Label ids of the training rows [rows].

    Raises:
        UserError: A name is no class.

    Example:
        >>> class_weights("balanced", ["ham", "spam"], np.array([0, 0, 0, 1], np.int32)).round(2)
        array([0.67, 2.  ], dtype=float32)
    """
    if isinstance(given, str):
        counts = np.bincount(labels, minlength=len(names))
        return (len(labels) / (len(names) * np.maximum(counts, 1))).astype(np.float32)
    for name in given:
        if name not in names:
            close = nearest(name, names)
            raise UserError(
                f"train.class_weights: no class {name!r}",
                expected=one_of(names),
                received=repr(name),
                fix=f"did you mean {close}?" if close else "name one of the labels",
            )
    return np.array([given.get(name, 1.0) for name in names], np.float32)
