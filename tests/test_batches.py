from __future__ import annotations

from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from textmill.artifact import Tokens, read_json, write_json
from textmill.components.tokenize import tokenize
from textmill.errors import UserError
from textmill.models import rows as rows_module
from textmill.models.batches import by_length, dataset, edges, padded, padding, shuffled
from textmill.models.rows import Rows, read_rows
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
    plain = shuffled(lengths, size, seed=seed, epoch=3, window=1)
    for batches in (shuffled(lengths, size, seed=seed, epoch=3), by_length(lengths, size), plain):
        assert sorted(np.concatenate(batches)) == list(range(len(lengths)))
        assert sum(len(batch) != size for batch in batches) <= 1


@given(lengths=LENGTHS, budget=st.integers(1, 400), seed=st.integers(0, 99))
def test_a_token_budget_holds_for_every_batch_of_more_than_a_row(lengths, budget, seed) -> None:  # type: ignore[no-untyped-def]
    batches = shuffled(lengths, 8, seed=seed, epoch=0, tokens_per_batch=budget)
    assert sorted(np.concatenate(batches)) == list(range(len(lengths)))
    assert all(len(b) == 1 or len(b) * lengths[b].max() <= budget for b in batches)


def test_a_token_budget_fills_its_batches() -> None:
    lengths = np.random.default_rng(0).integers(2, 60, 5000)
    batches = shuffled(lengths, 32, seed=0, epoch=0, tokens_per_batch=1000)
    held = [len(b) * int(lengths[b].max()) for b in batches]
    assert max(held) <= 1000
    assert np.median(held) > 900
    assert padding(lengths, batches) < 0.05


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
    at_random = shuffled(lengths, 32, seed=0, epoch=0, window=1)
    assert padding(lengths, batches) < 0.03 < 0.4 < padding(lengths, at_random)
    # Not all short rows first: that is not what shuffled means.
    means = [lengths[batch].mean() for batch in batches]
    assert abs(np.mean(means[:50]) - np.mean(means[-50:])) < 8


@given(
    histogram=st.lists(st.integers(0, 5), min_size=1, max_size=9).filter(any),
    count=st.integers(1, 4),
)
def test_edges_are_the_best_of_all(histogram: list[int], count: int) -> None:
    longest = max(n for n, rows in enumerate(histogram) if rows)

    def positions(widths: tuple[int, ...]) -> int:
        return sum(
            rows * min(w for w in widths if w >= n) for n, rows in enumerate(histogram) if rows
        )

    found = edges(histogram, count)
    assert found == sorted(set(found))
    assert len(found) <= count
    assert found[-1] == longest
    every = (c for k in range(count) for c in combinations(range(longest), k))
    assert positions(tuple(found)) == min(positions((*each, longest)) for each in every)


def test_no_rows_have_no_edges() -> None:
    assert edges([0, 0, 0], 4) == []


def test_a_batch_is_padded_to_its_longest_row() -> None:
    rows = rows_of([[1, 2, 3, 4], [5], [6, 7]])
    found = padded(rows, np.array([2, 1]), INPUTS)
    assert found["token_ids"].tolist() == [[6, 7], [5, 0]]
    assert found["padding_mask"].tolist() == [[1, 1], [1, 0]]
    assert found["segment_ids"].tolist() == [[0, 0], [0, 0]]
    assert {array.dtype for array in found.values()} == {np.dtype("int32")}
    assert set(padded(rows, np.array([0]), ("token_ids",))) == {"token_ids"}


@pytest.mark.parametrize(("batch", "width"), [([1], 1), ([1, 2], 3), ([0], 4)])
def test_a_batch_is_padded_to_the_next_width(batch: list[int], width: int) -> None:
    rows = rows_of([[1, 2, 3, 4], [5], [6, 7]])
    found = padded(rows, np.array(batch), INPUTS, widths=[1, 3])
    assert {array.shape for array in found.values()} == {(len(batch), width)}
    assert found["padding_mask"].sum() == rows.lengths[batch].sum()


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


