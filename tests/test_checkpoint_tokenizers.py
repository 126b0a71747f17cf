"""Checkpoints with byte-level BPE and SentencePiece, from their files to a checked SavedModel."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from textmill.artifact import Model, Saved, Tokens, read_json
from textmill.components.adopt import adopt
from textmill.components.export import export
from textmill.components.tokenize import tokenize
from textmill.components.variant import variant
from textmill.errors import UserError
from textmill.models.preset import Preset
from textmill.models.tokenizer import load_tokenizer, read_tokenizer
from textmill.pipelines.checkpoint import export_checkpoint
from textmill.serving.predictor import Predictor
from tiny_examples import empty, review_examples
from tiny_models import SCRIPTS
from tiny_models import tokenizer as wordpiece
from tiny_tokenizers import bpe, library, sentencepiece, unigram

KINDS = ("roberta", "xlm-roberta", "albert", "deberta-v2")
VOCABULARY = 700
MAKE = (
    "import sys; from pathlib import Path; import huggingface_models as made;"
    f"made.KINDS = {KINDS}; made.SIZE['vocab_size'] = {VOCABULARY};"
    "made.HEADS = {'one': made.HEADS['one']};"
    "made._make(Path(sys.argv[1]))"
)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a classifier of each kind, and a tokenizer.json beside it."""
    folder = tmp_path_factory.mktemp("models")
    here = str(Path(__file__).parent)
    subprocess.run([sys.executable, "-c", MAKE, str(folder)], check=True, cwd=here)
    for kind in KINDS:
        if kind == "roberta":
            bpe(folder / kind / "tokenizer.json")
        else:
            unigram(folder / "made" / kind, kind)
            shutil.copy(folder / "made" / kind / "tokenizer.json", folder / kind)
    return folder


@pytest.mark.parametrize(
    "kind",
    ["roberta", "albert", *(pytest.param(k, marks=pytest.mark.slow) for k in (KINDS[1], KINDS[3]))],
)
def test_a_checkpoint_is_exported_and_answers_raw_text(
    models: Path, tmp_path: Path, kind: str
) -> None:
    # The model is checked in a process of its own, as a server without XLA loads it.
    folder = export_checkpoint(str(models / kind), tmp_path / "served")
    saved = json.loads((folder / "assets.extra" / "manifest.json").read_text())
    assert not [op for op in saved["operations"] if op.startswith(("Sentencepiece", "Xla", "Py"))]
    text = "The lazy fox sleeps!"
    ids = load_tokenizer(Preset(str(models / kind))).encode(text).ids
    program = (
        "import sys, json, torch; from transformers import AutoModelForSequenceClassification as M;"
        "m = M.from_pretrained(sys.argv[1]).eval(); ids = torch.tensor([json.loads(sys.argv[2])]);"
        "print(json.dumps(m(input_ids=ids).logits.softmax(-1)[0].tolist()))"
    )
    command = [sys.executable, "-c", program, str(models / kind), json.dumps(ids)]
    said = subprocess.run(command, check=True, capture_output=True, text=True)
    (answer,) = Predictor(folder)([text])
    scores = list(answer["scores"].values())
    np.testing.assert_allclose(scores, json.loads(said.stdout), atol=1e-4)


@pytest.mark.parametrize(
    ("kind", "wanted", "why"),
    [
        ("deberta-v2", {"precision": "bfloat16"}, "this model can't be served in bfloat16: "),
        ("deberta-v2", {"seen": True}, "this model can't be served with a part of its vocabulary"),
        ("roberta", {"seen": True}, "the vocabulary can't be pruned: "),
    ],
)
def test_a_variant_that_can_not_be_exported_leaves_a_reason(
    kind: str, wanted: dict[str, Any], why: str, models: Path, tmp_path: Path
) -> None:
    preset, model = Preset(str(models / kind)), Model(tmp_path / "model", "d" * 64)
    adopt(model, checkpoint=preset)
    if "seen" in wanted:
        wanted = {"seen": empty(Tokens, tmp_path / "tokens")}
        examples = review_examples(tmp_path / "made", rows=20)
        tokenize(wanted["seen"], examples, preset=preset, max_length=24)
    saved = empty(Saved, tmp_path / "saved")
    variant(saved, model, **wanted)
    assert [file.name for file in saved.path.iterdir()] == ["refused.json"]
    assert saved.refusal().startswith(why)
    with pytest.raises(UserError) as told:
        export(empty(Saved, tmp_path / "other"), model, **wanted)
    assert read_json(saved.path / "refused.json")["why"].startswith(told.value.what)


@pytest.mark.parametrize("kind", ["albert", "xlm-roberta", "deberta-v2"])
def test_a_model_of_sentencepiece_alone_is_converted(tmp_path: Path, kind: str) -> None:
    sentencepiece(tmp_path / "bare", kind)
    (tmp_path / "bare" / "config.json").write_text(json.dumps({"model_type": kind}))
    unigram(tmp_path / "whole", kind)
    (tmp_path / "whole" / "config.json").write_text(json.dumps({"model_type": kind}))
    bare, whole = (load_tokenizer(Preset(str(tmp_path / name))) for name in ("bare", "whole"))
    assert library(bare, SCRIPTS) == library(whole, SCRIPTS)


