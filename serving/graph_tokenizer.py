"""Text to token ids inside a TensorFlow graph, whatever kind of tokenizer a model has."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from textmill.serving.tokenizer_rules import kind_of

if TYPE_CHECKING:
    import tensorflow as tf


class GraphTokenizer(Protocol):
    """Makes the ids that the `tokenizers` library makes, in core TensorFlow operations.

    They are those of `Tokenizer.from_file(…)` with `encode_special_tokens = True`, so that text is
    kept apart from special tokens. A byte sequence that is not UTF-8 is read as U+FFFD.

    Attributes:
        vocabulary_size: One more than the largest id.
        digest: 16 hexadecimal digits that tell tokenizers' tables apart.
        tables: The tables by their names; whoever saves the graph tracks them.
    """

    vocabulary_size: int
    digest: str
    tables: Mapping[str, tf.lookup.StaticHashTable]

    def pieces(self, text: tf.Tensor, most: int | None = None) -> tf.RaggedTensor:
        """Returns the token ids of each text, special tokens left out and nothing cut off.

        Args:
            text: [batch] string, UTF-8. The batch may be empty, and so may a text.
            most: Only this many ids of a text are needed; what comes behind them may be wrong, or
                be missing.

        Returns:
            [batch, (tokens)] int32.
        """
        ...


def graph_tokenizer(tokenizer_file: Path) -> GraphTokenizer:
    """Returns the tokenizer that a `tokenizer.json` describes.

    Raises:
        UserError: If the file can't be read, or holds something that can't be done exactly.
    """
    kind = kind_of(tokenizer_file)
    if kind == "WordPiece":
        from textmill.serving.wordpiece import WordPiece

        return WordPiece(tokenizer_file)
    if kind == "BPE":
        from textmill.serving.bpe import BPE

        return BPE(tokenizer_file)
    from textmill.serving.unigram import Unigram

    return Unigram(tokenizer_file)
