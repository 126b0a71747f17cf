"""Prompts to token ids inside a TensorFlow graph, special tokens among them."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from textmill.prompt_frame import PromptFrame
from textmill.serving.graph_tokenizer import GraphTokenizer
from textmill.serving.tokenizer_rules import inexact, read_spec

if TYPE_CHECKING:
    import tensorflow as tf

# White space as Python's `str.strip` knows it, in RE2's words.
_SPACE = (
    r"[\t-\r\x1c- \x{85}\x{a0}\x{1680}\x{2000}-\x{200a}\x{2028}\x{2029}\x{202f}\x{205f}\x{3000}]"
)
_STRIPPED = {
    "both": rf"\A{_SPACE}+|{_SPACE}+\z",
    "left": rf"\A{_SPACE}+",
    "right": rf"{_SPACE}+\z",
}
PART = b"\xff"  # a byte that UTF-8 has nowhere


def special_tokens(tokenizer_file: Path) -> dict[str, int]:
    """Returns the special tokens of a `tokenizer.json` and their ids.

    Raises:
        UserError: One of them takes spaces around it along, or must be a word of its own.
    """
    found: dict[str, int] = {}
    for each in read_spec(tokenizer_file)["added_tokens"]:
        flags = [key for key in ("lstrip", "rstrip", "single_word") if each[key]]
        if flags:
            raise inexact(tokenizer_file, "special token", f"none with {flags[0]}", each)
        if each["special"]:
            found[each["content"]] = each["id"]
    return found


class Prompts:
    """Turns prompts into token ids inside a TensorFlow graph.

    Args:
        tokenizer: Of texts.
        frame: What stands around a prompt.
        start: The id that a prompt without any consists of.
        special: Text that becomes one token where a whole conversation is given, such as
            <|im_start|>, and its id.
        clean: What happens to a prompt first, string [batch] to the same.
        longest: Tokens that a prompt may have, frame and all, where one that is longer is to be cut
            at the end of its text. None: it has as many as it has.
    """

    def __init__(
        self,
        tokenizer: GraphTokenizer,
        frame: PromptFrame,
        *,
        start: int,
        special: Mapping[str, int] | None = None,
        clean: Callable[[tf.Tensor], tf.Tensor] | None = None,
        longest: int | None = None,
    ) -> None:
        self.tokenizer, self.frame, self._start = tokenizer, frame, start
        self._special, self._clean = dict(special or {}), clean or (lambda text: text)
        self._most: int | None = None
        if longest is not None:
            self._most = max(longest - len(frame.before) - len(frame.after), 0)

    def __call__(self, text: tf.Tensor) -> tf.RaggedTensor:
        """Returns the ids of each prompt in its frame, one at least; no text is a special token.

        Args:
            text: string [batch]; what is not UTF-8 in it is read as U+FFFD.

        Returns:
            int32 [batch, (tokens)].
        """
        import tensorflow as tf

        text = self._clean(text)
        if self.frame.strip:
            text = tf.strings.unicode_transcode(text, "UTF-8", "UTF-8", errors="replace")
            text = tf.strings.regex_replace(text, _STRIPPED[self.frame.strip], "")
        if self.frame.before_text or self.frame.after_text:
            text = tf.strings.join([self.frame.before_text, text, self.frame.after_text])
        rows = tf.shape(text)[0]

        def around(ids: list[int]) -> tf.RaggedTensor:
            every = tf.tile(tf.constant([ids], tf.int32), [rows, 1])
            return tf.RaggedTensor.from_tensor(every, row_splits_dtype=tf.int64)

        before, after = around(self.frame.before), around(self.frame.after)
        inside = self.tokenizer.pieces(text, self._most)
        if self._most is not None:
            inside = inside[:, : self._most]
        return self._started(tf.concat([before, inside, after], 1))

    def conversation(self, text: tf.Tensor) -> tf.RaggedTensor:
        """Returns the ids of texts that are all that a model reads, special tokens among them.

        Args:
            text: string [batch], as a chat template makes them.

        Returns:
            int32 [batch, (tokens)], one at least in each.
        """
        import tensorflow as tf

        if not self._special:
            return self._started(self.inside(text))
        # Of two that begin alike, the library takes the longer one.
        names = sorted(self._special, key=lambda name: (-len(name), name))
        pattern = "|".join(map(re.escape, names))
        whole = tf.strings.unicode_transcode(text, "UTF-8", "UTF-8", errors="replace")
        marked = tf.strings.regex_replace(whole, f"({pattern})", PART + rb"\1" + PART)
        # Texts and special tokens take turns.
        parts = tf.strings.split(marked, PART)
        special = tf.constant([self._special[name] for name in names], tf.int32)
        which = tf.cast(parts.flat_values[:, None] == tf.constant(names), tf.int32)
        turn = tf.cast(tf.ragged.range(parts.row_lengths()).flat_values % 2 == 1, tf.bool)
        found = tf.gather(special, tf.argmax(which, 1))
        ids = tf.RaggedTensor.from_row_lengths(
            tf.boolean_mask(found, turn), tf.cast(turn, tf.int64), validate=False
        )
        between = self.inside(tf.where(turn, "", parts.flat_values))
        joined = parts.with_flat_values(tf.concat([between, ids], 1)).merge_dims(1, 2)
        return self._started(joined)

    def inside(self, text: tf.Tensor) -> tf.RaggedTensor:
        """Returns the ids of each text and nothing else, int32 [batch, (tokens)]."""
        return self.tokenizer.pieces(text)

    def _started(self, ids: tf.RaggedTensor) -> tf.RaggedTensor:
        """Returns prompts of which those without a token have the first."""
        import tensorflow as tf

        empty = tf.cast(ids.row_lengths() == 0, tf.int64)
        first = tf.fill([tf.reduce_sum(empty)], self._start)
        return tf.concat([tf.RaggedTensor.from_row_lengths(first, empty, validate=False), ids], 1)
