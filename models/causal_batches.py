"""Batches of packed documents in which the next token is to be guessed."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from textmill.models.causal_lm import INPUTS
from textmill.models.packing import Packing, filled
from textmill.models.rows import Rows

if TYPE_CHECKING:
    import tensorflow as tf

    from textmill.models.rows import Ints, Places


def causal_rows(documents: Rows, packing: Packing, batch: Places) -> dict[str, Ints]:
    """Returns rows of a packing with the token that comes after each.

    Also after the last token of a piece comes one, where the document goes on in another row.

    Args:
        documents: Their tokens. Where they have labels of kind "spans", a token is guessed only if
            its label is above 0.
        packing: Of documents without their last tokens.
        batch: Numbers of rows, int64 [rows].

    Returns:
        int32 [rows, width] each, `causal_lm.INPUTS`; as wide as the longest row.
    """
    found = filled(documents, packing, batch)
    held = found["document"] > 0
    later = dataclasses.replace(documents, starts=documents.starts + 1)
    guessed = held
    if documents.kind == "spans":
        labels = dataclasses.replace(later, token_ids=documents.labels)
        guessed = held & (filled(labels, packing, batch)["token_ids"] > 0)
    found["target"] = np.where(guessed, filled(later, packing, batch)["token_ids"], -1)
    width = int(held.any(0).sum())
    return {name: found[name][:, :width] for name in INPUTS}


def count_targets(documents: Rows) -> int:
    """Returns how many tokens are guessed of some documents."""
    if documents.kind != "spans":
        return int(np.maximum(documents.lengths - 1, 0).sum())
    labels = documents.labels > 0
    return int(labels.sum() - labels[documents.starts[:-1][documents.lengths > 0]].sum())


def causal_dataset(
    draw: Callable[[Places], dict[str, Ints]],
    batches: Sequence[Places],
    *,
    share: float,
    pieces: int = 1,
    names: Sequence[str] = INPUTS,
) -> tf.data.Dataset:
    """Returns the batches as tensors, in their order, made ahead of whoever takes them.

    Every target of a batch counts alike, however many its row has.

    Args:
        draw: From numbers of rows to their inputs, int32 [rows, tokens] each, of which `target` is
            below 0 where nothing is to be guessed; such as `causal_rows` returns.
        batches: Numbers of rows, int64 [batch] each; none is empty.
        share: What a target counts in the loss of its row. Rows over targets of an epoch makes the
            mean loss of its rows that of its targets.
        pieces: Cut each batch into so many nearly equal pieces.
        names: Of the inputs.

    Returns:
        Inputs by name, int32 [piece, width]; labels, float32 [piece], all of them `share`; and
        weights, float32 [piece], such that the weighted sum of a batch's losses is the mean loss of
        its targets.
    """
    import tensorflow as tf

    def arrays(i: int) -> tuple[Any, ...]:
        made = draw(batches[i])
        total = max(int((made["target"] >= 0).sum()), 1)
        rows = len(batches[i])
        weights = np.full(rows, 1 / (share * total), np.float32)
        return *(made[name] for name in names), np.full(rows, share, np.float32), weights

    def tensors(i: tf.Tensor) -> tuple[dict[str, tf.Tensor], tf.Tensor, tf.Tensor]:
        types = [tf.int32] * len(names) + [tf.float32] * 2
        *found, shares, weights = tf.numpy_function(arrays, [i], types)
        found = [tf.ensure_shape(each, [None, None]) for each in found]
        shares, weights = tf.ensure_shape(shares, [None]), tf.ensure_shape(weights, [None])
        return dict(zip(names, found, strict=True)), shares, weights

    made = tf.data.Dataset.range(len(batches)).map(
        tensors, num_parallel_calls=2, deterministic=True
    )
    if pieces > 1:
        made = made.flat_map(lambda *batch: _pieces(batch, pieces))
    return made.prefetch(8)


def _pieces(batch: Any, count: int) -> tf.data.Dataset:
    """Returns nearly equal parts of a batch, as `np.array_split` makes them."""
    import tensorflow as tf

    rows = tf.shape(batch[2], tf.int64)[0]
    parts = tf.minimum(tf.constant(count, tf.int64), rows)

    def part(i: tf.Tensor) -> Any:
        small, more = rows // parts, rows % parts
        first = i * small + tf.minimum(i, more)
        size = small + tf.cast(i < more, tf.int64)
        return tf.nest.map_structure(lambda x: x[first : first + size], batch)

    return tf.data.Dataset.range(parts).map(part)
