"""A student: the network of a trained model with fewer layers, begun with some of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from textmill.errors import UserError
from textmill.models.numerics import get_numerics, set_numerics

if TYPE_CHECKING:
    import keras


def spread(layers: int, of: int) -> list[int]:
    """Returns which of a teacher's layers a student begins with: the first, the last, and between.

    Args:
        layers: The student's, at least 1.
        of: The teacher's.

    Source: DistilBERT's choice, https://arxiv.org/abs/1910.01108, section 3, and
    `scripts/extract.py` of its code, which takes these six of BERT's twelve.

    Example:
        >>> spread(6, 12), spread(3, 6), spread(1, 6)
        ([0, 2, 4, 7, 9, 11], [0, 2, 5], [0])
    """
    return [round(i * (of - 1) / max(1, layers - 1)) for i in range(layers)]


def depth(backbone: keras.Model) -> int:
    """Returns how many layers an encoder has.

    Raises:
        UserError: It is not made of layers that some can be taken of.
    """
    found = getattr(backbone, "num_layers", None)
    if found is None or not getattr(backbone, "transformer_layers", None):
        raise UserError(
            f"no student can be made of {type(backbone).__name__}",
            expected="a teacher with layers to take some of, such as BERT or DistilBERT",
            received=type(backbone).__name__,
            fix="remove [distill], or take another preset",
        )
    return int(found)


def check_layers(layers: int, of: int) -> None:
    """Raises where a student would not be smaller than its teacher.

    Raises:
        UserError: It has as many layers or more, or none.
    """
    if not 1 <= layers < of:
        raise UserError(
            f"distill.layers = {layers} makes no smaller model",
            expected=f"1 to {of - 1}: fewer layers than the teacher's {of}",
            received=str(layers),
            fix=f"set distill.layers = {max(1, of // 2)}" if of > 1 else "remove [distill]",
        )


def shallow(teacher: keras.Model, layers: int, *, dropout: float, precision: str) -> keras.Model:
    """Returns an encoder with fewer layers and all else of the teacher's, weights included.

    ALBERT's layers share their weights: there the student has all of them, and uses them less
    often.

    Args:
        teacher: An encoder of KerasHub's.
        layers: How many.
        dropout: Share of activations that training drops, 0 to 1.
        precision: Keras's dtype policy: what it computes in; its weights stay float32.

    Raises:
        UserError: The teacher has not more layers, or none that some can be taken of.
    """
    check_layers(layers, depth(teacher))
    config: dict[str, Any] = teacher.get_config()
    config |= {"num_layers": layers, "dropout": dropout, "dtype": precision}
    groups = config.get("num_groups", 1)
    if layers % groups:
        raise UserError(
            f"distill.layers = {layers} does not share out among groups of layers",
            expected=f"a multiple of the teacher's {groups} groups",
            received=str(layers),
            fix=f"set distill.layers = {groups}",
        )
    student: keras.Model = type(teacher).from_config(config)
    ours, theirs = _blocks(student), _blocks(teacher)
    # Of ALBERT's, which share their weights, there are as many in both.
    taken = spread(len(ours), len(theirs))
    for layer, place in zip(ours, taken, strict=True):
        layer.set_weights(theirs[place].get_weights())
    for layer in student.layers:
        if not any(layer is block for block in ours):
            layer.set_weights(teacher.get_layer(layer.name).get_weights())
    numerics = get_numerics(teacher)
    if numerics is not None:
        set_numerics(student, numerics)
    return student


def copy_head(teacher: keras.Model, student: keras.Model) -> None:
    """Gives a student the weights of what its teacher has behind the encoder.

    Args:
        teacher: What a task loaded.
        student: What the same task built, for the same labels.
    """
    for layer in student.layers:
        if layer is not student.backbone and layer.weights:
            layer.set_weights(teacher.get_layer(layer.name).get_weights())


def _blocks(backbone: Any) -> list[Any]:
    """Returns the layers of an encoder, each once."""
    found: list[Any] = []
    for each in backbone.transformer_layers:
        found += each if isinstance(each, list) else [each]
    return found
