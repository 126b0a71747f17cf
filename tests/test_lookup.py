"""Tokens that a text's own past suggests: as many steps fewer, and no other token."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from textmill.serving.endings import Endings
from textmill.serving.generation import generate
from textmill.serving.lookup import GUESSES, ROWS
from writing import wishes

if TYPE_CHECKING:
    from textmill.serving.read import Caches, Read

TOKENS, END, LONGEST = 8, 7, 30


class Chain(NamedTuple):
    """What reads tokens and predicts the next one by the last one alone.

    Attributes:
        likely: int32 [tokens], what comes behind each token.
        second: int32 [tokens], what comes there if that may not.
        steps: Counts how often it was asked.
    """

    likely: tf.Tensor
    second: tf.Tensor
    steps: tf.Variable
    longest: int = LONGEST
    guesses: bool = True
    counted: int = 0

    def caches(self, rows: tf.Tensor, slots: tf.Tensor) -> Caches:
        """Returns a cache of the tokens that were read."""
        return [tf.fill(tf.stack([rows * slots, 1]), -1.0)]

    def __call__(self, ids: tf.Tensor, read: Read, caches: Caches) -> tuple[tf.Tensor, Caches]:
        """Returns the likelier ones, and the cache with the tokens."""
        tf.debugging.assert_less(read.places, self.longest)
        new = tf.cast(ids, tf.float32)[:, None]
        cache = tf.tensor_scatter_nd_update(caches[0], read.slots[:, None], new)
        found = 2 * tf.one_hot(tf.gather(self.likely, ids), TOKENS)
        return found + tf.one_hot(tf.gather(self.second, ids), TOKENS), [cache]

    def logits(self, x: tf.Tensor) -> tf.Tensor:
        """Returns what it is given."""
        with tf.control_dependencies([self.steps.assign_add(1)]):
            return tf.identity(x)

    def picked(self, caches: Caches, rows: tf.Tensor, which: tf.Tensor) -> Caches:
        """Returns the tokens that some rows read."""
        return [
            tf.reshape(tf.gather(tf.reshape(cache, [rows, -1]), which), [-1, 1]) for cache in caches
        ]


STEPS = tf.Variable(0)


@tf.function(
    autograph=False,
    input_signature=[
        tf.TensorSpec([TOKENS], tf.int32),
        tf.TensorSpec([TOKENS], tf.int32),
        tf.RaggedTensorSpec([None, None], tf.int32, 1, tf.int64),
        tf.TensorSpec([None], tf.int32),
        tf.TensorSpec([None], tf.int32),
    ],
)
def followed(
    likely: tf.Tensor, second: tf.Tensor, rows: tf.RaggedTensor, most: tf.Tensor, least: tf.Tensor
) -> Any:
    """Returns what a chain puts behind rows, and how many tokens were drawn."""
    usual = wishes(1)
    numbers = {name: tf.tile(value, tf.shape(most)) for name, value in usual._asdict().items()}
    asked = usual._replace(**numbers)._replace(max_new_tokens=most, min_new_tokens=least)
    return generate(Chain(likely, second, STEPS), rows, asked, Endings((END,)))


def step_by_step(
    likely: list[int], second: list[int], row: list[int], most: int, least: int
) -> tuple[list[int], int]:
    """Returns the same for one row, by its definition."""
    row = row[-max(LONGEST - most, (LONGEST + 1) // 2) :]
    token, found = row[-1], []
    for step in range(min(most, LONGEST - len(row))):
        token = second[token] if likely[token] == END and step < least else likely[token]
        found.append(token)
        if token == END:
            return found[:-1], len(found)
    return found, len(found)


TABLE = st.lists(st.integers(0, TOKENS - 1), min_size=TOKENS, max_size=TOKENS)
ROW = st.lists(st.integers(0, TOKENS - 1), min_size=1, max_size=LONGEST + 5)
NUMBERS = st.tuples(st.integers(0, LONGEST + 5), st.integers(0, 6))


@settings(max_examples=200, deadline=None)
@given(
    TABLE,
    st.lists(st.integers(0, END - 1), min_size=TOKENS, max_size=TOKENS),
    st.lists(st.tuples(ROW, NUMBERS), min_size=1, max_size=ROWS + 1),
)
def test_tokens_are_those_of_a_step_each(
    likely: list[int], second: list[int], asked: list[tuple[list[int], tuple[int, int]]]
) -> None:
    rows, numbers = zip(*asked, strict=True)
    most, least = np.array(numbers, np.int32).T
    ragged = tf.ragged.constant(rows, tf.int32, row_splits_dtype=tf.int64)
    found, count = followed(likely, second, ragged, most, least)
    wanted = [
        step_by_step(likely, second, row, *each) for row, each in zip(rows, numbers, strict=True)
    ]
    assert list(zip(found.to_list(), count.numpy(), strict=True)) == wanted


def test_a_text_that_repeats_itself_takes_fewer_steps() -> None:
    around = [(i + 1) % END for i in range(TOKENS)]
    ragged = tf.ragged.constant([[0, 1, 2, 3, 4, 5, 6, 0]], tf.int32, row_splits_dtype=tf.int64)
    STEPS.assign(0)
    found, count = followed(around, around, ragged, [20], [0])
    assert found.to_list() == [[i % END for i in range(1, 21)]]
    assert count.numpy() == 20
    assert STEPS.numpy() == 1 + -(-19 // (GUESSES + 1))
