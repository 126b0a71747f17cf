"""The trained weights of a causal decoder, as arrays: what training hands over to serving."""

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


class DecoderBlock(NamedTuple):
    """A layer of a Transformer that normalizes before each of its two parts.

    Attributes:
        attend_norm: Before the attention.
        project: Queries, keys and values in one: [width, (heads + 2 * key_heads) * size], heads
            side by side in each.
        attend: From what the heads found, side by side, to what is added.
        feed_norm: Before the feed-forward part.
        widen: Into it; of a gated one the gate and what it lets through, side by side.
        narrow: Out of it.

    Source: https://arxiv.org/abs/1706.03762, section 3.1.
    """

    attend_norm: Scale
    project: Linear
    attend: Linear
    feed_norm: Scale
    widen: Linear
    narrow: Linear


class DecoderWeights(NamedTuple):
    """A decoder of GPT-2's or of Llama's kind.

    Attributes:
        tokens: Embeddings, float32 [vocabulary, width].
        positions: Embeddings, float32 [longest row, width]; None: places are told by `turns`.
        turns: By how much a pair of numbers of a query or key turns from place to place, in
            radians, float32 [size / 2]; the pairs are the numbers i and i + size / 2 of a head.
            None: places are told by `positions`.
        blocks: In their order.
        heads: Of a query.
        key_heads: Of keys and values; `heads` is a multiple, and neighbours share one.
        activation: Of the feed-forward parts.
        gated: Whether these have a gate: https://arxiv.org/abs/2002.05202.
        epsilon: What each norm adds to a variance.
        norm: Behind the last block.
        logits: The last layer, without bias, float32 [width, vocabulary]; None: `tokens` turned
            round.
        longest: Tokens that a row may have.

    Source: Radford et al., Language Models are Unsupervised Multitask Learners, 2019; Llama:
    https://arxiv.org/abs/2302.13971; turned pairs: https://arxiv.org/abs/2104.09864; shared keys:
    https://arxiv.org/abs/2305.13245.
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
    norm: Scale
    logits: Array | None
    longest: int
