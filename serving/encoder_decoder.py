"""An encoder-decoder as a graph that serves: a source is read once, and a decoder writes of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from textmill.encoder_decoder_weights import EncoderDecoderWeights
from textmill.serving.cross_attention import Memory
from textmill.serving.decoder import Decoder, Network
from textmill.serving.precision import FLOAT32, Precision, Store
from textmill.serving.read import source
from textmill.serving.table import Table

if TYPE_CHECKING:
    import tensorflow as tf


class EncoderDecoder:
    """From token ids of sources to a network that predicts the next token of what is made of them.

    Args:
        weights: Of the trained model.
        begin: With which tokens every text begins, one at least. Of BART's checkpoints
            `decoder_start_token_id`, and behind it `forced_bos_token_id` where it is set. All but
            the first count as tokens of the text, as in transformers.
        precision: In what numbers weights are kept and multiplied; attention is float32 always.

    Attributes:
        variables: The weights, each once.
        longest: Tokens that a row of the decoder may have, `begin` and all.
        longest_source: Tokens that a source may have.
    """

    def __init__(
        self,
        weights: EncoderDecoderWeights,
        begin: Sequence[int],
        precision: Precision = FLOAT32,
    ) -> None:
        store = Store(precision)
        tied = weights.decoder.logits is None
        tokens = Table(store, weights.decoder.tokens, multiplied=tied)
        self._encoder = Decoder(weights.encoder, shared=(store, tokens))
        self._decoder = Decoder(weights.decoder, shared=(store, tokens))
        store.close()
        self._store, self._begin = store, tuple(begin)
        self.variables = store.variables
        self.longest, self.longest_source = weights.decoder.longest, weights.encoder.longest

    def network(self, sources: tf.RaggedTensor) -> Network:
        """Returns the decoder of some sources for the graph where this is called.

        The encoder reads them here, without padding, and keys and values of them are computed, so
        that a loop that decodes goes around what comes back. It decodes as many rows for each
        source as you like: those of the first one come first, and so on.

        Args:
            sources: int32 [sources, (tokens)], one at least in each; of what is longer than a
                source may be, the beginning is read.
        """
        import tensorflow as tf

        weights = self._store.read()
        token_ids, read = source(sources[:, : self.longest_source])
        encoder = Network(self._encoder, weights)
        rows, _, slots = tf.unstack(read.count)
        x, _ = encoder(token_ids, read, encoder.caches(rows, slots))
        memory = Memory(x, read.spread, read.hidden)
        return Network(self._decoder, weights, memory, counted=len(self._begin) - 1)

    def begun(self, sources: tf.RaggedTensor) -> tuple[Network, tf.RaggedTensor]:
        """Returns what writes of sources, and the tokens with which each text begins.

        Args:
            sources: As in `network`.

        Returns:
            The network, and int32 [sources, (tokens)].
        """
        import tensorflow as tf

        every = tf.tile(
            tf.constant([self._begin], tf.int32), tf.stack([tf.cast(sources.nrows(), tf.int32), 1])
        )
        begin = tf.RaggedTensor.from_tensor(every, row_splits_dtype=tf.int64)
        return self.network(sources), begin