def test_a_model_may_have_the_tokenizer_of_another_kind(models: Path, tmp_path: Path) -> None:
    import keras_hub

    folder = tmp_path / "korean"
    shutil.copytree(models / "roberta", folder)
    wordpiece(folder / "tokenizer.json", vocabulary_size=300)
    (folder / "tokenizer_config.json").write_text('{"tokenizer_class": "BertTokenizer"}')
    config = json.loads((folder / "config.json").read_text()) | {"pad_token_id": 0}
    (folder / "config.json").write_text(json.dumps(config))
    model = Model(tmp_path / "model", "d" * 64)
    adopt(model, checkpoint=Preset(str(folder)))
    kept = keras_hub.models.TextClassifier.from_preset(str(model.path), preprocessor=None)
    assert type(kept).__name__ == "RobertaTextClassifier"
    assert not (model.path / "tokenizer.json").exists()  # KerasHub has no such pair
    from transformers import AutoTokenizer

    theirs = AutoTokenizer.from_pretrained(str(folder))
    ours = read_tokenizer(model.tokenizer_file)
    plain = [text for text in SCRIPTS if "[" not in text]
    assert [e.ids for e in ours.encode_batch(plain)] == theirs(plain)["input_ids"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_vocabulary_of_another_kind_asks_for_its_class(tmp_path: Path, kind: str) -> None:
    """transformers makes a tokenizer of special tokens alone then."""
    (tmp_path / "config.json").write_text(json.dumps({"model_type": kind}))
    made = wordpiece(tmp_path / "made.json", vocabulary_size=300)
    words = sorted(made.get_vocab().items(), key=lambda item: item[1])
    (tmp_path / "vocab.txt").write_text("\n".join(word for word, _ in words), "utf-8")
    with pytest.raises(UserError, match="there is no vocabulary for a") as told:
        load_tokenizer(Preset(str(tmp_path)))
    assert told.value.received == "vocab.txt"
    (tmp_path / "tokenizer_config.json").write_text('{"tokenizer_class": "BertTokenizer"}')
    assert library(load_tokenizer(Preset(str(tmp_path))), SCRIPTS) == library(made, SCRIPTS)


def test_a_tokenizer_that_needs_other_packages_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "bert"}))
    (tmp_path / "vocab.txt").write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\n")
    config = {"tokenizer_class": "BertJapaneseTokenizer", "word_tokenizer_type": "mecab"}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config))
    with pytest.raises(UserError, match="a serving graph for BertJapaneseTokenizer, which is"):
        load_tokenizer(Preset(str(tmp_path)))


def test_a_vocabulary_with_merges_is_robertas(tmp_path: Path) -> None:
    from transformers import RobertaTokenizer

    made = bpe(tmp_path / "made" / "tokenizer.json")
    made.model.save(str(tmp_path))
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "roberta"}))
    for prefix_space in (False, True):
        config = {"add_prefix_space": prefix_space}
        (tmp_path / "tokenizer_config.json").write_text(json.dumps(config))
        ours = load_tokenizer(Preset(str(tmp_path)))
        theirs = RobertaTokenizer.from_pretrained(str(tmp_path))
        plain = [text for text in SCRIPTS if "[" not in text]
        assert [e.ids for e in ours.encode_batch(plain)] == theirs(plain)["input_ids"]
    (tmp_path / "merges.txt").write_text("a b c\n")
    with pytest.raises(UserError, match=r"vocab\.json with merges\.txt can't be read"):
        load_tokenizer(Preset(str(tmp_path)))
    (tmp_path / "merges.txt").write_text("")
    (tmp_path / "vocab.json").write_text('{"a": 0}')
    with pytest.raises(UserError, match="not that of a RobertaTokenizer"):
        load_tokenizer(Preset(str(tmp_path)))


def test_a_keras_preset_with_merges_is_robertas(tmp_path: Path) -> None:
    import keras_hub

    made = bpe(tmp_path / "tokenizer.json")
    spec = json.loads(made.to_str())["model"]
    kept = keras_hub.models.RobertaTokenizer(
        vocabulary=spec["vocab"], merges=[" ".join(pair) for pair in spec["merges"]]
    )
    kept.save_to_preset(str(tmp_path / "preset"))
    config = {"registered_name": "keras_hub>RobertaBackbone"}
    (tmp_path / "preset" / "config.json").write_text(json.dumps(config))
    ours = load_tokenizer(Preset(str(tmp_path / "preset")))
    assert library(ours, SCRIPTS) == library(made, SCRIPTS)
    assert list(map(int, kept("the quick brown fox"))) == library(ours, ["the quick brown fox"])[0]


def test_a_model_of_ours_has_its_own_tokenizer(tmp_path: Path) -> None:
    made = bpe(tmp_path / "textmill" / "tokenizer.json")
    config = {"registered_name": "keras_hub>RobertaBackbone"}
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert library(load_tokenizer(Preset(str(tmp_path))), SCRIPTS) == library(made, SCRIPTS)


def test_what_is_not_sentencepiece_is_told(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "albert"}))
    (tmp_path / "spiece.model").write_bytes(b"nothing of the kind")
    with pytest.raises(UserError, match=r"spiece\.model can't be read"):
        load_tokenizer(Preset(str(tmp_path)))
