"""The trained weights of a decoder, as arrays: what training hands over to serving."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Array = npt.NDArray[np.float32]

Activation = Literal["gelu", "gelu_new", "relu", "silu"]  # as Hugging Face's configs name them


class Linear(NamedTuple):
    """A product: `kernel` float32 [inputs, outputs], `bias` float32 [outputs] or None."""

    kernel: Array
    bias: Array | None = None


class Scale(NamedTuple):
    """A norm: `scale` float32 [width]; `offset` likewise, None where the mean is left in.

    Source: https://arxiv.org/abs/1607.06450; without offset and mean https://arxiv.org/abs/1910.07467.
    """

    scale: Array
    offset: Array | None = None


class Cross(NamedTuple):
    """Attention to what an encoder made of a source, between the other two parts of a layer.

    Attributes:
        norm: Of this part.
        query: Queries of all heads side by side: [width, heads * size].
        memory: Keys and values of the source in one: [width, 2 * heads * size].
        attend: From what the heads found, side by side, to what is added.

    Source: https://arxiv.org/abs/1706.03762, section 3.2.3.
    """

    norm: Scale
    query: Linear
    memory: Linear
    attend: Linear


class DecoderBlock(NamedTuple):
    """A layer of a Transformer, whose parts are normalized before, or behind their sums.

    Attributes:
        attend_norm: Of the attention.
        project: Queries, keys and values in one: [width, (heads + 2 * key_heads) * size], heads
            side by side in each.
        attend: From what the heads found, side by side, to what is added.
        feed_norm: Of the feed-forward part.
        widen: Into it; of a gated one the gate and what it lets through, side by side.
        narrow: Out of it.
        cross: Attention to a source; None where there is none.

    Source: https://arxiv.org/abs/1706.03762, section 3.1.
    """

    attend_norm: Scale
    project: Linear
    attend: Linear
    feed_norm: Scale
    widen: Linear
    narrow: Linear
    cross: Cross | None = None


class DecoderWeights(NamedTuple):
    """A decoder of GPT-2's or of Llama's kind, or half of an encoder-decoder.

    Places are told by `positions`, by `turns` or by `waves`.

    Attributes:
        tokens: Embeddings, float32 [vocabulary, width].
        positions: Embeddings, float32 [longest row, width], or None.
        turns: By how much a pair of numbers of a query or key turns from place to place, in
            radians, float32 [size / 2]; the pairs are the numbers i and i + size / 2 of a head.
            Or None.
        blocks: In their order.
        heads: Of a query.
        key_heads: Of keys and values; `heads` is a multiple, and neighbours share one.
        activation: Of the feed-forward parts.
        gated: Whether these have a gate: https://arxiv.org/abs/2002.05202.
        epsilon: What each norm adds to a variance.
        norm: Behind the last block; None: there is none.
        logits: The last layer, without bias, float32 [width, vocabulary]; None: `tokens` turned
            round.
        longest: Tokens that a row may have.
        waves: By how much the angle of a number grows from place to place, in radians, float32
            [width]. To the numbers of an embedding sine and cosine are added in turns. Or None.
        by: What embeddings are multiplied by before places are added.
        first_norm: Of the embeddings with their places; None: there is none.
        norm_behind: Whether a norm is behind the sum of a part and what it was made of, else before
            the part.

    Source: Radford et al., Language Models are Unsupervised Multitask Learners, 2019; Llama:
    https://arxiv.org/abs/2302.13971; turned pairs: https://arxiv.org/abs/2104.09864; shared keys:
    https://arxiv.org/abs/2305.13245; waves: https://arxiv.org/abs/1706.03762, section 3.5.
    """

    tokens: Array
    positions: Array | None
    turns: Array | None
    blocks: tuple[DecoderBlock, ...]
    heads: int
    key_heads: int
    activation: Activation
    gated: bool
    epsilon: float
    norm: Scale | None
    logits: Array | None
    longest: int
    waves: Array | None = None
    by: float = 1.0
    first_norm: Scale | None = None
    norm_behind: bool = False
