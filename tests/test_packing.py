from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from textmill.models.batches import padding, shuffled
from textmill.models.packing import dataset, filled, pack
from textmill.models.rows import Rows

LENGTHS = st.lists(st.integers(0, 40), min_size=1, max_size=60)


def documents(lengths: list[int]) -> Rows:
    """Documents in which no token comes twice."""
    starts = np.cumsum([0, *lengths])
    ids = np.arange(1, starts[-1] + 1, dtype=np.int32)
    labels = np.zeros(len(lengths), np.int32)
    return Rows(token_ids=ids, starts=starts, labels=labels, places=np.arange(len(lengths)))


@given(
    lengths=LENGTHS,
    length=st.integers(1, 20),
    window=st.integers(1, 70),
    seed=st.integers(0, 9),
    size=st.integers(1, 5),
)
def test_every_token_comes_once_in_documents_that_stay_whole(
    lengths: list[int], length: int, window: int, seed: int, size: int
) -> None:
    rows = documents(lengths)
    packing = pack(rows.lengths, length, seed=seed, epoch=1, shifted=True, window=window)
    seen: list[list[int]] = []
    for start in range(0, len(packing), size):
        found = filled(rows, packing, np.arange(start, min(start + size, len(packing))))
        for ids, document, position in zip(*found.values(), strict=True):
            used = int((document > 0).sum())
            assert ids.shape == (length,)
            assert used
            assert not ids[used:].any()  # padding stands at the end
            assert not position[used:].any()
            for number in range(1, document.max() + 1):
                piece = ids[document == number]
                assert position[document == number].tolist() == list(range(len(piece)))
                assert (np.diff(np.flatnonzero(document == number)) == 1).all()
                seen.append(piece.tolist())
    # Only a document that has no room is cut: into rows and a rest, which may lie between them.
    pieces = iter(sorted(seen))
    for i, j in zip(rows.starts[:-1], rows.starts[1:], strict=True):
        left, cut = list(range(i + 1, j + 1)), []
        while left:
            cut.append(len(piece := next(pieces)))
            assert piece == left[: len(piece)]
            left = left[len(piece) :]
        assert sorted(cut)[1:] == [length] * (len(cut) - 1)
    assert not list(pieces)
    assert sum(lengths) == pytest.approx((1 - packing.padding) * len(packing) * length)


@given(
    lengths=LENGTHS, length=st.integers(2, 20), share=st.floats(0, 0.99), epoch=st.integers(0, 9)
)
def test_pieces_overlap(lengths: list[int], length: int, share: float, epoch: int) -> None:
    overlap = int(length * share)
    for shared, shifted in itertools.product((True, False), repeat=2):
        how = {"shared": shared, "shifted": shifted, "overlap": overlap}
        packing = pack(np.array(lengths), length, seed=0, epoch=epoch, **how)
        assert max(packing.pieces[:, 2], default=0) <= length
        for document, size in enumerate(lengths):
            of = sorted(packing.pieces[packing.pieces[:, 0] == document, 1:].tolist())
            ends = [first + count for first, count in of]
            assert [first for first, _ in of] == (
                [0] + [e - overlap for e in ends[:-1]] if of else []
            )
            assert ends[-1:] == [size][: size > 0]
            assert all(count > overlap for _, count in of[:-1])


def test_a_document_is_cut_elsewhere_in_each_epoch() -> None:
    cuts = {
        pack(np.array([23]), 10, seed=0, epoch=e, shifted=True).pieces[:, 1].max()
        for e in range(20)
    }
    assert cuts == {13, 20}


def fills_of(packing) -> list[int]:  # type: ignore[no-untyped-def]
    return sorted(int(packing.pieces[i:j, 2].sum()) for i, j in packing.rows)


@given(lengths=LENGTHS, length=st.integers(1, 50))
def test_rows_are_as_full_as_those_of_best_fit_the_long_way(
    lengths: list[int], length: int
) -> None:
    packing = pack(np.array(lengths), length, seed=0, epoch=0)
    left: list[int] = []
    for size in sorted(packing.pieces[:, 2].tolist(), reverse=True):
        fitting = [space for space in left if space >= size]
        if fitting:
            left.remove(min(fitting))
        left.append((min(fitting) if fitting else length) - size)
    assert fills_of(packing) == sorted(length - space for space in left)


def first_fit(sizes: list[int], length: int) -> int:
    left: list[int] = []
    for size in sizes:
        place = next((i for i, space in enumerate(left) if space >= size), None)
        if place is None:
            left.append(length - size)
        else:
            left[place] -= size
    return len(left)


@given(lengths=LENGTHS, length=st.integers(1, 50))
def test_there_are_hardly_more_rows_than_by_luck(lengths: list[int], length: int) -> None:
    packing = pack(np.array(lengths), length, seed=0, epoch=0)
    sizes = [min(length, n - k) for n in lengths for k in range(0, n, length)]
    # Best fit decreasing takes at most 11/9 of the fewest rows, and 4 (Johnson, 1974).
    assert len(packing) <= 11 / 9 * first_fit(sizes, length) + 4


@pytest.mark.parametrize("length", [64, 128, 256])
def test_packed_rows_are_fuller_than_first_fit_and_than_batches_by_length(length: int) -> None:
    lengths = np.random.default_rng(0).lognormal(3, 0.6, 3000).astype(int).clip(2, length)
    packing = pack(lengths, length, seed=0, epoch=0)
    assert len(packing) <= first_fit(lengths.tolist(), length)
    assert packing.padding < 0.01 < padding(lengths, shuffled(lengths, 32, seed=0, epoch=0))


def test_the_packing_depends_on_the_seed_and_the_epoch_alone() -> None:
    lengths = np.random.default_rng(0).integers(2, 60, 500)

    def found(seed: int, epoch: int) -> bytes:
        packing = pack(lengths, 64, seed=seed, epoch=epoch, window=100)
        return packing.pieces.tobytes() + packing.rows.tobytes()

    assert found(1, 0) == found(1, 0)
    assert len({found(*which) for which in ((1, 0), (1, 1), (2, 0), (2, 1))}) == 4


def test_rows_do_not_come_by_length() -> None:
    lengths = np.random.default_rng(0).integers(2, 60, 2000)
    packing = pack(lengths, 64, seed=0, epoch=0)
    longest = np.array([packing.pieces[i:j, 2].max() for i, j in packing.rows])
    half = len(longest) // 2
    assert abs(longest[:half].mean() - longest[half:].mean()) < 3


def test_a_dataset_goes_on_where_it_stopped() -> None:
    rows = documents([3, 9, 4, 30, 2, 8, 1, 6])
    packing = pack(rows.lengths, 12, seed=0, epoch=0)
    batches = list(dataset(rows, packing, 2))
    assert len(batches) == int(dataset(rows, packing, 2).cardinality()) == -(-len(packing) // 2)
    for i, batch in enumerate(batches):
        expected = filled(rows, packing, np.arange(len(packing))[2 * i : 2 * i + 2])
        for name, values in expected.items():
            assert batch[name].dtype == "int32"
            assert batch[name].numpy().tolist() == values.tolist()
    rest = [batch["token_ids"].numpy().tolist() for batch in dataset(rows, packing, 2, skip=1)]
    assert rest == [batch["token_ids"].numpy().tolist() for batch in batches[1:]]


def test_no_documents_make_no_rows() -> None:
    packing = pack(np.zeros(0, np.int64), 8, seed=0, epoch=0)
    assert (len(packing), packing.padding) == (0, 0.0)
    assert list(dataset(documents([]), packing, 2)) == []
