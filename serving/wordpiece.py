"""BERT tokenization as a graph of core TensorFlow operations, equal to the `tokenizers` library.

Every rule of the normalizer and of the pre-tokenizer looks at one code point, but for the canonical
order of combining marks, so the rules become one table that is made with the library itself.
Longest-match-first (Wu et al. 2016; Devlin et al. 2019, `tokenization.py`) looks up every part of
the distinct words that are no token whole, all at once. No operation is outside core TensorFlow and
nothing grows with use, so any TensorFlow Serving can load it. A request of one text costs as much
as there are operations, so there are few: most of them are not written as ragged tensors.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from textmill.serving.code_points import (
    ALONE,
    BREAK,
    CODE,
    NOTHING,
    PAGE,
    RANK,
    SELF,
    SPACE,
    code_points,
)
from textmill.serving.tokenizer_rules import read_rules
from textmill.serving.whole_words import pieces_of

if TYPE_CHECKING:
    import tensorflow as tf

RARE = BREAK | 255 << RANK  # bits of what needs more than a look at each character
LOST = -2  # where no token fits
SHARE = 1 << 32  # more than any id


class WordPiece:
    """Turns text into token ids inside a TensorFlow graph; see `GraphTokenizer`.

    "[SEP]" in a text is three characters and a word, never a separator. A byte sequence that is not
    UTF-8 is read as U+FFFD, which a normalizer with `clean_text` drops.

    Args:
        tokenizer_file: A `tokenizer.json` with a WordPiece model, a BertNormalizer and a
            BertPreTokenizer. Its own truncation and padding are not read.

    Raises:
        UserError: If the file can't be read, or holds something that can't be done exactly.
    """

    def __init__(self, tokenizer_file: Path) -> None:
        import tensorflow as tf

        rules = read_rules(tokenizer_file)
        self.vocabulary_size = 1 + max(rules.vocabulary.values())
        self._rules = rules
        self._codes = code_points(*rules.normalizer)
        tokens = sorted(rules.vocabulary, key=lambda t: (rules.vocabulary[t], t))
        table = json.dumps([(t, rules.vocabulary[t]) for t in tokens])
        self.digest = hashlib.sha256(table.encode()).hexdigest()[:16]
        longest = max(map(len, tokens))
        self._longest = min(longest, rules.longest_word)
        self._any_length = longest <= rules.longest_word  # whether every token may be a word
        ids = tf.constant([rules.vocabulary[t] for t in tokens], tf.int32)
        pairs = tf.lookup.KeyValueTensorInitializer(tokens, ids)
        # Its own name counts what the process made before, and would be saved.
        pairs._name = "vocabulary"
        self._table = tf.lookup.StaticHashTable(pairs, default_value=-1)
        self.tables: Mapping[str, tf.lookup.StaticHashTable] = {"vocabulary": self._table}

    def pieces(self, text: tf.Tensor, most: int | None = None) -> tf.RaggedTensor:
        """Returns the token ids of each text, special tokens left out and nothing cut off.

        Args:
            text: [batch] string, UTF-8. The batch may be empty, and so may a text.
            most: Only this many ids of a text are needed; what comes behind them may be missing.

        Returns:
            [batch, (tokens)] int32.
        """
        import tensorflow as tf

        words, splits = self._words(text)
        if most is not None:  # a word has a token at least, so later ones can't matter
            begins = splits[:-1]
            splits, kept = tf.raw_ops.RaggedRange(
                starts=begins,
                limits=tf.minimum(splits[1:], begins + most),
                deltas=tf.constant(1, tf.int64),
            )
            words = tf.gather(words, kept)
        whole = self._table.lookup(words)
        if not self._any_length:
            size = tf.strings.length(words, unit="UTF8_CHAR")
            whole = tf.where(size <= self._rules.longest_word, whole, -1)
        texts = tf.RaggedTensor.from_row_splits(words, splits, validate=False)
        return pieces_of(texts, whole, self._longest_first)

    def _words(self, text: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns the normalized words of all texts, and where those of each begin and end.

        Returns:
            string [words] and int64 [batch + 1].
        """
        import tensorflow as tf

        # With a space at its end, no text goes over into the next.
        ends, code = tf.raw_ops.UnicodeDecode(
            input=tf.strings.join([text, " "]), input_encoding="UTF-8"
        )
        page = tf.cast(tf.gather(tf.constant(self._codes.starts), code // PAGE), tf.int32)
        row = tf.gather(tf.constant(self._codes.pages.reshape(-1)), page * PAGE + code % PAGE)
        became = tf.gather(tf.constant(self._codes.rows), tf.cast(row, tf.int32))
        became += tf.where((became & CODE) == SELF, code[:, None], 0)
        index = tf.where(became != NOTHING)
        flat, source = tf.gather_nd(became, index), index[:, 0]
        if ((self._codes.rows >= 0) & (self._codes.rows & RARE > 0)).any():
            flat, source = tf.cond(
                tf.reduce_any((flat & RARE) > 0),
                lambda: _canonical_order(flat, source),
                lambda: (flat, source),
            )
        place = tf.where(flat != SPACE)[:, 0]
        character = tf.gather(flat, place)
        alone = character >= ALONE
        begins = alone | tf.concat([[True], alone[:-1]], 0)
        begins |= place - tf.concat([[-1], place[:-1]], 0) > 1
        begin = tf.where(begins)[:, 0]
        count = tf.size(character, out_type=tf.int64)
        words = tf.raw_ops.UnicodeEncode(
            input_values=character & CODE,
            input_splits=tf.concat([begin, [count]], 0),
            output_encoding="UTF-8",
        )
        # A word is of the text that its first character is of.
        first = tf.gather(source, tf.gather(place, begin))
        splits = tf.raw_ops.LowerBound(
            sorted_inputs=first[None], values=ends[None], out_type=tf.int64
        )
        return words, splits[0]

    def _longest_first(self, words: tf.Tensor) -> tf.RaggedTensor:
        """Returns the ids of words that are no token: [words] string -> [words, (pieces)] int32."""
        import tensorflow as tf

        rules, size = self._rules, tf.strings.length(words, unit="UTF8_CHAR")
        known = size <= rules.longest_word
        size = tf.where(known, size, 0)
        longest = tf.reduce_max(tf.concat([size, [0]], 0))
        # A place for each character of each word, and one for its end.
        spot = tf.where(tf.range(longest + 1) <= size[:, None])
        word, start = spot[:, 0], tf.cast(spot[:, 1], tf.int32)
        left = tf.gather(size, word) - start
        # Every part that begins there and is no longer than the longest token.
        part = tf.where(tf.range(1, tf.minimum(longest, self._longest) + 1) <= left[:, None])
        of, length = part[:, 0], tf.cast(part[:, 1], tf.int32) + 1
        begin = tf.gather(start, of)
        text = tf.strings.substr(
            tf.gather(words, tf.gather(word, of)), begin, length, unit="UTF8_CHAR"
        )
        prefix = tf.gather(tf.constant(["", rules.prefix]), tf.minimum(begin, 1))
        found = self._table.lookup(tf.strings.join([prefix, text]))
        # The longest token has the largest number: it is counted in lengths first, then in ids.
        number = tf.where(
            found >= 0, tf.cast(length, tf.int64) * SHARE + tf.cast(found, tf.int64), 0
        )
        count = tf.size(left)
        best = tf.maximum(tf.math.unsorted_segment_max(number, of, count), 0)
        hit = best > 0
        # Where no token fits, the word is lost: on to its end.
        piece = tf.where(hit, tf.cast(best % SHARE, tf.int32), tf.where(left > 0, LOST, -1))
        behind = tf.range(count) + tf.where(hit, tf.cast(best // SHARE, tf.int32), left)
        first = tf.cumsum(size + 1, exclusive=True)
        ids, _ = tf.while_loop(
            lambda ids, at: tf.reduce_any(tf.gather(left, at) > 0),
            lambda ids, at: (
                tf.concat([ids, tf.gather(piece, at)[:, None]], 1),
                tf.gather(behind, at),
            ),
            (tf.gather(piece, first)[:, None], tf.gather(behind, first)),
            shape_invariants=(tf.TensorShape([None, None]), tf.TensorShape([None])),
        )
        # A word with a part that no piece fits is one unknown token, whatever came before.
        lost = tf.reduce_any(ids == LOST, 1) | ~known
        alone = tf.where(tf.range(tf.shape(ids)[1]) == 0, rules.unknown, -1)
        ids = tf.where(lost[:, None], alone, ids)
        return tf.ragged.boolean_mask(ids, ids >= 0)


def _canonical_order(flat: tf.Tensor, source: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Sorts each run of combining marks by rank (Unicode Standard, D109), and drops breaks.

    Args:
        flat: int32 [characters], with the bits of `CodePoints`.
        source: int64 [characters], where each comes from.
    """
    import tensorflow as tf

    rank = flat // (1 << RANK) & 255
    run = tf.cumsum(tf.cast(rank == 0, tf.int64))
    order = tf.argsort(run * 256 + tf.cast(rank, tf.int64), stable=True)
    kept = tf.boolean_mask(order, tf.gather(flat & BREAK, order) == 0)
    return tf.gather(flat, kept) & (CODE | ALONE), tf.gather(source, kept)
