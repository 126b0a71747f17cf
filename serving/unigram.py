"""SentencePiece's unigram model as a graph of core TensorFlow operations, equal to `tokenizers`.

A text is normalized and cut into words; the best pieces of a word are those with the highest sum of
scores (Kudo 2018; Viterbi). All distinct words of a batch go through it at once, longest first, so
that those which still have a next character are always the first ones.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from textmill.serving.code_points import RANK
from textmill.serving.metaspace import words_of
from textmill.serving.normalizers import normalizer
from textmill.serving.unigram_rules import UnigramRules, read_unigram_rules

if TYPE_CHECKING:
    import tensorflow as tf


class Unigram:
    """Turns text into token ids inside a TensorFlow graph; see `GraphTokenizer`.

    Args:
        tokenizer_file: A `tokenizer.json` with a Unigram model, as ALBERT, XLM-RoBERTa, DeBERTa-v3
            and T5 have it.

    Raises:
        UserError: If the file can't be read, or holds something that can't be done exactly.
    """

    def __init__(self, tokenizer_file: Path) -> None:
        import tensorflow as tf

        self._rules = rules = read_unigram_rules(tokenizer_file)
        self._normalize = normalizer(tokenizer_file, rules.normalizers)
        self._trie = trie = _trie(rules)
        self.vocabulary_size = len(rules.pieces)
        table = json.dumps([rules.pieces, rules.scores, rules.unknown])
        self.digest = hashlib.sha256(table.encode()).hexdigest()[:16]
        edges = tf.lookup.KeyValueTensorInitializer(
            tf.constant(trie.edges, tf.int64), tf.range(1, len(trie.edges) + 1)
        )
        # Its own name counts what the process made before, and would be saved.
        edges._name = "trie"
        self._edges = tf.lookup.StaticHashTable(edges, default_value=-1)
        self.tables: Mapping[str, tf.lookup.StaticHashTable] = {"trie": self._edges}

    def pieces(self, text: tf.Tensor, most: int | None = None) -> tf.RaggedTensor:
        """Returns the token ids of each text: [batch] string -> [batch, (tokens)] int32."""
        import tensorflow as tf

        words = words_of(self._normalize(text), self._rules.metaspace)
        words = words[:, :most]  # a word has a token at least, so later ones can't matter
        distinct, place = tf.unique(words.flat_values)
        pieces = tf.gather(self._best(distinct), place)
        return words.with_flat_values(pieces).merge_dims(1, 2)

    def _best(self, words: tf.Tensor) -> tf.RaggedTensor:
        """Returns the ids of distinct words: [words] string -> [words, (pieces)] int32."""
        import tensorflow as tf

        decoded = tf.strings.unicode_decode(words, "UTF-8")
        order = tf.argsort(decoded.row_lengths(), direction="DESCENDING", stable=True)
        sizes = tf.cast(tf.gather(decoded.row_lengths(), order), tf.int32)
        codes = tf.gather(decoded, order)
        grid = _grid(sizes)
        code = tf.scatter_nd(grid.place[:, None], codes.flat_values, tf.shape(grid.place))
        found, nodes = self._matches(code, grid)
        chosen, back = self._path(found, nodes, grid)
        ends = tf.gather(grid.offset, sizes - 1) + tf.range(tf.size(sizes))
        on_path = _on_path(ends, back)
        # Word by word again, in the order in which the words were given.
        back_order = tf.math.invert_permutation(order)
        here = codes.with_flat_values(grid.place)
        kept = tf.ragged.boolean_mask(here, here.with_flat_values(tf.gather(on_path, grid.place)))
        kept = tf.gather(kept, back_order)
        ids = kept.with_flat_values(tf.gather(chosen, kept.flat_values))
        return self._fused(ids)

    def _fused(self, ids: tf.RaggedTensor) -> tf.RaggedTensor:
        """Returns ids of which unknown ones that follow each other in a word are one."""
        import tensorflow as tf

        flat, row = ids.flat_values, ids.value_rowids()
        lost = flat == self._rules.unknown
        again = lost[1:] & lost[:-1] & (row[1:] == row[:-1])
        again = tf.concat([tf.zeros([tf.minimum(1, tf.size(flat))], tf.bool), again], 0)
        return tf.ragged.boolean_mask(ids, ids.with_flat_values(~again))

    def _matches(self, code: tf.Tensor, grid: _Grid) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns all pieces that are anywhere in the words.

        Args:
            code: [characters] int32, in the order of `grid`.
            grid: Where the characters are.

        Returns:
            [characters, longest] int32: of the pieces that end with a character, by length, the
            longest possible first, the place in the second, 0 where there is none; and the nodes
            of the trie that pieces end at, [pieces] int32, the first a dummy.
        """
        import tensorflow as tf

        longest, count = self._trie.longest, tf.size(code)
        piece_of = tf.constant(self._trie.pieces)

        def step(
            depth: tf.Tensor,
            at: tf.Tensor,
            word: tf.Tensor,
            node: tf.Tensor,
            cells: tf.Tensor,
            ends: tf.Tensor,
        ) -> tuple[tf.Tensor, ...]:
            """Goes down by the character number `at` of each word."""
            place = tf.gather(grid.offset, at) + word
            key = tf.cast(node, tf.int64) * (1 << RANK) + tf.cast(tf.gather(code, place), tf.int64)
            node = self._edges.lookup(key)
            ends_here = tf.where(tf.gather(piece_of, tf.maximum(node, 0)) >= 0)[:, 0]
            ends_here = tf.boolean_mask(ends_here, tf.gather(node, ends_here) >= 0)
            cell = tf.gather(place, ends_here) * longest + (longest - 1 - depth)
            # A TensorArray that grows would need a server of 2.13.
            cells = tf.concat([cells, cell], 0)
            ends = tf.concat([ends, tf.gather(node, ends_here)], 0)
            at += 1
            on = (node >= 0) & (at < tf.gather(grid.sizes, word))
            at, word, node = (tf.boolean_mask(x, on) for x in (at, word, node))
            return depth + 1, at, word, node, cells, ends

        vector = tf.TensorShape([None])
        none = tf.zeros([0], tf.int32)
        *_, cells, ends = tf.while_loop(
            lambda depth, at, *_: tf.size(at) > 0,
            step,
            (tf.constant(0), grid.at, grid.word, tf.zeros_like(code), none, none),
            shape_invariants=(tf.TensorShape([]), *[vector] * 5),
        )
        nodes = tf.concat([[0], ends], 0)
        numbers = tf.range(1, tf.size(nodes))
        table = tf.scatter_nd(cells[:, None], numbers, (count * longest)[None])
        return tf.reshape(table, [-1, longest]), nodes

    def _path(self, found: tf.Tensor, nodes: tf.Tensor, grid: _Grid) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns the best piece that ends with each character, and its length, [characters] int32.

        Of pieces that are equally good the longest is taken, as the library does.
        """
        import tensorflow as tf

        rules, longest = self._rules, self._trie.longest
        piece_of = tf.constant(self._trie.pieces)
        of_node = tf.gather(piece_of, nodes)
        scores = tf.gather(tf.constant(rules.scores, tf.float64), tf.maximum(of_node, 0))
        none = tf.constant(-np.inf, tf.float64)
        scores = tf.concat([none[None], scores[1:]], 0)
        gain = tf.gather(scores, found)
        # A character that is no piece itself is an unknown one.
        alone = tf.where(found[:, -1] > 0, gain[:, -1], rules.unknown_score)
        gain = tf.concat([gain[:, :-1], alone[:, None]], 1)
        words = tf.size(grid.sizes)

        def step(
            at: tf.Tensor, window: tf.Tensor, best: tf.TensorArray
        ) -> tuple[tf.Tensor, tf.Tensor, tf.TensorArray]:
            """Goes on by a character; `window` is the best sum up to each of those before it."""
            first, end = grid.offset[at], grid.offset[at + 1]
            window = window[: end - first]
            sums = gain[first:end] + window
            best = best.write(at, tf.argmax(sums, 1, output_type=tf.int32))
            top = tf.reduce_max(sums, 1, keepdims=True)
            return at + 1, tf.concat([window[:, 1:], top], 1), best

        start = tf.concat(
            [tf.fill([words, longest - 1], none), tf.zeros([words, 1], tf.float64)], 1
        )
        columns = tf.TensorArray(
            tf.int32, tf.size(grid.offset) - 1, infer_shape=False, element_shape=[None]
        )
        *_, columns = tf.while_loop(
            lambda at, *_: at < tf.size(grid.offset) - 1,
            step,
            (tf.constant(0), start, columns),
            shape_invariants=(tf.TensorShape([]), tf.TensorShape([None, longest]), None),
        )
        column = columns.concat()
        number = tf.gather(found, column, batch_dims=1)
        chosen = tf.where(number > 0, tf.gather(of_node, number), rules.unknown)
        size = longest - column
        # The character that the piece before ends with; -1 at a word's beginning.
        before = grid.at_of - size
        back = tf.where(
            before >= 0, tf.gather(grid.offset, tf.maximum(before, 0)) + grid.word_of, -1
        )
        return chosen, back


class _Grid(NamedTuple):
    """Characters of words, the first ones of all words first, then the second ones, and so on.

    Words are sorted by length, longest first. The character number `at` of the word number `word`
    is at `offset[at] + word`.
    """

    sizes: tf.Tensor  # [words], characters of a word
    offset: tf.Tensor  # [longest word + 1]
    place: tf.Tensor  # [characters]: word by word, where each is in this order
    at: tf.Tensor  # [characters]: word by word, its number in its word
    word: tf.Tensor  # [characters]: word by word, its word
    at_of: tf.Tensor  # [characters]: in this order, its number in its word
    word_of: tf.Tensor  # [characters]: in this order, its word


def _grid(sizes: tf.Tensor) -> _Grid:
    import tensorflow as tf

    numbers = tf.ragged.range(sizes)
    at = numbers.flat_values
    word = tf.cast(numbers.value_rowids(), tf.int32)
    # Of how many words there is a character number 0, 1, 2, ...
    counts = tf.math.bincount(at)
    offset = tf.concat([[0], tf.cumsum(counts)], 0)
    at_of = tf.repeat(tf.range(tf.size(counts)), counts)
    word_of = tf.range(tf.size(at)) - tf.gather(offset, at_of)
    return _Grid(sizes, offset, tf.gather(offset, at) + word, at, word, at_of, word_of)


def _on_path(ends: tf.Tensor, back: tf.Tensor) -> tf.Tensor:
    """Returns which characters end a piece of the best path: those that lead back from the ends.

    Each step looks twice as far back as the one before.
    """
    import tensorflow as tf

    count = tf.size(back)
    # One place more, for what leads to a word's beginning.
    back = tf.concat([tf.where(back >= 0, back, count), [count]], 0)
    marks = tf.scatter_nd(ends[:, None], tf.ones_like(ends), (count + 1)[None])

    def step(marks: tf.Tensor, back: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return tf.tensor_scatter_nd_max(marks, back[:, None], marks), tf.gather(back, back)

    marks, _ = tf.while_loop(
        lambda marks, back: tf.reduce_any(back < count),
        step,
        (marks, back),
        shape_invariants=(tf.TensorShape([None]), tf.TensorShape([None])),
    )
    return marks[:-1] > 0


class _Trie(NamedTuple):
    """The pieces as a tree of characters; node 0 is the root.

    Edge number n, from `edges[n] >> RANK` by the code point below, leads to node n + 1.
    """

    edges: list[int]
    pieces: np.ndarray  # [nodes] int32, the piece that ends at a node, or -1
    longest: int  # characters of a piece


def _trie(rules: UnigramRules) -> _Trie:
    edges: dict[int, int] = {}
    ends: dict[int, int] = {}
    for number, piece in enumerate(rules.pieces):
        node = 0
        for character in piece:
            node = edges.setdefault(node * (1 << RANK) + ord(character), len(edges) + 1)
        if piece:
            ends[node] = number  # of equal pieces the last one counts
    pieces = np.full(len(edges) + 1, -1, np.int32)
    pieces[list(ends)] = list(ends.values())
    return _Trie(list(edges), pieces, max(map(len, rules.pieces)))
