"""Cleaning as a graph of core TensorFlow operations: what a served model does to raw text first."""

from __future__ import annotations

import html
import sys
from html.entities import html5
from typing import TYPE_CHECKING

from textmill.components.cleaning import CONTROL, PASSES, TAGS, UNTOUCHED, WHITESPACE, Cleaning
from textmill.serving.normal_form import look_up, normalize, rules_of

if TYPE_CHECKING:
    import tensorflow as tf

REMOVED = -1  # a code point that nothing is put for
BAD = 0xFFFD
DIGITS = 8  # most digits of a number that is taken for a character

# What follows an "&", whole: RE2 has no look-ahead.
_DECIMAL = rf"(?s)#[0-9]{{1,{DIGITS}}}(?:[^0-9].*)?"
_HEXADECIMAL = rf"(?s)#[xX][0-9a-fA-F]{{1,{DIGITS}}}(?:[^0-9a-fA-F].*)?"
_PARTS = r"(?s)^(?:#(?:[xX]([0-9a-fA-F]+)|([0-9]+));?|([a-zA-Z][a-zA-Z0-9]*;))(.*)$"


def clean_graph(texts: tf.Tensor, rules: Cleaning) -> tf.Tensor:
    """Returns `texts` as `clean` would, in operations that any TensorFlow Serving knows.

    Everything in it is constant, so whoever saves the graph has nothing to track. A step is skipped
    where no text of the batch has what it looks for.

    Args:
        texts: [batch] string; a byte sequence that is not UTF-8 is read as U+FFFD.
        rules: What to do.

    Returns:
        [batch] string.

    Example:
        >>> import tensorflow as tf
        >>> clean_graph(tf.constant(["I <3 it!<br />5 &lt; 6"]), Cleaning()).numpy()
        array([b'I <3 it! 5 < 6'], dtype=object)
    """
    import tensorflow as tf

    def again(texts: tf.Tensor, _: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        cleaned = _once(texts, rules)
        return cleaned, tf.reduce_any(cleaned != texts)

    texts = tf.strings.unicode_transcode(texts, "UTF-8", "UTF-8")
    if rules == UNTOUCHED:
        return texts
    cleaned, _ = tf.while_loop(
        lambda _, changed: changed,
        again,
        (texts, tf.constant(True)),
        shape_invariants=(tf.TensorShape([None]), tf.TensorShape([])),
        maximum_iterations=PASSES,
    )
    return cleaned


def _once(texts: tf.Tensor, rules: Cleaning) -> tf.Tensor:
    import tensorflow as tf

    if rules.html:
        texts = tf.cond(_any(texts, "&"), lambda: _entities(texts), lambda: texts)
        texts = tf.cond(_any(texts, "<"), lambda: _tags(texts), lambda: texts)
    if rules.control:
        texts = tf.strings.regex_replace(texts, CONTROL, "")
    if rules.lowercase:
        texts = _lower(texts)
    if rules.unicode != "none":
        form = rules.unicode
        texts = tf.cond(
            _any(texts, rules_of(form).unstable), lambda: normalize(texts, form), lambda: texts
        )
    if rules.whitespace:
        texts = tf.strings.regex_replace(texts, WHITESPACE, " ")
        texts = tf.strings.regex_replace(texts, "^ +| +$", "")
    return texts


def _any(texts: tf.Tensor, pattern: str) -> tf.Tensor:
    """Says whether `pattern` is anywhere in `texts`."""
    import tensorflow as tf

    return tf.reduce_any(tf.strings.regex_full_match(texts, rf"(?s).*{pattern}.*"))


def _tags(texts: tf.Tensor) -> tf.Tensor:
    import tensorflow as tf

    for pattern, replacement in TAGS:
        texts = tf.strings.regex_replace(texts, pattern, replacement)
    return texts


def _lower(texts: tf.Tensor) -> tf.Tensor:
    """Lowers a character at a time, as Arrow does: "İ" is "i", and every capital sigma "σ"."""
    import pyarrow as pa
    import pyarrow.compute as pc
    import tensorflow as tf

    codes = [*range(0xD800), *range(0xE000, sys.maxunicode + 1)]
    lowered = "".join(pc.utf8_lower(pa.array(map(chr, codes))).to_pylist())
    table = {c: ord(low) for c, low in zip(codes, lowered, strict=True) if c != ord(low)}
    characters = tf.strings.unicode_decode(texts, "UTF-8")
    code = characters.flat_values
    return tf.strings.unicode_encode(
        characters.with_flat_values(look_up(table, code, code)), "UTF-8"
    )


def _entities(texts: tf.Tensor) -> tf.Tensor:
    """Puts characters for entities: an entity is what some piece between two "&" begins with."""
    import tensorflow as tf

    pieces = tf.strings.split(texts, "&")
    piece = pieces.flat_values
    inner = tf.ragged.range(pieces.row_lengths()).flat_values > 0
    rest = tf.strings.regex_replace(piece, _PARTS, r"\4")
    is_hexadecimal = tf.strings.regex_full_match(piece, _HEXADECIMAL)
    is_number = is_hexadecimal | tf.strings.regex_full_match(piece, _DECIMAL)
    digits = tf.where(is_number, tf.strings.regex_replace(piece, _PARTS, r"\1\2"), "")
    named, is_named = _named(tf.strings.regex_replace(piece, _PARTS, r"\3"))
    character = tf.where(is_number, _numbered(digits, is_hexadecimal), named)
    piece = tf.where(
        inner,
        tf.where(is_number | is_named, tf.add(character, rest), tf.add("&", piece)),
        piece,
    )
    return tf.strings.unsorted_segment_join(piece, pieces.value_rowids(), pieces.nrows())


def _named(names: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns the characters of names that end in ";", and which of the names are known."""
    import tensorflow as tf

    known = sorted(name for name in html5 if name.endswith(";"))
    with tf.init_scope():
        numbers = _number(tf.constant(known)).numpy().tolist()
    place = look_up(
        {number: i for i, number in enumerate(numbers)},
        _number(names),
        tf.zeros(tf.shape(names), tf.int32),
    )
    # Another string may have the number of a name, so the name itself is compared.
    is_known = tf.gather(tf.constant(known), place) == names
    return tf.gather(tf.constant([html5[name] for name in known]), place), is_known


def _number(names: tf.Tensor) -> tf.Tensor:
    import tensorflow as tf

    return tf.strings.to_hash_bucket_fast(names, 2**62)


def _numbered(digits: tf.Tensor, is_hexadecimal: tf.Tensor) -> tf.Tensor:
    """Returns the characters of numbers, at most `DIGITS` digits each, as `html.unescape` does."""
    import tensorflow as tf

    padded = tf.strings.substr(tf.strings.join(["0" * DIGITS, digits]), -DIGITS, DIGITS)
    byte = tf.cast(tf.io.decode_raw(padded, tf.uint8, fixed_length=DIGITS), tf.int64)
    value = tf.where(byte > ord("9"), byte % 16 + 9, byte % 16)  # "A" and "a" are 1 over a 16th
    weights = tf.constant([[b**i for i in reversed(range(DIGITS))] for b in (10, 16)], tf.int64)
    number = tf.reduce_sum(value * tf.gather(weights, tf.cast(is_hexadecimal, tf.int32)), 1)
    code = look_up(_exceptions(), number, number)
    no_character = (number > sys.maxunicode) | (number >= 0xD800) & (number < 0xE000)
    code = tf.where(no_character, tf.constant(BAD, code.dtype), code)
    characters = tf.strings.unicode_encode(tf.cast(tf.maximum(code, 0), tf.int32)[:, None], "UTF-8")
    return tf.where(code == REMOVED, "", characters)


def _exceptions() -> dict[int, int]:
    """Returns what `html.unescape` puts for numbers of control and of no characters."""
    plane_ends = [
        plane + last for plane in range(0, 0x110000, 0x10000) for last in (0xFFFE, 0xFFFF)
    ]
    found = {}
    for code in [*range(0xA0), *range(0xFDD0, 0xFDF0), *plane_ends]:
        char = html.unescape(f"&#{code};")
        if char != chr(code):
            found[code] = ord(char) if char else REMOVED
    return found
