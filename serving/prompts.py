"""Prompts to token ids inside a TensorFlow graph, special tokens among them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from textmill.serving.graph_tokenizer import GraphTokenizer
from textmill.serving.tokenizer_rules import inexact, read_spec

if TYPE_CHECKING:
    import tensorflow as tf

PART = b"\xff"  # a byte that UTF-8 has nowhere


class PromptRules(NamedTuple):
    """What is a token of its own in a prompt, and what stands before it.

    Attributes:
        special: Text of a prompt that becomes one token, such as <|im_start|>, and its id.
        begin: Ids in front of each prompt that does not begin with them.
        start: The id that an empty prompt consists of, where `begin` is empty.
    """

    special: Mapping[str, int]
    begin: tuple[int, ...]
    start: int


def special_tokens(tokenizer_file: Path) -> dict[str, int]:
    """Returns the special tokens of a `tokenizer.json` and their ids, for `PromptRules`.

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
        tokenizer: Of what lies between special tokens.
        rules: What is special.
    """

    def __init__(self, tokenizer: GraphTokenizer, rules: PromptRules) -> None:
        self.tokenizer, self._rules = tokenizer, rules

    def __call__(self, text: tf.Tensor) -> tf.RaggedTensor:
        """Returns the ids of each prompt, one at least.

        Args:
            text: string [batch]; what is not UTF-8 in it is read as U+FFFD.

        Returns:
            int32 [batch, (tokens)].
        """
        import tensorflow as tf

        begin, rows = self._rules.begin, tf.size(text, out_type=tf.int64)
        found = self.inside(text)
        if begin:
            first = found[:, : len(begin)].to_tensor(-1, shape=[None, len(begin)])
            there = tf.reduce_all(first == tf.constant(begin, tf.int32), 1)
        else:
            there = found.row_lengths() > 0
        front = tf.constant(begin or (self._rules.start,), tf.int32)
        counts = tf.where(there, tf.zeros([rows], tf.int64), tf.size(front, tf.int64))
        absent = rows - tf.reduce_sum(tf.cast(there, tf.int64))
        fronts = tf.RaggedTensor.from_row_lengths(tf.tile(front, [absent]), counts, validate=False)
        return tf.concat([fronts, found], 1)

    def inside(self, text: tf.Tensor) -> tf.RaggedTensor:
        """Returns the ids of each text and nothing else, int32 [batch, (tokens)]."""
        import tensorflow as tf

        if not self._rules.special:
            return self.tokenizer.pieces(text)
        # Of two that begin alike, the library takes the longer one.
        names = sorted(self._rules.special, key=lambda name: (-len(name), name))
        pattern = "|".join(map(re.escape, names))
        whole = tf.strings.unicode_transcode(text, "UTF-8", "UTF-8", errors="replace")
        marked = tf.strings.regex_replace(whole, f"({pattern})", PART + rb"\1" + PART)
        # Texts and special tokens take turns.
        parts = tf.strings.split(marked, PART)
        special = tf.constant([self._rules.special[name] for name in names], tf.int32)
        which = tf.cast(parts.flat_values[:, None] == tf.constant(names), tf.int32)
        turn = tf.cast(tf.ragged.range(parts.row_lengths()).flat_values % 2 == 1, tf.bool)
        found = tf.gather(special, tf.argmax(which, 1))
        ids = tf.RaggedTensor.from_row_lengths(
            tf.boolean_mask(found, turn), tf.cast(turn, tf.int64), validate=False
        )
        between = self.tokenizer.pieces(tf.where(turn, "", parts.flat_values))
        return parts.with_flat_values(tf.concat([between, ids], 1)).merge_dims(1, 2)
