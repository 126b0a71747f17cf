"""Where words begin: the regular expressions of byte-level BPE, as flags on characters.

Each expression is a list of alternatives, tried in order from the end of the word before. What they
take depends on runs of letters, numbers, white space and other characters alone, so all words of a
batch are found at once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from textmill.serving.character_classes import (
    LETTER,
    NUMBER,
    OTHER,
    SPACE,
    character_classes,
    look_up,
    matching,
    paged,
)

if TYPE_CHECKING:
    import tensorflow as tf

BLANK, APOSTROPHE = ord(" "), ord("'")


def gpt2_words(code: tf.Tensor, row: tf.Tensor, *, single_digits: bool = False) -> tf.Tensor:
    r"""Returns which characters begin a word, [characters] bool.

    The expression takes contractions; runs of letters, of numbers and of other characters, each
    with a blank in front; and white space, where a run of it leaves its last character to the word
    that follows.

    Args:
        code: [characters] int32, code points of all texts.
        row: [characters] int32, the text that each is of.
        single_digits: Whether each digit is a text by itself to the expression.

    Source: https://github.com/openai/gpt-2, `src/encoder.py`.
    """
    import tensorflow as tf

    kind = _kinds(code)
    if single_digits:
        digit = kind == NUMBER
        row = tf.cumsum(tf.cast((row != before(row)) | digit | before(digit, False), tf.int32))
    first, last = row != before(row), row != behind(row)
    previous = tf.where(first, -1, before(kind))
    following = tf.where(last, -1, behind(kind))
    after_blank = ~first & (before(code) == BLANK)
    # The last white space before a word leads it, if it is a blank, and else stands apart.
    lone = (previous == SPACE) & (following >= 0) & (following != SPACE)
    begin = tf.where(kind == SPACE, (previous != SPACE) | lone, (kind != previous) & ~after_blank)
    quote = (code == APOSTROPHE) & (previous != OTHER) & ~after_blank & ~last
    return first | _contractions(begin, quote, code, row, any_case=False)


def llama3_words(code: tf.Tensor, row: tf.Tensor, *, digits: int = 3) -> tf.Tensor:
    r"""Returns which characters begin a word, [characters] bool.

    The expression takes contractions in any case; runs of letters, with one character in front that
    is no number and no line break; numbers, up to `digits` of them; runs of others, with a blank in
    front and all line breaks behind; white space up to its last line break; and other white space,
    where a run of it leaves its last character to the word that follows.

    Args:
        code: [characters] int32, code points of all texts.
        row: [characters] int32, the text that each is of.
        digits: Most numbers in a word: 3 for Llama 3, 1 for Qwen 2.

    Source: https://github.com/meta-llama/llama3, `llama/tokenizer.py`.
    """
    import tensorflow as tf

    kind, place = _kinds(code), tf.range(tf.size(code))
    first, last = row != before(row), row != behind(row)
    previous = tf.where(first, -1, before(kind))
    following = tf.where(last, -1, behind(kind))
    after_blank = ~first & (before(code) == BLANK)
    turn = kind != previous  # where a run of one kind begins
    run = tf.cumsum(tf.cast(turn, tf.int32)) - 1

    # One character that is followed by a letter belongs to it, unless a blank took it before.
    leads = (kind == OTHER) & turn & (following == LETTER) & ~after_blank
    quote = leads & (code == APOSTROPHE)
    broken = (code == ord("\n")) | (code == ord("\r"))
    led = before(leads, False) | ((previous == SPACE) & ~before(broken, False))

    # Line breaks behind a run of others are its own, and the white space behind them a run anew.
    lines = broken & (first | ~before(broken, False))
    owned = broken & _held(lines & (previous == OTHER), lines)
    space = (kind == SPACE) & ~owned
    fresh = space & (turn | before(owned, False))
    breaks = tf.where(broken & ~owned, place, -1)
    final = tf.gather(tf.math.segment_max(breaks, run), run)  # the last line break of the run
    lone = (following >= 0) & (following != SPACE)
    begin_space = space & (fresh | (place == final + 1) | (lone & (place > final)))

    start = tf.gather(tf.where(turn)[:, 0], run)
    in_run = place - tf.cast(start, tf.int32)
    begin = tf.where(kind == LETTER, turn & ~led, turn & ~after_blank)
    begin = tf.where(kind == NUMBER, in_run % digits == 0, begin)
    begin = tf.where(kind == SPACE, begin_space, begin)
    return first | _contractions(begin, quote, code, row, any_case=True)


def _kinds(code: tf.Tensor) -> tf.Tensor:
    import tensorflow as tf

    return tf.cast(look_up(paged(character_classes()), code), tf.int32)


def _held(flag: tf.Tensor, turn: tf.Tensor) -> tf.Tensor:
    """Returns the flag of the last turn up to each place, [n] bool; False before the first."""
    import tensorflow as tf

    values = tf.concat([[False], tf.boolean_mask(flag, turn)], 0)
    return tf.gather(values, tf.cumsum(tf.cast(turn, tf.int32)))


def _contractions(
    begin: tf.Tensor, quote: tf.Tensor, code: tf.Tensor, row: tf.Tensor, *, any_case: bool
) -> tf.Tensor:
    """Returns where words begin when 's, 't, 'm, 'd, 're, 've and 'll are words of their own.

    Args:
        begin: [characters] bool, where words begin otherwise.
        quote: [characters] bool, the apostrophes that may begin a contraction.
        code: [characters] int32.
        row: [characters] int32.
        any_case: Whether 'S is one as well.
    """
    import tensorflow as tf

    def found() -> tf.Tensor:
        last = row != behind(row)
        one = tf.where(last, 0, behind(code))
        two = tf.where(last | behind(last, True), 0, behind(behind(code)))

        def among(letters: tf.Tensor, wanted: str) -> tf.Tensor:
            return tf.reduce_any(letters[:, None] == tf.constant([_forms(wanted, any_case)]), 1)

        short = quote & among(one, "stmd")
        long = quote & ((among(one, "rv") & among(two, "e")) | (among(one, "l") & among(two, "l")))
        inside = before(short | long, False) | before(before(long, False), False)
        after = before(before(short, False), False) | before(
            before(before(long, False), False), False
        )
        # Behind the end of a text there is another, which begins anyway.
        return ((begin | after) & ~inside) | short | long

    return tf.cond(tf.reduce_any(quote), found, lambda: begin)


def _forms(letters: str, any_case: bool) -> list[int]:
    """Returns the code points that an expression takes for letters; "ſ" is an "s" in any case."""
    if not any_case:
        return [ord(letter) for letter in letters]
    return np.flatnonzero(matching(f"(?i:[{letters}])")).tolist()


def before(values: tf.Tensor, fill: int | bool = -1) -> tf.Tensor:
    """Returns the value of each one's predecessor, [n] -> [n]."""
    import tensorflow as tf

    return tf.concat([tf.fill([tf.minimum(1, tf.size(values))], fill), values[:-1]], 0)


def behind(values: tf.Tensor, fill: int | bool = -1) -> tf.Tensor:
    """Returns the value of each one's successor, [n] -> [n]."""
    import tensorflow as tf

    return tf.concat([values[1:], tf.fill([tf.minimum(1, tf.size(values))], fill)], 0)
