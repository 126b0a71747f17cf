"""How likely an encoder-decoder takes targets to be."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from textmill.models.language_learner import FIXED
from textmill.models.likelihood import TOKENS, Likelihoods
from textmill.models.pair_batches import bucketed, source_lengths
from textmill.models.pair_learner import pair_dataset
from textmill.models.rows import Rows

if TYPE_CHECKING:
    import keras


def pair_likelihoods(model: keras.Model, rows: Rows) -> Likelihoods:
    """Returns the likelihood of each target, given its source.

    Args:
        model: What `seq2seq.build` returned.
        rows: Pairs, as `tokenize_seq2seq` writes them.

    Returns:
        Likelihoods with sizes of 0.
    """
    import tensorflow as tf

    sources = source_lengths(rows)
    targets = rows.lengths - sources
    batches = bucketed(sources, targets, 1, seed=FIXED, epoch=FIXED, tokens_per_batch=TOKENS)
    score = tf.function(lambda inputs: model(inputs, training=False), reduce_retracing=True)
    nats, tokens = np.zeros(len(rows)), np.zeros(len(rows), np.int64)
    data = pair_dataset(rows, sources, batches)
    for batch, (inputs, _, _) in zip(batches, data, strict=True):
        nats[batch] = score(inputs).numpy().sum(1, dtype=np.float64)
        tokens[batch] = (inputs["target"].numpy() >= 0).sum(1)
    return Likelihoods(nats, tokens, np.zeros(len(rows), np.int64))
