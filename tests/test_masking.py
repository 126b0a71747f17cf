"""Which tokens are masked, how many, and what decides it."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from textmill.errors import UserError
from textmill.models.masking import Masked, Vocabulary, masked, vocabulary_of
from textmill.models.tokenizer_training import train_tokenizer

TEXTS = ["unbelievable reviewers rewatched films", "films, unwatched: a believer's review"] * 9


def other_kind(mark: str) -> Tokenizer:
    """A tokenizer whose tokens say where a word begins."""
    names = ["<s>", "<pad>", "</s>", "<unk>", f"{mark}un", "watched", f"{mark}film", "s", "<mask>"]
    made = Tokenizer(models.WordLevel({name: i for i, name in enumerate(names)}, unk_token="<unk>"))
    made.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    made.add_special_tokens([name for name in names if name[0] == "<"])
    made.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0), trim_offsets=False)
    return made


WORDPIECE = train_tokenizer(TEXTS, 60)
KINDS = {
    "wordpiece": vocabulary_of(WORDPIECE),
    "bytes": vocabulary_of(other_kind("Ġ")),
    "unigram": vocabulary_of(other_kind("▁")),
}


@st.composite
def batches(draw: Any) -> tuple[Vocabulary, Any, Any]:
    vocabulary = KINDS[draw(st.sampled_from(sorted(KINDS)))]
    lengths = draw(st.lists(st.integers(2, 60), min_size=1, max_size=4))
    random = np.random.default_rng(draw(st.integers(0, 2**32)))
    ids = random.integers(0, len(vocabulary.special), (len(lengths), max(lengths)))
    return vocabulary, ids.astype(np.int32), np.array(lengths, np.int64)


@given(batches(), st.booleans(), st.integers(0, 3), st.integers(0, 3))
@settings(deadline=None)
def test_what_is_masked(batch: Any, whole_word: bool, seed: int, epoch: int) -> None:
    vocabulary, ids, lengths = batch
    rows = np.arange(len(ids)) + 7
    how = {"seed": seed, "epoch": epoch, "whole_word": whole_word}
    found = masked(ids, lengths, vocabulary, rows=rows, **how)
    for i, length in enumerate(lengths):
        chosen = found.positions[i][found.labels[i] >= 0]
        held = ids[i, :length]
        assert (np.diff(chosen) > 0).all()
        assert (chosen < length).all()
        assert (found.labels[i][: len(chosen)] == ids[i, chosen]).all()
        assert not vocabulary.special[ids[i, chosen]].any()
        kept = np.ones(ids.shape[1], bool)
        kept[chosen] = False
        assert (found.token_ids[i, kept] == ids[i, kept]).all()
        put_in = found.token_ids[i, chosen]
        assert ((put_in == vocabulary.mask) | ~vocabulary.special[put_in]).all()
        # The same words by a loop: a run of tokens that neither begin one nor follow a special one.
        word = -1
        words = []
        for j, token in enumerate(held):
            inside = j and not vocabulary.begins[token] and not vocabulary.special[held[j - 1]]
            word += not (whole_word and inside)
            words.append(word)
        open_places = [j for j in range(length) if not vocabulary.special[held[j]]]
        of_chosen = {words[j] for j in chosen}
        assert [j for j in open_places if words[j] in of_chosen] == chosen.tolist()
        size = max(Counter(words[j] for j in open_places).values(), default=0)
        assert len(chosen) >= bool(open_places)
        assert abs(len(chosen) - 0.15 * len(open_places)) <= max(1, size)
        # A row's number decides, and not the batch that it is in.
        alone = masked(ids[i : i + 1], lengths[i : i + 1], vocabulary, rows=rows[i : i + 1], **how)
        assert (alone.token_ids[0] == found.token_ids[i]).all()


def test_the_shares() -> None:
    vocabulary = KINDS["wordpiece"]
    random = np.random.default_rng(0)
    ids = random.choice(vocabulary.words, (400, 120)).astype(np.int32)
    lengths = np.full(400, 120)
    found = masked(ids, lengths, vocabulary, seed=0, epoch=0, rows=np.arange(400))
    assert (found.labels >= 0).sum() == 400 * 18
    now = np.take_along_axis(found.token_ids, found.positions, 1)
    share = (now == vocabulary.mask).mean()
    assert share == pytest.approx(0.8, abs=0.02)
    stayed = (now == found.labels).mean()
    assert stayed == pytest.approx(0.1 + 0.1 / len(vocabulary.words), abs=0.015)
    assert set(now.ravel()) == {vocabulary.mask, *vocabulary.words}
    # Every place is drawn alike.
    counts = np.bincount(found.positions.ravel(), minlength=120)
    assert counts.min() > 30


def test_seed_epoch_and_row_decide() -> None:
    vocabulary = KINDS["wordpiece"]
    ids = np.full((1, 100), vocabulary.words[0], np.int32)

    def drawn(seed: int, epoch: int, row: int) -> list[int]:
        where = {"seed": seed, "epoch": epoch, "rows": np.array([row])}
        found: Masked = masked(ids, np.array([100]), vocabulary, **where)
        places: list[int] = found.positions[0].tolist()
        return places

    assert drawn(1, 2, 3) == drawn(1, 2, 3)
    assert len({tuple(drawn(*key)) for key in ((1, 2, 3), (2, 2, 3), (1, 3, 3), (1, 2, 4))}) == 4


def test_words_of_running_text() -> None:
    said = WORDPIECE.encode("unwatcher believed: films")
    begins = KINDS["wordpiece"].begins[said.ids]
    expected = [not token.startswith("##") for token in said.tokens]
    assert begins.tolist() == expected
    assert not all(expected)
    # The library's own division into words agrees, but for special tokens.
    words = said.word_ids
    assert [words[i] != words[i - 1] for i in range(1, len(words))] == expected[1:]
    marks = KINDS["bytes"].begins
    assert marks.tolist() == [True, True, True, True, True, False, True, False, True]


def test_a_tokenizer_without_a_mask_is_refused() -> None:
    with pytest.raises(UserError, match="no tokens for masked language modelling"):
        vocabulary_of(Tokenizer(models.WordLevel({"a": 0, "[UNK]": 1}, unk_token="[UNK]")))
