"""What a model answers: from logits to the outputs of its signatures."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from textmill.artifact import LabelKind

if TYPE_CHECKING:
    import tensorflow as tf

    Tensors = dict[str, tf.Tensor]

PREDICT = "tensorflow/serving/predict"
CLASSIFY, REGRESS = "tensorflow/serving/classify", "tensorflow/serving/regress"


class Head(NamedTuple):
    """What the logits of a model mean.

    Attributes:
        kind: "one": the likeliest label. "many": each label from its threshold on. "number": the
            logit itself. "spans": a tag for each word.
        labels: Names in the order of the logits.
        thresholds: Of "many", one a label.
        separator: Of "many", between the labels of a text.
    """

    kind: LabelKind
    labels: tuple[str, ...]
    thresholds: tuple[float, ...] = ()
    separator: str = ""


class Form(NamedTuple):
    """A signature: its method, and its inputs and outputs, each as in "string [batch]"."""

    method: str
    inputs: dict[str, str]
    outputs: dict[str, str]


def forms(kind: LabelKind, *, pair: bool = False) -> dict[str, Form]:
    """Returns the signatures that a model of this kind has.

    Args:
        kind: What its labels are.
        pair: Whether it takes two texts.

    Example:
        >>> list(forms("number"))
        ['serving_default', 'regress']
    """
    text = {"text": "string [batch]"} | ({"text_pair": "string [batch]"} if pair else {})
    example = {"inputs": "string [batch]"}
    if kind == "spans":
        spans = {"label": "string [batch, spans]", "score": "float [batch, spans]"}
        places = {"start": "int32 [batch, spans]", "end": "int32 [batch, spans]"}
        return {"serving_default": Form(PREDICT, text, spans | places)}
    if kind == "number":
        return {
            "serving_default": Form(PREDICT, text, {"value": "float [batch]"}),
            "regress": Form(REGRESS, example, {"outputs": "float [batch]"}),
        }
    scores = {"scores": "float [batch, classes]"}
    return {
        "serving_default": Form(PREDICT, text, scores | {"label": "string [batch]"}),
        "classify": Form(CLASSIFY, example, scores | {"classes": "string [batch, classes]"}),
    }


def pooled(logits: tf.Tensor, texts: tf.Tensor, count: tf.Tensor, head: Head) -> tf.Tensor:
    """Returns the logits of texts from those of their windows, as training joins them.

    Args:
        logits: float32 [rows, classes].
        texts: The text of each row, int64 [rows].
        count: How many texts there are.
        head: What the logits mean.
    """
    import tensorflow as tf

    join = tf.math.unsorted_segment_max if head.kind == "many" else tf.math.unsorted_segment_mean
    return join(logits, texts, count)


def answer(logits: tf.Tensor, head: Head) -> Tensors:
    """Returns the outputs of `serving_default` for any kind but spans.

    Args:
        logits: float32 [batch, classes].
        head: What they mean.
    """
    import tensorflow as tf

    if head.kind == "number":
        return {"value": tf.ensure_shape(logits[:, 0], [None])}
    logits = tf.ensure_shape(logits, [None, len(head.labels)])
    names = tf.constant(head.labels)
    if head.kind == "one":
        scores = tf.nn.softmax(logits)
        return {"scores": scores, "label": tf.gather(names, tf.argmax(scores, -1))}
    scores = tf.nn.sigmoid(logits)
    given = scores >= tf.constant(head.thresholds, tf.float32)
    rows = tf.ragged.boolean_mask(tf.tile(names[None], [tf.shape(scores)[0], 1]), given)
    return {"scores": scores, "label": tf.strings.reduce_join(rows, -1, separator=head.separator)}


def as_method(outputs: Tensors, head: Head) -> Tensors:
    """Returns the outputs of `classify` or `regress`, from those of `serving_default`."""
    import tensorflow as tf

    if head.kind == "number":
        return {"outputs": outputs["value"]}
    scores = outputs["scores"]
    return {"scores": scores, "classes": tf.tile([list(head.labels)], [tf.shape(scores)[0], 1])}
