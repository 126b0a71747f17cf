"""BERT tokenization as a graph of core TensorFlow operations, equal to the `tokenizers` library.

Every rule of the normalizer and of the pre-tokenizer looks at one code point, but for the canonical
order of combining marks, so the rules become one table that is made with the library itself.
Longest-match-first (Wu et al. 2016; Devlin et al. 2019, `tokenization.py`) is a loop over the
distinct words of a batch, all at once. No operation is outside core TensorFlow and nothing grows
with use, so any TensorFlow Serving can load it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from textmill.serving.code_points import BREAK, NOTHING, PAGE, RANK, SELF, code_points
from textmill.serving.tokenizer_rules import read_rules

if TYPE_CHECKING:
    import tensorflow as tf


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
        self._longest = min(max(map(len, tokens)), rules.longest_word)
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

        words = tf.strings.split(tf.strings.unicode_encode(self._characters(text), "UTF-8"))
        words = words[:, :most]  # a word has a token at least, so later ones can't matter
        distinct, place = tf.unique(words.flat_values)
        pieces = tf.gather(self._pieces(distinct), place)
        return words.with_flat_values(pieces).merge_dims(1, 2)

    def _characters(self, text: tf.Tensor) -> tf.RaggedTensor:
        """Returns the normalized code points, [batch, (characters)] int32, words between spaces."""
        import tensorflow as tf

        decoded = tf.strings.unicode_decode(text, "UTF-8")
        code = decoded.flat_values
        page = tf.gather(tf.constant(self._codes.starts), code // PAGE)
        row = tf.gather_nd(
            tf.constant(self._codes.pages), tf.stack([tf.cast(page, tf.int32), code % PAGE], 1)
        )
        became = tf.gather(tf.constant(self._codes.rows), tf.cast(row, tf.int32))
        became = tf.where(became == SELF, code[:, None], became)
        characters = decoded.with_flat_values(
            tf.ragged.boolean_mask(became, became != NOTHING)
        ).merge_dims(1, 2)
        flat, of_row = characters.flat_values, characters.value_rowids()
        if (self._codes.rows >= 1 << RANK).any():
            flat = tf.cond(
                tf.reduce_any(flat >= 1 << RANK),
                lambda: _canonical_order(flat, of_row),
                lambda: flat,
            )
        kept = characters.with_values(flat % (1 << RANK))
        return tf.ragged.boolean_mask(kept, characters.with_values(flat != BREAK))

    def _pieces(self, words: tf.Tensor) -> tf.RaggedTensor:
        """Returns the ids of distinct words: [words] string -> [words, (pieces)] int32."""
        import tensorflow as tf

        rules, count = self._rules, tf.size(words)
        size = tf.strings.length(words, unit="UTF8_CHAR")
        whole = self._table.lookup(words)
        short = size <= rules.longest_word
        lengths = tf.range(1, self._longest + 1)[None]

        def step(ids: tf.Tensor, todo: tf.Tensor, start: tf.Tensor) -> tuple[tf.Tensor, ...]:
            """Finds the longest next piece of every word in `todo`, which begins at `start`."""
            left = (tf.gather(size, todo) - start)[:, None]
            take = tf.minimum(lengths, left)
            texts = tf.strings.substr(
                tf.broadcast_to(tf.gather(words, todo)[:, None], tf.shape(take)),
                tf.broadcast_to(start[:, None], tf.shape(take)),
                take,
                unit="UTF8_CHAR",
            )
            found = self._table.lookup(
                tf.add(tf.where(start > 0, rules.prefix, "")[:, None], texts)
            )
            best = tf.reduce_max(tf.where((found >= 0) & (lengths <= left), lengths, 0), 1)
            hit = best > 0
            piece = tf.gather(found, tf.maximum(best - 1, 0), batch_dims=1)
            # A word with a part that no piece fits is one unknown token, whatever came before.
            lost = tf.scatter_nd(todo[:, None], ~hit, tf.cast(count, tf.int64)[None])
            ids = tf.where(lost[:, None], -1, ids)
            column = tf.tensor_scatter_nd_update(
                tf.fill([count], -1), todo[:, None], tf.where(hit, piece, rules.unknown)
            )
            start += best
            more = hit & (start < tf.gather(size, todo))
            return (
                tf.concat([ids, column[:, None]], 1),
                tf.boolean_mask(todo, more),
                tf.boolean_mask(start, more),
            )

        todo = tf.where((whole < 0) & short)[:, 0]
        ids, _, _ = tf.while_loop(
            lambda ids, todo, start: tf.size(todo) > 0,
            step,
            (tf.where(short, whole, rules.unknown)[:, None], todo, tf.zeros_like(todo, tf.int32)),
            shape_invariants=(
                tf.TensorShape([None, None]),
                tf.TensorShape([None]),
                tf.TensorShape([None]),
            ),
        )
        return tf.ragged.boolean_mask(ids, ids >= 0)


def _canonical_order(flat: tf.Tensor, of_row: tf.Tensor) -> tf.Tensor:
    """Sorts each run of combining marks by rank (Unicode Standard, D109), [characters] int32."""
    import tensorflow as tf

    rank = tf.maximum(flat, 0) // (1 << RANK)
    new_row = tf.concat([[True], of_row[1:] != of_row[:-1]], 0)
    run = tf.cumsum(tf.cast((rank == 0) | new_row, tf.int32))
    key = tf.cast(run, tf.int64) * (1 << (31 - RANK)) + tf.cast(rank, tf.int64)
    return tf.gather(flat, tf.argsort(key, stable=True))
