"""Byte-level BPE as a graph of core TensorFlow operations, equal to the `tokenizers` library.

A text is parted into words as `textmill.serving.word_splits` says. Most words are one token, which
a table knows. In the others the merges (Sennrich et al. 2016; Radford et al. 2019) go on at once,
the best pair of each distinct word in a step, or, in long ones, all of which it is certain.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from textmill.serving.bpe_rules import read_bpe_rules
from textmill.serving.long_words import Bounds
from textmill.serving.normalizers import normalizer
from textmill.serving.whole_words import pieces_of
from textmill.serving.word_splits import gpt2_words, llama3_words

if TYPE_CHECKING:
    import tensorflow as tf

# Bytes of a word. Longer words are fewer: together, they would make the table of all words wide.
SHORT, LONG = 8, 16
WIDE = 64  # bytes, from which a step costs more than to look around
FEW = 600  # words, which go quicker through one loop than through three


class BPE:
    """Turns text into token ids inside a TensorFlow graph; see `GraphTokenizer`.

    Args:
        tokenizer_file: A `tokenizer.json` with a BPE model on bytes, as those of RoBERTa, GPT-2,
            SmolLM, Llama 3 and Qwen 2.

    Raises:
        UserError: If the file can't be read, or holds something that can't be done exactly.
    """

    def __init__(self, tokenizer_file: Path) -> None:
        import tensorflow as tf

        self._rules = rules = read_bpe_rules(tokenizer_file)
        self._normalize = normalizer(tokenizer_file, rules.normalizers)
        self.vocabulary_size = rules.size
        whole = [(word.hex(), token) for word, token in rules.whole.items()]
        table = json.dumps([rules.of_bytes, rules.pairs, rules.merged, whole])
        self.digest = hashlib.sha256(table.encode()).hexdigest()[:16]
        keys = [left * rules.size + right for left, right in rules.pairs] or [-2]
        ranks = tf.lookup.KeyValueTensorInitializer(
            tf.constant(keys, tf.int64), tf.range(len(keys))
        )
        # Its own name counts what the process made before, and would be saved.
        ranks._name = "merges"
        self._ranks = tf.lookup.StaticHashTable(ranks, default_value=len(rules.pairs))
        self._bounds = Bounds(rules.pairs, rules.merged, rules.tokens, rules.size)
        words = tf.lookup.KeyValueTensorInitializer(
            tf.constant(list(rules.whole), tf.string),
            tf.constant(list(rules.whole.values()), tf.int32),
        )
        words._name = "whole"
        self._whole = tf.lookup.StaticHashTable(words, default_value=-1)
        self.tables: Mapping[str, tf.lookup.StaticHashTable] = {
            "merges": self._ranks,
            "whole": self._whole,
            "bounds": self._bounds.table,
        }

    def pieces(self, text: tf.Tensor, most: int | None = None) -> tf.RaggedTensor:
        """Returns the token ids of each text: [batch] string -> [batch, (tokens)] int32."""
        import tensorflow as tf

        rules = self._rules
        if rules.normalizers:
            text = self._normalize(text)
        if rules.prefix_space:
            bare = tf.strings.regex_full_match(text, r"(?s)[^ ].*")
            text = tf.where(bare, tf.strings.join([" ", text]), text)
        decoded = tf.strings.unicode_decode(text, "UTF-8")
        code, row = decoded.flat_values, tf.cast(decoded.value_rowids(), tf.int32)
        begin = tf.where(self._begins(code, row))[:, 0]
        splits = tf.concat([begin, [tf.size(code, out_type=tf.int64)]], 0)
        words = tf.RaggedTensor.from_value_rowids(
            tf.strings.unicode_encode(
                tf.RaggedTensor.from_row_splits(code, splits, validate=False), "UTF-8"
            ),
            tf.cast(tf.gather(row, begin), tf.int64),
            nrows=tf.size(text, out_type=tf.int64),
            validate=False,
        )
        if rules.total:
            words = words[:, :most]  # a word has a token at least, so later ones can't matter
        whole = self._whole.lookup(words.flat_values)
        return pieces_of(words, whole, self._parted)

    def _begins(self, code: tf.Tensor, row: tf.Tensor) -> tf.Tensor:
        """Returns which characters begin a word, [characters] bool."""
        rules = self._rules
        if rules.split == "llama3":
            return llama3_words(code, row, digits=rules.digits)
        return gpt2_words(code, row, single_digits=rules.digits == 1)

    def _parted(self, words: tf.Tensor) -> tf.RaggedTensor:
        """Returns the ids of distinct words: [words] string -> [words, (pieces)] int32."""
        import tensorflow as tf

        long = tf.strings.length(words) > WIDE

        def mixed() -> tf.RaggedTensor:
            places = tf.dynamic_partition(tf.range(tf.size(words)), tf.cast(long, tf.int32), 2)
            short, wide = (tf.gather(words, place) for place in places)
            parts = tf.concat([self._by_length(short), self._bounds.merge(self._bytes(wide))], 0)
            return tf.gather(parts, tf.math.invert_permutation(tf.concat(places, 0)))

        # Most requests have few words, and these short: for them there is one question.
        some = tf.reduce_any(long)
        return tf.cond(
            ~some & (tf.size(words) < FEW),
            lambda: self._merge(words),
            lambda: tf.cond(some, mixed, lambda: self._by_length(words)),
        )

    def _bytes(self, words: tf.Tensor) -> tf.RaggedTensor:
        """Returns the ids of the bytes of words: [words] string -> [words, (bytes)] int32."""
        import tensorflow as tf

        rules = self._rules
        raw = tf.io.decode_raw(tf.strings.reduce_join(words)[None], tf.uint8)[0]
        ids = tf.RaggedTensor.from_row_lengths(
            tf.gather(tf.constant(rules.of_bytes, tf.int32), tf.cast(raw, tf.int32)),
            tf.strings.length(words),
            validate=False,
        )
        return ids if rules.total else tf.ragged.boolean_mask(ids, ids >= 0)

    def _by_length(self, words: tf.Tensor) -> tf.RaggedTensor:
        import tensorflow as tf

        sizes = tf.strings.length(words)
        length = tf.cast(sizes > SHORT, tf.int32) + tf.cast(sizes > LONG, tf.int32)
        places = tf.dynamic_partition(tf.range(tf.size(words)), length, 3)
        parts = tf.concat([self._merge(tf.gather(words, place)) for place in places], 0)
        return tf.gather(parts, tf.math.invert_permutation(tf.concat(places, 0)))

    def _merge(self, words: tf.Tensor) -> tf.RaggedTensor:
        import tensorflow as tf

        rules, none = self._rules, len(self._rules.pairs)
        merged = tf.constant([*rules.merged, 0], tf.int32)
        size = tf.constant(rules.size, tf.int64)

        def rank(left: tf.Tensor, right: tf.Tensor) -> tf.Tensor:
            keys = tf.cast(left, tf.int64) * size + tf.cast(right, tf.int64)
            return self._ranks.lookup(tf.where((left >= 0) & (right >= 0), keys, -1))

        dense = tf.pad(self._bytes(words).to_tensor(-1), [[0, 0], [0, 2]], constant_values=-1)
        ranks = rank(dense[:, :-1], dense[:, 1:])

        def step(ids: tf.Tensor, ranks: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            """Merges the best pair of every word, the first of equals."""
            place = tf.argmin(ranks, 1, output_type=tf.int32)
            best = tf.gather(ranks, place, batch_dims=1)
            column = tf.range(tf.shape(ids)[1])[None]
            at = tf.where(best < none, place, tf.shape(ids)[1])[:, None]
            new = tf.gather(merged, best)
            left = tf.gather(ids, tf.maximum(place - 1, 0), batch_dims=1)
            right = tf.gather(ids, place + 2, batch_dims=1)
            left = tf.where(place > 0, left, -1)
            either = rank(tf.concat([left, new], 0), tf.concat([new, right], 0))
            before, behind = either[: tf.size(left)], either[tf.size(left) :]
            ids = tf.where(
                column < at,
                ids,
                tf.where(column == at, new[:, None], _shifted(ids, -1)),
            )
            column = column[:, :-1]
            ranks = tf.where(column <= at, ranks, _shifted(ranks, none))
            ranks = tf.where(column == at - 1, before[:, None], ranks)
            ranks = tf.where(column == at, behind[:, None], ranks)
            return ids, ranks

        dense, _ = tf.while_loop(
            lambda ids, ranks: tf.reduce_any(ranks < none),
            step,
            (
                tf.pad(dense, [[0, 0], [0, 1]], constant_values=-1),
                tf.pad(ranks, [[0, 0], [0, 1]], constant_values=none),
            ),
            shape_invariants=(tf.TensorShape([None, None]), tf.TensorShape([None, None])),
        )
        return tf.ragged.boolean_mask(dense, dense >= 0)


def _shifted(values: tf.Tensor, fill: int) -> tf.Tensor:
    """Returns the values each one column to the left, [words, width] -> [words, width]."""
    import tensorflow as tf

    return tf.pad(values[:, 1:], [[0, 0], [0, 1]], constant_values=fill)
