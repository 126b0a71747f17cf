"""The trained weights of an encoder, as arrays: what training hands over to serving."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, NamedTuple

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Array = npt.NDArray[np.float32]

Activation = Literal["gelu", "gelu_new", "relu", "tanh"]  # as Hugging Face's configs name them


class Dense(NamedTuple):
    """A dense layer: `kernel` float32 [inputs, outputs], `bias` float32 [outputs]."""

    kernel: Array
    bias: Array


class Norm(NamedTuple):
    """A layer norm: `scale` and `offset`, float32 [width]."""

    scale: Array
    offset: Array


class Block(NamedTuple):
    """A layer of a Transformer that normalizes behind each of its two parts.

    Attributes:
        project: Queries, keys and values in one: [width, 3 * width], heads side by side in each.
        attend: From what the heads found, side by side, to what is added.
        attend_norm: Behind the attention.
        widen: Into the feed-forward part.
        narrow: Out of it.
        feed_norm: Behind it.

    Source: https://arxiv.org/abs/1706.03762, section 3.1.
    """

    project: Dense
    attend: Dense
    attend_norm: Norm
    widen: Dense
    narrow: Dense
    feed_norm: Norm


class EncoderWeights(NamedTuple):
    """An encoder of BERT's kind with a head on it.

    Attributes:
        tokens: Embeddings, float32 [vocabulary, embedding].
        positions: Embeddings, float32 [longest row, embedding].
        segments: Embeddings, float32 [segments, embedding]; None: a model knows none.
        norm: Of the embeddings' sum.
        widen: From embeddings to the width of the blocks; None: they are as wide.
        blocks: Each is there once.
        order: Which blocks a token goes through; ALBERT goes through one several times.
        heads: Of each attention.
        activation: Of the feed-forward parts.
        epsilon: What each norm adds to a variance.
        pool: A dense layer on the first token, before `logits`; None where each token has logits.
        pool_activation: Of it.
        logits: The last layer.
        rows: int32 [vocabulary], which row of `tokens` an id has; None: its own.
    """

    tokens: Array
    positions: Array
    segments: Array | None
    norm: Norm
    widen: Dense | None
    blocks: tuple[Block, ...]
    order: tuple[int, ...]
    heads: int
    activation: Activation
    epsilon: float
    pool: Dense | None
    pool_activation: Activation
    logits: Dense
    rows: npt.NDArray[np.int32] | None = None


def count(part: Any) -> int:
    """Returns how many numbers some weights hold.

    Example:
        >>> import numpy as np
        >>> count(Dense(np.zeros((3, 2), np.float32), np.zeros(2, np.float32)))
        8
    """
    if isinstance(part, tuple):
        return sum(map(count, part))
    return int(getattr(part, "size", 0))
