"""How likely a causal language model takes texts to be."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from textmill.models.causal_batches import causal_dataset, causal_rows
from textmill.models.language_learner import FIXED, perplexity
from textmill.models.packing import pack
from textmill.models.rows import Rows

if TYPE_CHECKING:
    import keras
    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]
    Ints = npt.NDArray[np.int64]

TOKENS = 4096  # a batch


class Likelihoods(NamedTuple):
    """What a model says of documents.

    Attributes:
        nats: Negative log-likelihood of each document, float64 [documents].
        tokens: That were guessed of it, int64 [documents].
        sizes: Bytes of UTF-8 of its text, int64 [documents].
    """

    nats: Floats
    tokens: Ints
    sizes: Ints


def likelihoods(model: keras.Model, documents: Rows, max_length: int) -> Likelihoods:
    """Returns the likelihood of documents.

    One that is longer than the model reads is read in pieces that overlap by half: each token is
    guessed once, with half a piece or more before it where the document has that.

    Args:
        model: What `causal_lm.build` returned.
        documents: Their tokens.
        max_length: Tokens of a piece.

    Returns:
        Likelihoods with sizes of 0.

    Source: https://huggingface.co/docs/transformers/perplexity
    """
    import tensorflow as tf

    lengths = np.maximum(documents.lengths - 1, 0)
    overlap = max_length // 2
    packing = pack(
        lengths, max_length, seed=FIXED, epoch=FIXED, shared=model.packs, overlap=overlap
    )
    size = max(1, TOKENS // max_length)
    batches = [np.arange(i, min(i + size, len(packing))) for i in range(0, len(packing), size)]
    data = causal_dataset(partial(causal_rows, documents, packing), batches, share=1.0)
    score = tf.function(lambda inputs: model(inputs, training=False), reduce_retracing=True)
    nats, tokens = np.zeros(len(documents)), np.zeros(len(documents), np.int64)
    for batch, (inputs, _, _) in zip(batches, data, strict=True):
        losses, targets = score(inputs).numpy(), inputs["target"].numpy()
        for row, (first, end) in enumerate(packing.rows[batch]):
            at = 0
            for document, start, length in packing.pieces[first:end].tolist():
                part = (row, slice(at + (overlap if start else 0), at + length))
                nats[document] += losses[part].sum(dtype=np.float64)
                tokens[document] += (targets[part] >= 0).sum()
                at += length
    return Likelihoods(nats, tokens, np.zeros(len(documents), np.int64))


def figures_of(found: Likelihoods, *, resamples: int, seed: int) -> dict[str, Any]:
    """Returns loss, perplexity and bits per byte, with 95 % confidence intervals.

    Args:
        found: Of each document; documents are what is drawn anew.
        resamples: Draws.
        seed: Decides them.

    Example:
        >>> two = Likelihoods(np.array([4.0, 2.0]), np.array([2, 1]), np.array([8, 4]))
        >>> found = figures_of(two, resamples=10, seed=0)
        >>> found["loss"], round(found["bits_per_byte"], 3), found["intervals"]["loss"]
        (2.0, 0.721, [2.0, 2.0])
    """

    def figures(nats: float, tokens: float, sizes: float) -> dict[str, float]:
        loss = nats / max(tokens, 1)
        bits = nats / np.log(2) / max(sizes, 1)
        return {"loss": loss, "perplexity": perplexity(loss), "bits_per_byte": float(bits)}

    random = np.random.default_rng(seed)
    count = len(found.nats)
    drawn = []
    for _ in range(resamples):
        some = random.integers(0, count, count)
        drawn.append(figures(*(float(each[some].sum()) for each in found)))
    whole = figures(*(float(each.sum()) for each in found))
    intervals = {
        name: np.percentile([each[name] for each in drawn], [2.5, 97.5]).tolist() for name in whole
    }
    return {
        **whole,
        "tokens": int(found.tokens.sum()),
        "bytes": int(found.sizes.sum()),
        "intervals": intervals,
    }
