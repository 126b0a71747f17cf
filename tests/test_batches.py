from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from textmill.artifact import Tokens
from textmill.components.tokenize import tokenize
from textmill.models.batches import (
    Rows,
    by_length,
    padded,
    padding,
    read_rows,
    shuffled,
    training,
    validation,
)
from tiny_examples import SCRATCH, empty, review_examples

INPUTS = ("token_ids", "padding_mask", "segment_ids")
LENGTHS = st.lists(st.integers(2, 40), min_size=1, max_size=200).map(np.array)


def rows_of(lists: list[list[int]]) -> Rows:
    return Rows(
        token_ids=np.array([i for ids in lists for i in ids], np.int32),
        starts=np.cumsum([0, *map(len, lists)]),
        labels=np.arange(len(lists), dtype=np.int32),
        places=np.arange(len(lists)),
    )


@given(lengths=LENGTHS, size=st.integers(1, 9), seed=st.integers(0, 99))
def test_every_row_comes_once_and_only_one_batch_is_small(lengths, size, seed) -> None:  # type: ignore[no-untyped-def]
    for batches in (shuffled(lengths, size, seed=seed, epoch=3), by_length(lengths, size)):
        assert sorted(np.concatenate(batches)) == list(range(len(lengths)))
        assert sum(len(batch) != size for batch in batches) <= 1


def test_the_order_depends_on_the_seed_and_the_epoch_alone() -> None:
    lengths = np.random.default_rng(0).integers(2, 60, 500)

    def order(seed: int, epoch: int) -> list[int]:
        batches = shuffled(lengths, 8, seed=seed, epoch=epoch)
        found: list[int] = np.concatenate(batches).tolist()
        return found

    assert order(1, 0) == order(1, 0)
    assert len({tuple(order(*which)) for which in ((1, 0), (1, 1), (2, 0), (2, 1))}) == 4


def test_rows_of_like_length_meet() -> None:
    lengths = np.random.default_rng(0).integers(2, 60, 5000)
    batches = shuffled(lengths, 32, seed=0, epoch=0)
    at_random = [np.arange(i, min(i + 32, 5000)) for i in range(0, 5000, 32)]
    assert padding(lengths, batches) < 0.03 < 0.4 < padding(lengths, at_random)
    # Not all short rows first: that is not what shuffled means.
    means = [lengths[batch].mean() for batch in batches]
    assert abs(np.mean(means[:50]) - np.mean(means[-50:])) < 8


def test_a_batch_is_padded_to_its_longest_row() -> None:
    rows = rows_of([[1, 2, 3, 4], [5], [6, 7]])
    found = padded(rows, np.array([2, 1]), INPUTS)
    assert found["token_ids"].tolist() == [[6, 7], [5, 0]]
    assert found["padding_mask"].tolist() == [[1, 1], [1, 0]]
    assert found["segment_ids"].tolist() == [[0, 0], [0, 0]]
    assert {array.dtype for array in found.values()} == {np.dtype("int32")}
    assert set(padded(rows, np.array([0]), ("token_ids",))) == {"token_ids"}


@given(st.lists(st.lists(st.integers(1, 9), min_size=1, max_size=6), min_size=1, max_size=20))
def test_padding_loses_no_token(lists: list[list[int]]) -> None:
    rows = rows_of(lists)
    for batch in by_length(rows.lengths, 4):
        found = padded(rows, batch, INPUTS)
        back = [
            ids[mask == 1].tolist()
            for ids, mask in zip(found["token_ids"], found["padding_mask"], strict=True)
        ]
        assert back == [lists[i] for i in batch]


@pytest.fixture(scope="module")
def tokens(tmp_path_factory: pytest.TempPathFactory) -> Tokens:
    folder: Path = tmp_path_factory.mktemp("tokens")
    made = empty(Tokens, folder / "tokens")
    tokenize(made, review_examples(folder / "made", rows=50), preset=SCRATCH, max_length=32)
    return made


def test_rows_are_read_in_their_order(tokens: Tokens) -> None:
    info, rows = tokens.info(), read_rows(tokens, "train")
    assert rows.places.tolist() == list(range(info["rows"]["train"]))
    assert np.bincount(rows.lengths, minlength=33).tolist() == info["lengths"]["train"]
    assert rows.labels.tolist() == [1, 0] * 15  # pos, neg, pos, …


def test_training_goes_on_for_ever_in_a_new_order_each_epoch(tokens: Tokens) -> None:
    rows = read_rows(tokens, "train")
    dataset = training(rows, 8, INPUTS, seed=0)
    batches = [(x["token_ids"].numpy(), y.numpy()) for x, y in dataset.take(8)]
    first, second = batches[:4], batches[4:]
    assert sum(len(y) for _, y in first) == sum(len(y) for _, y in second) == len(rows) == 30
    assert [x.tolist() for x, _ in first] != [x.tolist() for x, _ in second]
    again = [x["token_ids"].numpy().tolist() for x, _ in dataset.take(8)]
    assert again == [x.tolist() for x, _ in batches]


def test_validation_has_every_row_once_and_open_dimensions(tokens: Tokens) -> None:
    dataset = validation(read_rows(tokens, "validation"), 4, INPUTS)
    assert int(dataset.cardinality()) == 3
    assert sum(len(y) for _, y in dataset) == 10
    inputs, _ = dataset.element_spec
    assert all(spec.shape.as_list() == [None, None] for spec in inputs.values())


def test_a_split_without_rows_is_no_error(tmp_path: Path, tokens: Tokens) -> None:
    nothing = read_rows(Tokens(tmp_path), "validation")
    assert len(nothing) == 0
    assert by_length(nothing.lengths, 4) == []
    assert padding(nothing.lengths, []) == 0.0
