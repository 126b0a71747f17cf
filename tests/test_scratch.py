"""New models with every kind of tokenizer, from texts to a checked model."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from test_cli import textmill
from test_pretraining import corpus
from textmill.errors import UserError
from textmill.models.checkpoint import load_backbone
from textmill.models.masked_lm import build
from textmill.models.masking import vocabulary_of
from textmill.models.preset import Scratch, TokenizerKind
from textmill.models.token_ids import TokenIds
from textmill.models.tokenizer import load_tokenizer, read_tokenizer
from textmill.models.tokenizer_training import train_tokenizer
from textmill.testing import tiny_reviews
from tiny_models import SCRIPTS
from tiny_tokenizers import graph, library

KINDS: tuple[TokenizerKind, ...] = ("bpe", "unigram")
CONFIG = """
pipeline = "{pipeline}"
workspace = "runs/one"
[data]
source = "{source}"
[model]
scratch = "tiny"
tokenizer = "{kind}"
vocabulary_size = 400
max_length = 24
[train]
epochs = 1
precision = "float32"
"""


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("lowercase", [True, False])
def test_ids_of_training_graph_and_library_are_one(
    tmp_path: Path, kind: TokenizerKind, lowercase: bool
) -> None:
    made = train_tokenizer(SCRIPTS * 3, 600, kind=kind, lowercase=lowercase)
    made.save(str(tmp_path / "tokenizer.json"))
    texts = [*SCRIPTS, "A big RED fish; a small one", "ΣΑΣ İX ǅ  x\n y"]
    wanted = library(read_tokenizer(tmp_path / "tokenizer.json"), texts)
    assert graph(tmp_path / "tokenizer.json")(texts) == wanted
    ids, starts = TokenIds(made).pieces(pa.array(texts, pa.string()))
    assert [ids[a:b].tolist() for a, b in pairwise(starts)] == wanted
    upper, lower = library(made, ["THE FISH", "the fish"])
    assert (upper == lower) is lowercase


@pytest.mark.parametrize("kind", KINDS)
def test_the_model_is_of_the_tokenizers_kind(kind: TokenizerKind) -> None:
    made = train_tokenizer(SCRIPTS, 400, kind=kind)
    scratch = Scratch("tiny", 400, tokenizer=kind)
    backbone = load_backbone(scratch, vocabulary_size=made.get_vocab_size(), dropout=0.0)
    assert type(backbone).__name__ == {"bpe": "Roberta", "unigram": "XLMRoberta"}[kind] + "Backbone"
    assert backbone.get_config()["hidden_dim"] == 128
    build(backbone)
    found = vocabulary_of(made)
    assert [made.id_to_token(i) for i in (found.first, found.last, found.mask)] == [
        "<s>", "</s>", "<mask>",
    ]  # fmt: skip
    ids = made.encode("the lazy the", add_special_tokens=False).ids
    assert found.begins[ids].sum() in (2, 3)


@pytest.mark.parametrize("kind", ["wordpiece", *KINDS])
def test_new_kernels_have_a_deviation_that_suits_the_width(kind: TokenizerKind) -> None:
    backbone = load_backbone(Scratch("tiny", 400, tokenizer=kind), vocabulary_size=400, dropout=0.0)
    found = {v.path: float(np.std(v)) for v in backbone.trainable_variables if v.ndim > 1}
    kernels = [deviation for path, deviation in found.items() if path.endswith("/kernel")]
    assert len(kernels) >= 2 * 6
    # KerasHub draws from a normal distribution cut at two deviations, which leaves 0.88 of one.
    assert kernels == pytest.approx([0.88 * 128**-0.5] * len(kernels), rel=0.05)
    tables = [deviation for path, deviation in found.items() if "embedding" in path]
    assert tables == pytest.approx([0.88 * 0.02] * len(tables), rel=0.2)


def test_what_is_no_tokenizer_is_told() -> None:
    with pytest.raises(UserError, match="did you mean 'unigram'"):
        Scratch(tokenizer="unigramm")  # type: ignore[arg-type]
    with pytest.raises(UserError, match="too small for byte-level BPE"):
        Scratch(vocabulary_size=200, tokenizer="bpe")


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_from_reviews_to_a_checked_model(tmp_path: Path, kind: str) -> None:
    tiny_reviews(tmp_path, 120)
    config = CONFIG.format(pipeline="text_classification", source="reviews.csv", kind=kind)
    (tmp_path / "c.toml").write_text(config + '[push]\nto = "models/one"\n')
    made = textmill("run", "c.toml", cwd=tmp_path)
    assert made.returncode == 0, made.stdout + made.stderr
    assert textmill("check", "models/one", cwd=tmp_path).returncode == 0
    said = textmill("predict", "models/one", "一部很好的电影 A FILM", cwd=tmp_path)
    assert json.loads(said.stdout)["label"] in ("pos", "neg")
    wrong = textmill("run", "c.toml", "--set", "model.tokenizer=unigramm", cwd=tmp_path)
    assert wrong.returncode == 2
    assert "unigram" in wrong.stderr


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_pretraining(tmp_path: Path, kind: str) -> None:
    from textmill.models.preset import Preset

    corpus(tmp_path / "corpus.txt")
    config = CONFIG.format(pipeline="pretraining", source="corpus.txt", kind=kind)
    config = config.replace('"corpus.txt"', '"corpus.txt"\ndocuments = "line"')
    more = '[masking]\nwhole_word = true\n[save]\nto = "presets/one"\n'
    (tmp_path / "c.toml").write_text(config + more)
    made = textmill("run", "c.toml", cwd=tmp_path)
    assert made.returncode == 0, made.stdout + made.stderr
    preset = Preset(str(tmp_path / "presets/one"))
    assert load_tokenizer(preset).token_to_id("<mask>") == 4
    assert load_backbone(preset, vocabulary_size=0, dropout=0.0).count_params() > 0
