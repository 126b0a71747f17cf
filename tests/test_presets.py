from __future__ import annotations

import json
import shutil
import socket
import time
from pathlib import Path

import pytest

from textmill.errors import UserError
from textmill.models.checkpoint import classifier_class, load_backbone
from textmill.models.preset import Preset, Scratch

BERT = {
    "model_type": "bert", "architectures": ["BertModel"], "vocab_size": 40, "num_hidden_layers": 1,
    "num_attention_heads": 2, "hidden_size": 8, "intermediate_size": 16,
    "max_position_embeddings": 24,
}  # fmt: skip


def hugging_face_folder(path: Path, **changes: object) -> Preset:
    path.mkdir(exist_ok=True)
    (path / "config.json").write_text(json.dumps(BERT | changes))
    return Preset(str(path))


def test_a_folder_counts_by_its_content_and_a_remote_preset_by_its_name(tmp_path: Path) -> None:
    preset = hugging_face_folder(tmp_path / "a")
    digest = preset.digest()
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    assert Preset(str(tmp_path / "b")).digest() == digest
    (tmp_path / "a" / "README.md").write_text("nothing that is trained")
    assert preset.digest() == digest
    (tmp_path / "a" / "vocab.txt").write_text("[PAD]")
    assert preset.digest() != digest
    assert Preset("bert_tiny_en_uncased").digest() == "bert_tiny_en_uncased"


def test_every_choice_of_a_new_model_counts() -> None:
    made = {Scratch(), Scratch("tiny"), Scratch(vocabulary_size=99), Scratch(lowercase=False)}
    made |= {Scratch(tokenizer="bpe"), Scratch(tokenizer="unigram")}
    assert len({scratch.digest() for scratch in made}) == 6


def test_positions_and_vocabulary_are_read_from_either_kind_of_config(tmp_path: Path) -> None:
    preset = hugging_face_folder(tmp_path)
    assert (preset.positions(), preset.vocabulary_size()) == (24, 40)
    inner = {"max_sequence_length": 32, "vocabulary_size": 50}
    saved = {"registered_name": "keras_hub>BertBackbone", "config": inner}
    (tmp_path / "config.json").write_text(json.dumps(saved))
    assert (preset.positions(), preset.vocabulary_size()) == (32, 50)


@pytest.mark.parametrize(("size", "layers", "width"), [("tiny", 2, 128), ("base", 12, 768)])
def test_new_models_have_the_published_dimensions(size: str, layers: int, width: int) -> None:
    found = Scratch(size).dimensions()  # type: ignore[arg-type]
    assert (found["num_layers"], found["hidden_dim"]) == (layers, width)
    assert (found["num_heads"], found["intermediate_dim"]) == (width // 64, width * 4)


@pytest.mark.parametrize("name", ["./nowhere", "/nowhere/at/all", "models/bert", "~/bert", ""])
def test_a_path_without_a_folder_is_said_to_be_one(name: str) -> None:
    with pytest.raises(UserError, match="no such folder"):
        Preset(name).digest()
    with pytest.raises(UserError, match="no such folder"):
        Preset(name).file("config.json")


def test_a_misspelt_name_gets_the_nearest_one() -> None:
    with pytest.raises(UserError, match="did you mean 'bert_tiny_en_uncased'"):
        Preset("bert_tinny_en_uncased").config()
    with pytest.raises(UserError, match="did you mean 'small'"):
        Scratch("smal")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "name", ["bert_tiny_en_uncased", "hf://owner/model", "kaggle://keras/bert/keras/none"]
)
def test_a_hub_that_does_not_answer_is_an_error_at_once(
    name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError("no network here")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket, "create_connection", refuse)
    monkeypatch.setenv("KAGGLEHUB_CACHE", str(tmp_path))
    started = time.monotonic()
    with pytest.raises(UserError, match="can't be fetched"):
        Preset(name).config()
    assert time.monotonic() - started < 30


def test_a_broken_folder_is_an_error_that_says_what_is_wrong(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"has no config\.json"):
        Preset(str(tmp_path)).config()
    for text in ("{", "[]", '{"architecture": 1}', "\x00"):
        (tmp_path / "config.json").write_text(text)
        with pytest.raises(UserError, match="describes no model"):
            Preset(str(tmp_path)).config()


def test_weights_that_are_missing_damaged_or_of_another_kind_are_errors(tmp_path: Path) -> None:
    preset = hugging_face_folder(tmp_path)
    with pytest.raises(UserError, match=r"has no weights \(one of: model\.safetensors"):
        load_backbone(preset, vocabulary_size=40, dropout=0.1)
    (tmp_path / "model.safetensors").write_bytes(b"not at all")
    with pytest.raises(UserError, match="no weights can be read from it"):
        load_backbone(preset, vocabulary_size=40, dropout=0.1)
    other = hugging_face_folder(tmp_path, model_type="mpnet")
    with pytest.raises(UserError, match="no classifier can be made of a mpnet model"):
        load_backbone(other, vocabulary_size=40, dropout=0.1)


def test_a_backbone_without_a_classifier_is_an_error() -> None:
    import keras_hub

    with pytest.raises(UserError, match="no text classifier for GPT2Backbone"):
        classifier_class(
            keras_hub.models.GPT2Backbone(
                vocabulary_size=9, num_layers=1, num_heads=1, hidden_dim=4, intermediate_dim=4
            )
        )


@pytest.mark.slow
def test_loaded_weights_are_the_files_weights(minilm: Path) -> None:
    import numpy as np
    from safetensors.numpy import load_file

    backbone = load_backbone(Preset(str(minilm)), vocabulary_size=0, dropout=0.3)
    theirs = load_file(minilm / "model.safetensors")
    ours = backbone.token_embedding.embeddings.numpy()
    np.testing.assert_array_equal(ours, theirs["embeddings.word_embeddings.weight"])
    assert backbone.dropout == 0.3