def test_rows_that_are_too_many_for_memory_are_the_same_rows(
    tokens: Tokens, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rows_module, "BATCH", 7)
    small = read_rows(tokens, "train")
    monkeypatch.setattr(rows_module, "IN_MEMORY", 100)
    large = read_rows(tokens, "train")
    assert isinstance(small.token_ids, np.ndarray)
    assert not isinstance(large.token_ids, np.ndarray)
    assert large.starts.tolist() == small.starts.tolist()
    batch = np.array([3, 29, 0])
    for name, array in padded(small, batch, INPUTS).items():
        assert padded(large, batch, INPUTS)[name].tolist() == array.tolist()


@pytest.mark.parametrize(
    ("part", "more"), [("rows", 1), ("rows", -1), ("tokens", 5), ("tokens", -5)]
)
def test_shards_that_do_not_fit_their_counts_are_an_error(
    tmp_path: Path, tokens: Tokens, part: str, more: int
) -> None:
    info = read_json(tokens.path / "tokens.json")
    info[part]["train"] += more
    write_json(tmp_path / "tokens.json", info)
    (tmp_path / "train").symlink_to(tokens.path / "train")
    with pytest.raises(UserError, match="the train shards are not those"):
        read_rows(Tokens(tmp_path), "train")


def test_a_dataset_holds_the_batches_in_their_order_and_open_dimensions(tokens: Tokens) -> None:
    rows = read_rows(tokens, "train")
    batches = shuffled(rows.lengths, 8, seed=0, epoch=0)
    made = dataset(rows, batches, INPUTS)
    assert int(made.cardinality()) == 4
    for batch, (inputs, labels, weights) in zip(batches, made, strict=True):
        for name, array in padded(rows, batch, INPUTS).items():
            assert inputs[name].numpy().tolist() == array.tolist()
        assert labels.numpy().tolist() == rows.labels[batch].tolist()
        assert weights.numpy().tolist() == pytest.approx([1 / len(batch)] * len(batch))
    inputs, labels, weights = made.element_spec
    assert all(spec.shape.as_list() == [None, None] for spec in inputs.values())
    assert (labels.shape.as_list(), weights.shape.as_list()) == ([None], [None])
    assert list(inputs) == list(INPUTS)


def test_pieces_of_a_batch_follow_each_other_and_weigh_as_much_as_it() -> None:
    rows = rows_of([[i] * (i % 5 + 1) for i in range(12)])
    batches = [np.array([4, 1, 0, 2, 8, 9, 11]), np.array([3, 10]), np.array([5, 7, 6])]
    found = list(dataset(rows, batches, ["token_ids"], pieces=3, widths=[2, 5]))
    assert [len(labels) for _, labels, _ in found] == [3, 2, 2, 1, 1, 1, 1, 1]
    assert [int(i) for _, labels, _ in found for i in labels] == list(np.concatenate(batches))
    assert [x["token_ids"].shape[1] for x, _, _ in found] == [5, 5, 5, 5, 2, 2, 5, 2]
    losses = np.random.default_rng(0).random(12)
    sums = [float(np.sum(w * losses[y])) for _, y, w in found]
    means = [losses[b].mean() for b in batches]
    assert [sum(sums[:3]), sum(sums[3:5]), sum(sums[5:])] == pytest.approx(means, abs=1e-6)


def test_a_training_goes_on_where_it_stopped(tokens: Tokens) -> None:
    rows = read_rows(tokens, "train")
    batches = shuffled(rows.lengths, 4, seed=3, epoch=1)
    whole = [x["token_ids"].numpy().tolist() for x, _, _ in dataset(rows, batches, INPUTS)]
    rest = [x["token_ids"].numpy().tolist() for x, _, _ in dataset(rows, batches[5:], INPUTS)]
    assert rest == whole[5:]


def test_a_split_without_rows_is_no_error(tmp_path: Path, tokens: Tokens) -> None:
    info = read_json(tokens.path / "tokens.json")
    info["rows"]["validation"] = info["tokens"]["validation"] = 0
    write_json(tmp_path / "tokens.json", info)
    nothing = read_rows(Tokens(tmp_path), "validation")
    assert len(nothing) == 0
    assert by_length(nothing.lengths, 4) == []
    assert shuffled(nothing.lengths, 4, seed=0, epoch=0, tokens_per_batch=9) == []
    assert padding(nothing.lengths, []) == 0.0
    assert list(dataset(nothing, [], INPUTS)) == []
