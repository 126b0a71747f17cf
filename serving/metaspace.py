"""How SentencePiece parts a text into words, as a graph: a mark stands for a space."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import tensorflow as tf

# White_Space of the Unicode Character Database, PropList.txt; the same in every version since 6.3.
WHITE_SPACE = (
    r"[\t-\r \x{85}\x{a0}\x{1680}\x{2000}-\x{200a}\x{2028}\x{2029}\x{202f}\x{205f}\x{3000}]"
)


class Metaspace(NamedTuple):
    """How words are made.

    Attributes:
        mark: What stands for a space.
        prepend: Whether a text (or, after `white_space`, a word) that does not begin with a mark
            gets one in front.
        split: Whether each mark begins a word.
        white_space: Whether the text is parted at white space first, which is dropped.
    """

    mark: str
    prepend: bool
    split: bool
    white_space: bool


def words_of(text: tf.Tensor, rules: Metaspace) -> tf.RaggedTensor:
    """Returns the words of each text: [batch] string -> [batch, (words)] string.

    Source: `pre_tokenizers/metaspace.rs` of huggingface/tokenizers.
    """
    import tensorflow as tf

    mark = re.escape(rules.mark)
    # From here on a space is what words are cut at: the library leaves none.
    if rules.white_space:
        text = tf.strings.regex_replace(text, f"{WHITE_SPACE}+", " ")
        text = tf.strings.regex_replace(text, "^ | $", "")
    else:
        text = tf.strings.regex_replace(text, " ", rules.mark)
    if rules.prepend:
        text = tf.strings.regex_replace(text, rf"(?s)^([^{mark}])", rf"{rules.mark}\1")
        if rules.white_space:
            text = tf.strings.regex_replace(text, rf" ([^{mark}])", rf" {rules.mark}\1")
    if rules.split:
        text = tf.strings.regex_replace(text, mark, f" {rules.mark}")
    words = tf.strings.split(text, " ")
    return tf.ragged.boolean_mask(words, words.with_flat_values(words.flat_values != ""))
