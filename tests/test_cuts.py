"""Quick token ids of every kind of tokenizer against the library, text by text."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, normalizers

from textmill.models.cuts import CUT, Cuts
from textmill.models.token_ids import TokenIds
from tiny_models import SCRIPTS, load_tokenizer
from tiny_tokenizers import bpe, library, unigram

AWKWARD = list(
    " \t\n\r\x0b\x0c\x1c\x00\x85\u00a0\u2028\u200b\ufffd\u0301\u0302\u0600\u1161\u200d▁"
    "aB1',.`\"~!中ｶﾞ\uff9eé㐀\u0e33\u0958½٣"
)
PARTS = ["  ", " a", "a b c", "'s ", " '", "``", " ``", "<s>", CUT, "\n ", "1 2  3", "<unk> "]
TEXTS = st.lists(
    st.lists(
        st.one_of(st.characters(codec="utf-8"), st.sampled_from(AWKWARD), st.sampled_from(PARTS)),
        max_size=30,
    ).map("".join),
    max_size=6,
)
KINDS: dict[str, Any] = {
    "roberta": lambda folder: bpe(folder / "tokenizer.json"),
    "prefixed": lambda folder: bpe(folder / "tokenizer.json", prefix_space=True),
    "digits": lambda folder: bpe(folder / "tokenizer.json", digits=True),
    "albert": lambda folder: load_tokenizer(unigram(folder, "albert")),
    "xlm-roberta": lambda folder: load_tokenizer(unigram(folder, "xlm-roberta")),
    "deberta": lambda folder: load_tokenizer(unigram(folder, "deberta-v2")),
}


def quick(made: Tokenizer, texts: list[str]) -> list[list[int]]:
    ids, starts = TokenIds(made).pieces(pa.array(texts, pa.string()))
    return [ids[i:j].tolist() for i, j in pairwise(starts)]


@pytest.fixture(scope="module", params=KINDS)
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    found: Tokenizer = KINDS[request.param](tmp_path_factory.mktemp("made"))
    return found


def test_ids_equal_the_library_in_many_scripts(made: Tokenizer) -> None:
    assert quick(made, SCRIPTS) == library(made, SCRIPTS)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(texts=TEXTS)
def test_ids_equal_the_library_for_any_text(made: Tokenizer, texts: list[str]) -> None:
    assert quick(made, texts) == library(made, texts)


def test_every_kind_cuts_plain_text_into_words(made: Tokenizer) -> None:
    assert Cuts(made)(pa.array(["a big dog", "x"])).to_pylist() == [["a", " big", " dog"], ["x"]]


@pytest.mark.parametrize(
    "step",
    [
        normalizers.Replace("b", ""),
        normalizers.Replace("a b", "c"),
        normalizers.Prepend("x"),
        normalizers.Replace(" ", "▁"),
    ],
)
def test_a_text_stays_whole_where_more_is_done(tmp_path: Path, step: Any) -> None:
    made = load_tokenizer(unigram(tmp_path, "xlm-roberta"))
    made.normalizer = normalizers.Sequence([step])
    assert Cuts(made)(pa.array(["a b", "c d"])).to_pylist() == [["a b"], ["c d"]]
    assert quick(made, SCRIPTS) == library(made, SCRIPTS)


def test_a_map_that_drops_letters_keeps_texts_whole(tmp_path: Path) -> None:
    import base64

    from textmill.serving.graphemes import charsmap

    file = unigram(tmp_path, "xlm-roberta")
    spec = json.loads(file.read_text())
    for became, whole in (("y", False), ("", True), (" ", True)):
        written = base64.b64encode(charsmap({"x": became})).decode()
        spec["normalizer"] = {"type": "Precompiled", "precompiled_charsmap": written}
        file.write_text(json.dumps(spec))
        made = load_tokenizer(file)
        assert (len(Cuts(made)(pa.array(["a b"]))[0]) == 1) is whole
        texts = ["a x b", "x a", "a x"]
        assert quick(made, texts) == library(made, texts)
