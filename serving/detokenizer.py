"""Token ids to text inside a TensorFlow graph, as the `tokenizers` library decodes them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from textmill.serving.bpe_rules import byte_alphabet
from textmill.serving.tokenizer_rules import inexact, read_spec

if TYPE_CHECKING:
    import tensorflow as tf


class Detokenizer:
    """Turns token ids of a byte-level BPE into text, special tokens left out.

    Args:
        tokenizer_file: A `tokenizer.json` whose decoder is ByteLevel.

    Attributes:
        of_tokens: The bytes that each token stands for, in the order of their ids; of special ones
            none.

    Raises:
        UserError: If the file can't be read, or decodes in another way.

    Source: https://huggingface.co/docs/tokenizers/api/decoders.
    """

    def __init__(self, tokenizer_file: Path) -> None:
        spec = read_spec(tokenizer_file)
        decoder = spec["decoder"]
        if decoder is None or decoder["type"] != "ByteLevel":
            raise inexact(tokenizer_file, "decoder", "ByteLevel, as GPT-2's", decoder)
        ids: dict[str, int] = dict(spec["model"]["vocab"])
        special = {each["id"] for each in spec["added_tokens"] if each["special"]}
        ids |= {each["content"]: each["id"] for each in spec["added_tokens"]}
        self.of_tokens = [b""] * (1 + max(ids.values()))
        for token, number in ids.items():
            if number not in special:
                self.of_tokens[number] = _bytes_of(token)

    def __call__(self, token_ids: tf.RaggedTensor) -> tf.Tensor:
        """Returns the text of each row; what is not UTF-8 in it becomes U+FFFD.

        Args:
            token_ids: int32 [batch, (tokens)]; an id that no token has is left out.

        Returns:
            [batch] string, valid UTF-8.
        """
        import tensorflow as tf

        ids = token_ids.flat_values
        known = (ids >= 0) & (ids < len(self.of_tokens))
        each = tf.gather(
            tf.constant([*self.of_tokens, b""]), tf.where(known, ids, len(self.of_tokens))
        )
        # A character may lie across two tokens, so that bytes are joined before they are read.
        joined = tf.strings.reduce_join(token_ids.with_flat_values(each), -1)
        return tf.strings.unicode_transcode(joined, "UTF-8", "UTF-8", errors="replace")


_BYTES = {character: byte for byte, character in enumerate(byte_alphabet())}


def _bytes_of(token: str) -> bytes:
    r"""Returns what a token stands for: bytes, or itself where it is not made of their characters.

    Example:
        >>> _bytes_of("ĠcafÃ©"), _bytes_of("a b")
        (b' caf\xc3\xa9', b'a b')
    """
    try:
        return bytes(_BYTES[character] for character in token)
    except KeyError:
        return token.encode()
