"""Rows for a model are those of the `tokenizers` library: template, truncation, pairs, windows."""

from __future__ import annotations

from itertools import chain
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from textmill.errors import UserError
from textmill.frame import Frame, read_frame
from textmill.models.framing import frame
from textmill.models.token_ids import Pieces
from textmill.serving.framing import Framing, rows_of

WORDS = [f"w{i}" for i in range(20)]
VOCABULARY = {token: i for i, token in enumerate(["<unk>", "<s>", "</s>", *WORDS])}
TEMPLATES = {
    "bert": processors.TemplateProcessing(
        single="<s> $A </s>",
        pair="<s> $A </s> $B:1 </s>:1",
        special_tokens=[("<s>", 1), ("</s>", 2)],
    ),
    "roberta": processors.RobertaProcessing(("</s>", 2), ("<s>", 1)),
    "bert of old": processors.BertProcessing(("</s>", 2), ("<s>", 1)),
}


def library(template: str) -> Tokenizer:
    made = Tokenizer(models.WordLevel(VOCABULARY, unk_token="<unk>"))
    made.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    made.post_processor = TEMPLATES[template]
    return made


def read(made: Tokenizer, folder: Path) -> Frame:
    made.save(str(folder / "tokenizer.json"))
    return read_frame(folder / "tokenizer.json")


def pieces(made: Tokenizer, texts: list[str]) -> Pieces:
    ids = [encoding.ids for encoding in made.encode_batch(texts, add_special_tokens=False)]
    return Pieces(
        np.array([i for row in ids for i in row], np.int64),
        np.cumsum([0, *map(len, ids)]),
    )


TEXTS = st.lists(
    st.lists(st.sampled_from(WORDS), max_size=30).map(" ".join), min_size=1, max_size=5
)


@pytest.mark.parametrize("template", TEMPLATES)
@settings(max_examples=40, deadline=None)
@given(texts=TEXTS, max_length=st.integers(6, 20), overlap=st.none() | st.integers(0, 3))
def test_windows_are_the_librarys(
    tmp_path_factory: pytest.TempPathFactory,
    template: str,
    texts: list[str],
    max_length: int,
    overlap: int | None,
) -> None:
    made = library(template)
    found = frame(
        pieces(made, texts),
        read(made, tmp_path_factory.mktemp("frame")),
        max_length,
        overlap=overlap,
        windows=99,
    )
    made.enable_truncation(max_length, stride=overlap or 0)
    wanted, of_text = [], []
    for number, encoding in enumerate(made.encode_batch(texts)):
        rows = [encoding, *(encoding.overflowing if overlap is not None else [])]
        wanted += [row.ids for row in rows]
        of_text += [number] * len(rows)
    rows = [found.ids[i:j].tolist() for i, j in zip(found.starts, found.starts[1:], strict=False)]
    assert rows == wanted
    assert found.texts.tolist() == of_text


@pytest.mark.parametrize("template", TEMPLATES)
@settings(max_examples=60, deadline=None)
@given(
    pairs=st.lists(st.tuples(TEXTS, TEXTS), min_size=1, max_size=4), max_length=st.integers(6, 40)
)
def test_pairs_are_the_librarys(
    tmp_path_factory: pytest.TempPathFactory,
    template: str,
    pairs: list[tuple[list[str], list[str]]],
    max_length: int,
) -> None:
    made = library(template)
    first, second = ([" ".join(pair[i]) for pair in pairs] for i in (0, 1))
    ours = read(made, tmp_path_factory.mktemp("frame"))
    found = frame(pieces(made, first), ours, max_length, pair=pieces(made, second))
    made.enable_truncation(max_length)
    wanted = made.encode_batch(list(zip(first, second, strict=True)))
    rows = [found.ids[i:j].tolist() for i, j in zip(found.starts, found.starts[1:], strict=False)]
    assert rows == [row.ids for row in wanted]
    assert found.truncated == sum(bool(row.overflowing) for row in wanted)
    for row, encoding in zip(rows, wanted, strict=True):
        seen = np.cumsum(np.array(row) == ours.separator) - (np.array(row) == ours.separator)
        segments = (seen > 0).astype(int).tolist() if ours.separator is not None else [0] * len(row)
        assert segments == encoding.type_ids


def test_a_long_text_has_no_more_windows_than_it_may() -> None:
    ours, text = Frame((1,), (2,), (2,), 2), Pieces(np.arange(3, 23), np.array([0, 20]))
    found = frame(text, ours, 8, overlap=2, windows=3)
    assert found.firsts.tolist() == [0, 4, 8]
    assert found.truncated == 1
    assert frame(text, ours, 8, overlap=2, windows=5).truncated == 0


