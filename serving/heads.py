"""What a model answers: from logits to the outputs of its signatures."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, NamedTuple

from textmill.artifact import LabelKind

if TYPE_CHECKING:
    import tensorflow as tf

    Tensors = dict[str, tf.Tensor]

TOKENS = "tokens"  # a signature, for those who make token ids themselves
BEAMS = "beams"  # a signature of a model that writes: by beam search
CONVERSATION = "conversation"  # likewise: behind more than one turn
EXPLAIN = "explain"  # a signature: what each token adds to a score
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


def forms(kind: LabelKind, *, pair: bool = False, more: Collection[str] = ()) -> dict[str, Form]:
    """Returns the signatures that a model of this kind has.

    Args:
        kind: What its labels are.
        pair: Whether it takes two texts.
        more: Which it has beyond those that every model has: `TOKENS` and `EXPLAIN`.

    Example:
        >>> list(forms("number", more=["tokens"]))
        ['serving_default', 'regress', 'tokens']
    """
    every = _every(kind, pair=pair)
    if TOKENS in more:
        ids = dict.fromkeys(("token_ids", "padding_mask"), "int32 [batch, time]")
        outputs = every["serving_default"].outputs
        if kind == "spans":
            tags = {"label": "string [batch, time]", "score": "float [batch, time]"}
            outputs = {"scores": "float [batch, time, tags]"} | tags
        every[TOKENS] = Form(PREDICT, ids, outputs)
    if EXPLAIN in more:
        outputs = {"tokens": "string [batch, time]", "contributions": "float [batch, time]"}
        outputs |= {"difference": "float [batch]"}
        if kind == "number":
            outputs |= {"value": "float [batch]"}
        else:
            outputs |= {"score": "float [batch]", "label": "string [batch]"}
        every[EXPLAIN] = Form(PREDICT, every["serving_default"].inputs, outputs)
    return every


def _every(kind: LabelKind, *, pair: bool) -> dict[str, Form]:
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


def answer_tags(logits: tf.Tensor, mask: tf.Tensor, head: Head) -> Tensors:
    """Returns the outputs of `tokens` for spans: a tag for each token.

    Args:
        logits: float32 [batch, time, tags].
        mask: bool [batch, time], true where there is a token.
        head: Names of the tags.

    Returns:
        `scores` of all tags, and the likeliest one's name, `label`, and its `score`; 0 and "" where
        there is no token.
    """
    import tensorflow as tf

    logits = tf.ensure_shape(logits, [None, None, len(head.labels)])
    scores = tf.nn.softmax(logits) * tf.cast(mask, tf.float32)[..., None]
    names = tf.gather(tf.constant(head.labels), tf.argmax(scores, -1))
    return {
        "scores": scores,
        "label": tf.where(mask, names, ""),
        "score": tf.reduce_max(scores, -1),
    }


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
