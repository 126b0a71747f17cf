"""Spans of a text and their names, such as named entities: a tag for each word."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from textmill.artifact import LabelKind
from textmill.models import text_classification
from textmill.models.task import Predictions

if TYPE_CHECKING:
    from pathlib import Path

    import keras
    import numpy as np
    import numpy.typing as npt
    import tensorflow as tf

    from textmill.models.task import Scored

    Floats = npt.NDArray[np.float32]
    Ints = npt.NDArray[np.int64]
    Span = tuple[int, int, str]  # start and end in characters, name

NAME = "token_classification"
LABELS: LabelKind = "spans"

decode = text_classification.decode


def build(backbone: keras.Model, labels: list[str], *, dropout: float) -> keras.Model:
    """Returns a classifier of the backbone's tokens."""
    from textmill.models.quick_encoder import quicken
    from textmill.models.token_classifier import TokenClassifier

    quicken(backbone, first_token_only=False)
    for layer in backbone.layers:
        if layer.name == "pooled_dense":  # reads the first token; nothing here reads it
            layer.trainable = False
    return TokenClassifier(backbone, len(labels), dropout=dropout)


def load(path: Path) -> keras.Model:
    """Returns the classifier of a Model artifact; it takes token ids and gives logits."""
    from textmill.models.checkpoint import load_task
    from textmill.models.token_classifier import TokenClassifier

    return load_task(path, TokenClassifier)


def loss(labels: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
    """Returns the mean cross-entropy of the words of each row, in nats: float32 [rows].

    Args:
        labels: int32 [rows, tokens], 1 more than a tag's id where a word begins, else 0.
        logits: float32 [rows, tokens, tags].
    """
    import tensorflow as tf

    each = tf.nn.sparse_softmax_cross_entropy_with_logits(tf.maximum(labels - 1, 0), logits)
    return _mean_of_words(labels, each)


def right(labels: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
    """Returns the share of each row's words that get the right tag: float32 [rows]."""
    import tensorflow as tf

    hit = tf.argmax(logits, -1, labels.dtype) == labels - 1
    return _mean_of_words(labels, tf.cast(hit, tf.float32))


def _mean_of_words(labels: tf.Tensor, values: tf.Tensor) -> tf.Tensor:
    import tensorflow as tf

    begins = tf.cast(labels > 0, tf.float32)
    return tf.reduce_sum(values * begins, 1) / tf.maximum(tf.reduce_sum(begins, 1), 1)


def metrics(labels: Ints, logits: Floats, names: list[str]) -> dict[str, float]:
    """Returns f1 over all spans, the words' mean cross-entropy, and further figures of spans.

    Args:
        labels: The text and the tag's id of each word, [words, 2].
        logits: [words, tags]; see `of_texts` for words that the model does not read.
        names: The tags.
    """
    import numpy as np

    from textmill.models.spans import span_figures, spans_of

    texts, true = labels[:, 0].astype(np.int64), labels[:, 1].astype(np.int64)
    both = spans_of(texts, true), spans_of(texts, logits.argmax(1))
    found = _word_figures(true, logits) | span_figures(*both, _span_names(names))
    wanted = ("f1_micro", "loss", "precision_micro", "recall_micro", "f1_macro", "word_accuracy")
    return {name: float(found[name]) for name in wanted}


def settle(scored: Scored, names: list[str]) -> dict[str, Any]:
    """Returns nothing: the likeliest tag is the predicted one."""
    return {}


def predictions(
    labels: Sequence[Sequence[Span]], logits: Floats, about: Mapping[str, Any], texts: list[str]
) -> Predictions:
    """Returns the spans of each text as JSON; a text's doubt is how many are wrong or missing.

    Args:
        labels: The spans that each text has: start and end in characters, name.
        logits: Of all words of the texts, [words, tags], as `of_texts` returns them.
        about: `task.json`.
        texts: The texts.

    Returns:
        Figures in which a span is right where both ends and the name are those of one that the text
        has, whatever the model has read of the text, and whether or not it stands between words.
    """
    import numpy as np
    import pyarrow as pa

    from textmill.models.spans import named_spans, span_figures, tags_of
    from textmill.words import words_of

    tags = about["labels"]
    names, words = _span_names(tags), words_of(pa.array(texts, pa.string()))
    said = [[span[:3] for span in spans] for spans in found_spans(logits, tags, texts)]
    starts = np.searchsorted(words.texts, np.arange(len(texts) + 1))
    true = np.zeros(len(words.texts), np.int64)
    for spans, first, end in zip(labels, starts[:-1], starts[1:], strict=True):
        true[first:end], _ = tags_of(spans, words.begins[first:end], words.ends[first:end], tags)
    return Predictions(
        figures={
            **_word_figures(true, logits),
            **span_figures(named_spans(labels, names), named_spans(said, names), names),
            "labels": names,
            "rows": len(texts),
        },
        columns={
            "label": [json.dumps(spans, ensure_ascii=False) for spans in labels],
            "predicted": [json.dumps(spans, ensure_ascii=False) for spans in said],
        },
        doubt=np.array([len({*a} ^ {*b}) for a, b in zip(labels, said, strict=True)]),
    )


def found_spans(
    logits: Floats, tags: list[str], texts: list[str]
) -> list[list[tuple[int, int, str, float]]]:
    """Returns the spans that logits mark in each text: start and end in characters, name, score.

    Args:
        logits: Of all words of the texts, [words, tags].
        tags: Their names.
        texts: The texts.

    Returns:
        The score of a span is the mean of its words' likeliest tags' shares.
    """
    import numpy as np
    import pyarrow as pa

    from textmill.models.spans import spans_of
    from textmill.words import words_of

    words = words_of(pa.array(texts, pa.string()))
    shares = decode(logits.astype(np.float64), {})
    names = _span_names(tags)
    found: list[list[tuple[int, int, str, float]]] = [[] for _ in texts]
    for text, first, last, name in zip(*spans_of(words.texts, shares.argmax(1)), strict=True):
        score = float(shares[first : last + 1].max(1).mean())
        found[text].append((int(words.begins[first]), int(words.ends[last]), names[name], score))
    return found


def _span_names(tags: list[str]) -> list[str]:
    return [tag.removeprefix("B-") for tag in tags[1::2]]


def _word_figures(true: Ints, logits: Floats) -> dict[str, Any]:
    """Returns how many words get the right tag, and the loss of those that the model reads."""
    import numpy as np

    read = ~np.isneginf(logits[:, -1])
    scores = decode(logits[read].astype(np.float64), {})
    chosen = np.maximum(scores[np.arange(len(scores)), true[read]], np.finfo(np.float64).tiny)
    return {
        "words": len(true),
        "word_accuracy": float((logits.argmax(1) == true).mean()) if len(true) else 0.0,
        "loss": float(-np.log(chosen).mean()) if len(chosen) else 0.0,
    }