def test_what_leaves_no_room_and_what_is_no_template_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="at least 5, 3 of them special tokens"):
        Frame((1,), (2,), (2,), 2).room(4, pair=True)
    made = library("bert")
    made.post_processor = processors.TemplateProcessing(
        single="$A <s> $A", special_tokens=[("<s>", 1)]
    )
    with pytest.raises(UserError, match="not one that puts tokens around a text"):
        read(made, tmp_path)


@pytest.mark.parametrize(
    "template",
    [
        {"single": "<s>:1 $A </s>"},
        {"single": "$A:2"},
        {"single": "$A $A </s>"},
        {"single": "</s>"},
    ],
)
def test_a_template_for_one_text_that_no_frame_is_like_is_refused(
    tmp_path: Path, template: dict[str, str]
) -> None:
    made, special = library("bert"), [("<s>", 1), ("</s>", 2)]
    made.post_processor = processors.TemplateProcessing(**template, special_tokens=special)
    with pytest.raises(UserError, match="not one that puts tokens around a text"):
        read(made, tmp_path)


@pytest.mark.parametrize(
    ("pair", "pairs"),
    [
        ("<s> $A </s> $B </s>", True),
        ("<s> $A </s> </s> $B </s>", True),
        ("<s> $A <s> $B </s>", True),
        ("<s> $A </s> $B:1 </s>:1", True),
        ("<s> $A </s> $B:1 </s>", False),
        ("<s> $A </s> $B:1", False),
        ("<s> $B </s> $A </s>", False),
        ("<s> $A </s> </s> $B:1 </s>:1", False),
        ("<s> $A <s> $B:1 </s>:1", False),
        ("$A </s> $B </s>", False),
        ("$A $B:1", False),
        (None, False),
    ],
)
def test_a_template_for_two_texts_is_followed_or_refused(
    tmp_path: Path, pair: str | None, pairs: bool
) -> None:
    made = library("bert")
    made.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>",
        pair="$A:0 $B:1" if pair is None else pair,
        special_tokens=[("<s>", 1), ("</s>", 2)],
    )
    ours, text = read(made, tmp_path), pieces(made, ["w1 w2"])
    assert frame(text, ours, 8).ids.tolist() == made.encode("w1 w2").ids
    if not pairs:
        with pytest.raises(UserError, match="template for two texts can't be served"):
            frame(text, ours, 12, pair=text)
        return
    assert frame(text, ours, 12, pair=text).ids.tolist() == made.encode("w1 w2", "w1 w2").ids
    assert (ours.separator is None) is not any(made.encode("w1", "w2").type_ids)


@settings(max_examples=40, deadline=None)
@given(
    texts=st.lists(st.lists(st.integers(3, 22), max_size=30), max_size=5),
    pairs=st.lists(st.lists(st.integers(3, 22), max_size=30), min_size=5, max_size=5),
    how=st.sampled_from(["one", "windows", "pairs"]),
    max_length=st.integers(8, 20),
)
@example(
    texts=[[3] * 30, [3] * 20], pairs=[[4] * 20, [4] * 30, [], [], []], how="pairs", max_length=8
)
def test_the_graph_makes_the_rows_of_training(
    texts: list[list[int]], pairs: list[list[int]], how: str, max_length: int
) -> None:
    ours = Frame((1,), (2,), (2,), 2)
    overlap = 3 if how == "windows" else None
    framing = Framing(ours, max_length, overlap, windows=4)
    most = framing.most(pair=how == "pairs")  # a tokenizer may leave out what comes behind them
    first, other = (
        tf.ragged.constant([ids[:most] for ids in rows], tf.int32, ragged_rank=1)
        for rows in (texts, pairs[: len(texts)])
    )
    found = rows_of(first, framing, other if how == "pairs" else None)

    def flat(rows: list[list[int]]) -> Pieces:
        ids = np.array(list(chain.from_iterable(rows)), np.int64)
        return Pieces(ids, np.cumsum([0, *map(len, rows)]))

    second = flat(pairs[: len(texts)]) if how == "pairs" else None
    wanted = frame(flat(texts), ours, max_length, pair=second, overlap=overlap, windows=4)
    np.testing.assert_array_equal(found.token_ids[found.padding_mask], wanted.ids)
    lengths = tf.reduce_sum(tf.cast(found.padding_mask, tf.int64), 1)
    np.testing.assert_array_equal(lengths, np.diff(wanted.starts))
    np.testing.assert_array_equal(found.texts, wanted.texts)
    np.testing.assert_array_equal(found.firsts, wanted.firsts)
    assert bool(tf.reduce_any(found.segment_ids > 0)) == (how == "pairs" and bool(texts))
