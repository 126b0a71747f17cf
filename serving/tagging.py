"""Spans of texts in a graph: words, a tag for each, and the spans that the tags mark."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from textmill.serving.framing import Framing, rows_of
from textmill.serving.graph_tokenizer import GraphTokenizer
from textmill.serving.heads import Head
from textmill.words import CUT, PARTS, SPACE

if TYPE_CHECKING:
    import tensorflow as tf

    Logits = Callable[[tf.Tensor, tf.Tensor, tf.Tensor], tf.Tensor]


class Words(NamedTuple):
    """The words of texts, as `textmill.words.words_of` finds them.

    Attributes:
        words: string [batch, (words)].
        begins: int32 [batch, (words)], the first character's place in the text.
        ends: int32 [batch, (words)], the place behind the last character.
    """

    words: tf.RaggedTensor
    begins: tf.RaggedTensor
    ends: tf.RaggedTensor


def words_in(text: tf.Tensor) -> Words:
    """Returns the words of texts.

    Args:
        text: [batch] string, UTF-8; what is not valid is read as U+FFFD.
    """
    import tensorflow as tf

    valid = tf.strings.unicode_transcode(text, "UTF-8", "UTF-8")
    plain = tf.strings.regex_replace(valid, CUT, " ")
    marked = tf.strings.regex_replace(plain, PARTS, rf"{CUT}\1{CUT}")
    parts = tf.strings.split(marked, CUT)
    sizes = tf.strings.length(parts.flat_values, unit="UTF8_CHAR")
    ends = tf.cumsum(sizes)
    # The places count from the beginning of each text.
    offset = tf.gather(tf.concat([[0], ends], 0), parts.row_starts())
    ends -= tf.gather(offset, parts.value_rowids())
    is_word = ~tf.strings.regex_full_match(parts.flat_values, SPACE)
    kept = parts.with_flat_values(is_word)
    return Words(
        *(
            tf.ragged.boolean_mask(parts.with_flat_values(values), kept)
            for values in (parts.flat_values, ends - sizes, ends)
        )
    )


def tagged(
    text: tf.Tensor, tokenizer: GraphTokenizer, framing: Framing, logits: Logits, head: Head
) -> dict[str, tf.Tensor]:
    """Returns the spans of each text, those of a short list padded with "", 0 and -1.

    Args:
        text: [batch] string.
        tokenizer: Makes the ids of words.
        framing: How rows are made of them.
        logits: From token ids, mask and segments to float32 [rows, time, tags].
        head: Names of the tags, "O" first.

    Returns:
        `label` string, `start` and `end` int32 (in characters), and `score` float32 (the mean of
        its words' scores), each [batch, spans].
    """
    import tensorflow as tf

    found = words_in(text)
    words = Words(*(each[:, : framing.most()] for each in found))  # a word has a token at least
    pieces = tokenizer.pieces(words.words.flat_values)
    unknown = tf.fill([tf.shape(pieces.row_lengths())[0], 1], framing.frame.unknown)
    empty = tf.cast(pieces.row_lengths() == 0, tf.int64)
    pieces = tf.concat([pieces, tf.RaggedTensor.from_tensor(unknown, lengths=empty)], 1)
    firsts = pieces.row_starts()  # a word's first piece among those of all texts
    pieces = words.words.with_flat_values(pieces).merge_dims(1, 2)

    rows = rows_of(pieces, framing)
    scores = logits(rows.token_ids, rows.padding_mask, rows.segment_ids)
    skipped = len(framing.frame.before)
    lengths = tf.reduce_sum(tf.cast(rows.padding_mask, tf.int64), 1)
    lengths -= skipped + len(framing.frame.after)
    inside = tf.ragged.range(lengths)
    of_row = inside.value_rowids()
    read = tf.gather_nd(scores, tf.stack([of_row, inside.flat_values + skipped], 1))
    place = tf.gather(rows.firsts + tf.gather(pieces.row_starts(), rows.texts), of_row)
    place += inside.flat_values
    count = tf.size(pieces.flat_values, out_type=tf.int64)
    # What two windows share has the mean of their logits.
    joined = tf.math.unsorted_segment_mean(read, place, count)
    seen = tf.math.unsorted_segment_sum(tf.ones_like(place), place, count)
    there = tf.gather(seen, firsts) > 0
    shares = tf.nn.softmax(tf.boolean_mask(tf.gather(joined, firsts), there))
    of_text = tf.boolean_mask(words.words.value_rowids(), there)
    begins, ends = (tf.boolean_mask(w.flat_values, there) for w in (words.begins, words.ends))
    return _spans(shares, of_text, begins, ends, tf.size(text, out_type=tf.int64), head)


def _spans(
    shares: tf.Tensor,
    texts: tf.Tensor,
    begins: tf.Tensor,
    ends: tf.Tensor,
    count: tf.Tensor,
    head: Head,
) -> dict[str, tf.Tensor]:
    """Returns what tags mark, as `textmill.models.spans.spans_of` reads them."""
    import tensorflow as tf

    tags = tf.argmax(shares, -1, tf.int32)
    names, inside = (tags - 1) // 2, tags > 0
    open_names = tf.where(inside, names, -1)
    before = tf.concat([[-1], open_names[:-1]], 0)
    same_text = tf.concat([[False], texts[1:] == texts[:-1]], 0)
    # The slices of no words at all are still one long.
    before = tf.where(same_text, before, -1)[: tf.size(tags)]
    first = inside & ((tags % 2 == 1) | (before != names))
    number = tf.boolean_mask(tf.cumsum(tf.cast(first, tf.int32)) - 1, inside)
    spans = tf.reduce_sum(tf.cast(first, tf.int32))
    score = tf.math.unsorted_segment_mean(
        tf.boolean_mask(tf.reduce_max(shares, -1), inside), number, spans
    )
    end = tf.math.unsorted_segment_max(tf.boolean_mask(ends, inside), number, spans)
    titles = tf.constant([tag[2:] for tag in head.labels[1::2]] or [""])
    label = tf.gather(titles, tf.boolean_mask(names, first))
    start = tf.boolean_mask(begins, first)
    of_text = tf.boolean_mask(texts, first)

    def padded(values: tf.Tensor, nothing: str | int | float) -> tf.Tensor:
        rows = tf.RaggedTensor.from_value_rowids(values, of_text, count, validate=False)
        return tf.ensure_shape(rows.to_tensor(nothing), [None, None])

    return {
        "label": padded(label, ""),
        "start": padded(start, -1),
        "end": padded(end, -1),
        "score": padded(score, 0.0),
    }
