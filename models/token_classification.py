"""Spans of a text and their names, such as named entities: a tag for each word."""

from __future__ import annotations

import json
from collections.abc import Mapping
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
        logits: [words, tags].
        names: The tags.
    """
    found = _figures(labels, logits, names)
    wanted = ("f1_micro", "loss", "precision_micro", "recall_micro", "f1_macro", "word_accuracy")
    return {name: float(found[name]) for name in wanted}


def settle(scored: Scored, names: list[str]) -> dict[str, Any]:
    """Returns nothing: the likeliest tag is the predicted one."""
    return {}


def predictions(
    labels: Ints, logits: Floats, about: Mapping[str, Any], texts: list[str]
) -> Predictions:
    """Returns the spans of each text as JSON; a text's doubt is how many are wrong or missing."""
    import numpy as np

    tags = about["labels"]
    # Tags that are there, as logits that are sure of them.
    sure = np.eye(len(tags), dtype=np.float32)[labels[:, 1]] * 99
    true, said = (
        [[span[:3] for span in spans] for spans in found_spans(labels, each, tags, texts)]
        for each in (sure, logits)
    )
    return Predictions(
        figures={**_figures(labels, logits, tags), "rows": len(texts)},
        columns={
            "label": [json.dumps(spans, ensure_ascii=False) for spans in true],
            "predicted": [json.dumps(spans, ensure_ascii=False) for spans in said],
        },
        doubt=np.array([len({*a} ^ {*b}) for a, b in zip(true, said, strict=True)]),
    )


def found_spans(
    labels: Ints, logits: Floats, tags: list[str], texts: list[str]
) -> list[list[tuple[int, int, str, float]]]:
    """Returns the spans that logits mark in each text: start and end in characters, name, score.

    Args:
        labels: The text of each word that was read, [words, …]; the end of a text may be missing.
        logits: [words, tags].
        tags: Their names.
        texts: The texts.

    Returns:
        The score of a span is the mean of its words' likeliest tags' shares.
    """
    import numpy as np
    import pyarrow as pa

    from textmill.models.spans import spans_of
    from textmill.words import words_of

    of, words = labels[:, 0].astype(np.int64), words_of(pa.array(texts, pa.string()))
    read = np.bincount(of, minlength=len(texts))
    held = np.bincount(words.texts, minlength=len(texts))
    place = np.arange(len(of)) - (np.cumsum(read) - read)[of] + (np.cumsum(held) - held)[of]
    shares = decode(logits.astype(np.float64), {})
    names = _span_names(tags)
    found: list[list[tuple[int, int, str, float]]] = [[] for _ in texts]
    for text, first, last, name in zip(*spans_of(of, shares.argmax(1)), strict=True):
        score = float(shares[first : last + 1].max(1).mean())
        begin, end = words.begins[place[first]], words.ends[place[last]]
        found[text].append((int(begin), int(end), names[name], score))
    return found


def _span_names(tags: list[str]) -> list[str]:
    return [tag.removeprefix("B-") for tag in tags[1::2]]


def _figures(labels: Ints, logits: Floats, tags: list[str]) -> dict[str, Any]:
    import numpy as np

    from textmill.models.spans import span_figures, spans_of

    texts, true = labels[:, 0].astype(np.int64), labels[:, 1].astype(np.int64)
    said = logits.argmax(1)
    scores = decode(logits.astype(np.float64), {})
    chosen = np.maximum(scores[np.arange(len(true)), true], np.finfo(np.float64).tiny)
    names = _span_names(tags)
    return {
        "words": len(true),
        "word_accuracy": float((said == true).mean()) if len(true) else 0.0,
        "loss": float(-np.log(chosen).mean()) if len(true) else 0.0,
        **span_figures(spans_of(texts, true), spans_of(texts, said), names),
        "labels": names,
    }
