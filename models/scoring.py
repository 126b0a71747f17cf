"""Logits of batches, put together to those of texts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from textmill.models.batches import by_length, padded, targets
from textmill.models.task import logits_of
from textmill.progress import advance

if TYPE_CHECKING:
    import keras
    import numpy.typing as npt

    from textmill.models.rows import Places, Rows

    Floats = npt.NDArray[np.float32]
    Array = npt.NDArray[Any]

BATCH_SIZE = 64


def score(model: keras.Model, rows: Rows) -> tuple[Array, Floats]:
    """Returns the labels and the logits of each text, as `of_texts` does; tells how far it is."""
    batches = by_length(rows.lengths, BATCH_SIZE)
    return of_texts(rows, batches, logits_of_batches(model, rows, batches))


def logits_of_batches(
    model: keras.Model, rows: Rows, batches: Sequence[Places]
) -> Iterator[Floats]:
    """Yields the logits of each batch, float32 [batch, …]; tells how far it is.

    Args:
        model: What a task built or loaded.
        rows: All rows.
        batches: Row numbers.
    """
    import tensorflow as tf

    names = list(model.input)
    # Open dimensions: traced once, whatever the lengths.
    run = tf.function(
        lambda given: logits_of(
            model, given["token_ids"], given["padding_mask"], given.get("segment_ids")
        ),
        input_signature=[{name: tf.TensorSpec([None, None], tf.int32) for name in names}],
    )
    done = 0
    for batch in batches:
        yield run(padded(rows, batch, names)).numpy()
        done += len(batch)
        advance(done, len(rows), "rows")


def of_texts(
    rows: Rows, batches: Sequence[Places], found: Iterable[Floats]
) -> tuple[Array, Floats]:
    """Returns the labels and the logits of each text, or of each word where labels are spans.

    Where a long text has several rows, it has the mean of their logits; or, with any number of
    labels, the highest of each: a label belongs to the whole that belongs to a part.

    Args:
        rows: All rows.
        batches: Row numbers; every row is in one.
        found: Logits of each batch, float32 [batch, …].

    Returns:
        Labels and logits [texts, …] in the order of the texts; or int32 [words, 2], the text and
        the tag's id, and float32 [words, tags], of every word of the texts: one that no row has is
        answered "O", whose logit is 0 there, and those of the others are -inf.
    """
    if rows.kind == "spans":
        return _of_words(rows, batches, found)
    logits = np.concatenate([np.asarray(each) for each in found])
    order = np.argsort(np.concatenate(batches), kind="stable")
    logits = logits[order]
    if rows.firsts is None:
        return rows.labels, logits
    _, first, text = np.unique(rows.places, return_index=True, return_inverse=True)
    return rows.labels[first], _joined(logits, text, len(first), highest=rows.kind == "many")


def _of_words(
    rows: Rows, batches: Sequence[Places], found: Iterable[Floats]
) -> tuple[Array, Floats]:
    parts, where = [], []
    for batch, logits in zip(batches, found, strict=True):
        begins = targets(rows, batch, logits.shape[1]) > 0
        token = rows.starts[batch][:, None] + np.arange(logits.shape[1])
        parts.append(np.asarray(logits)[begins])
        where.append(token[begins])
    token = np.concatenate(where)
    order = np.argsort(token)
    token, logits = token[order], np.concatenate(parts)[order]
    tags = rows.labels[token] - 1
    row = np.searchsorted(rows.starts, token, "right") - 1
    texts = rows.places[row]
    if rows.firsts is not None:
        # A word that two windows share has one place in its text.
        place = rows.firsts[row] + token - rows.starts[row]
        _, first, word = np.unique(
            np.stack([texts, place], 1), axis=0, return_index=True, return_inverse=True
        )
        logits = _joined(logits, word.ravel(), len(first), highest=False)
        texts, tags = texts[first], tags[first]
    if rows.unread is not None:
        more, starts = rows.unread
        certain = np.full((len(more), logits.shape[1]), -np.inf, np.float32)
        certain[:, 0] = 0
        texts = np.concatenate([texts, np.repeat(rows.places, np.diff(starts))])
        # The words that are not read come behind those of the same text that are.
        order = np.argsort(texts, kind="stable")
        texts, tags = texts[order], np.concatenate([tags, more])[order]
        logits = np.concatenate([logits, certain])[order]
    # Texts without a word are texts all the same.
    number = np.searchsorted(np.unique(rows.places), texts)
    return np.stack([number, tags], 1).astype(np.int32), logits


def _joined(logits: Floats, group: Places, groups: int, *, highest: bool) -> Floats:
    if highest:
        found = np.full((groups, *logits.shape[1:]), -np.inf, np.float32)
        np.maximum.at(found, group, logits)
        return found
    sums = np.zeros((groups, *logits.shape[1:]), np.float64)
    np.add.at(sums, group, logits)
    return (sums / np.bincount(group, minlength=groups)[:, None]).astype(np.float32)
