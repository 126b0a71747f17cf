"""The trained weights of an encoder-decoder, as arrays: what training hands over to serving."""

from __future__ import annotations

from typing import NamedTuple

from textmill.decoder_weights import DecoderWeights


class EncoderDecoderWeights(NamedTuple):
    """An encoder that reads a source, and a decoder that writes what it makes of it.

    Attributes:
        encoder: Its tokens see each other, those behind them too. Its `tokens` are the decoder's,
            and `logits` is None.
        decoder: Its blocks have a `cross` part.

    Source: https://arxiv.org/abs/1706.03762; BART: https://arxiv.org/abs/1910.13461.
    """

    encoder: DecoderWeights
    decoder: DecoderWeights
