"""With what a text ends: a token, or a string that may lie across tokens."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import tensorflow as tf


class Endings(NamedTuple):
    """With what a text ends.

    Attributes:
        tokens: Ids that end it, and are no part of it.
        strings: Texts that end it, and are no part of it; none is empty.
        of_tokens: The bytes that each token stands for; needed where there are `strings`.
    """

    tokens: tuple[int, ...]
    strings: tuple[str, ...] = ()
    of_tokens: Sequence[bytes] = ()

    @property
    def pattern(self) -> str:
        """Returns an expression of RE2 that finds the first of the strings."""
        return "|".join(re.escape(each) for each in self.strings)


def without_early_ends(logits: tf.Tensor, early: tf.Tensor, endings: Endings) -> tf.Tensor:
    """Returns logits with which no text ends where it is too early.

    Args:
        logits: float32 [tokens, vocabulary].
        early: bool [tokens], where it is.
        endings: With what a text ends.
    """
    import tensorflow as tf

    if not endings.tokens:
        return logits
    ids = tf.constant(endings.tokens, tf.int32)[:, None]
    ends = tf.scatter_nd(ids, tf.ones(len(endings.tokens)), [logits.shape[-1]]) > 0
    return tf.cond(
        tf.reduce_any(early),
        lambda: tf.where(early[:, None] & ends, logits.dtype.min, logits),
        lambda: logits,
    )


def is_end(tokens: tf.Tensor, endings: Endings) -> tf.Tensor:
    """Says which tokens end a text, int32 of any shape to bool."""
    import tensorflow as tf

    return tf.reduce_any(tokens[..., None] == tf.constant([*endings.tokens], tf.int32), -1)


def ended(tail: tf.Tensor, token: tf.Tensor, endings: Endings) -> tuple[tf.Tensor, tf.Tensor]:
    """Says which texts end with a token.

    Args:
        tail: string [rows], the last bytes of each text.
        token: int32 [rows], what comes behind them.
        endings: With what a text ends.

    Returns:
        bool [rows], and the last bytes of the texts with their tokens.
    """
    import tensorflow as tf

    stopped = is_end(token, endings)
    if not endings.strings:
        return stopped, tail
    tail = _tail(tail, token, endings)
    seen = tf.strings.unicode_transcode(tail, "UTF-8", "UTF-8", errors="replace")
    found = tf.strings.regex_full_match(seen, f"(?s).*(?:{endings.pattern}).*")
    return stopped | found, tail


def _tail(tail: tf.Tensor, token: tf.Tensor, endings: Endings) -> tf.Tensor:
    """Returns as much of the end of each text as a string that ends it may lie in."""
    import tensorflow as tf

    last = tf.gather(tf.constant(list(endings.of_tokens)), token)
    reach = max(len(each.encode()) for each in endings.strings) - 1
    # Only what is there since the last look can end a text: the token, and what it completes.
    old = tf.minimum(tf.strings.length(tail), reach)
    return tf.strings.join([tf.strings.substr(tail, -old, old), last])


def without_ends(new: tf.Tensor, endings: Endings) -> tuple[tf.RaggedTensor, tf.Tensor]:
    """Returns new tokens but for those that end a text, and how many they were with them.

    Args:
        new: int32 [rows, most], -1 where there is none.
        endings: With what a text ends.
    """
    import tensorflow as tf

    drawn_count = tf.reduce_sum(tf.cast(new >= 0, tf.int32), 1)
    return tf.ragged.boolean_mask(new, (new >= 0) & ~is_end(new, endings)), drawn_count


def cut(text: tf.Tensor, endings: Endings) -> tf.Tensor:
    """Returns texts up to the first string that ends them, [rows] string to the same."""
    import tensorflow as tf

    if not endings.strings:
        return text
    return tf.strings.regex_replace(text, f"(?s)(?:{endings.pattern}).*", "", replace_global=False)
