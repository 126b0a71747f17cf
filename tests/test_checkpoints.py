"""Checkpoints of Hugging Face: every kind of file, of model and of damage."""

from __future__ import annotations

import json
import os
import pickle
import re
import shutil
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from huggingface_models import KINDS, LABELS, TFBERT, rows
from test_cli import textmill
from textmill.artifact import Model
from textmill.components.adopt import adopt
from textmill.errors import UserError
from textmill.models import text_classification as task
from textmill.models.checkpoint import classifier_class, load_backbone
from textmill.models.heads import labels, load_head
from textmill.models.preset import Preset
from textmill.models.task import logits_of
from textmill.models.tf_file import TFFile
from textmill.models.tokenizer import load_tokenizer
from textmill.models.torch_file import TorchFile
from textmill.models.weight_files import open_weights
from textmill.testing import check_component


def classifier(preset: Preset, *, quick: bool = False) -> Any:
    names = labels(preset)
    backbone = load_backbone(preset, vocabulary_size=0, dropout=0.1)
    if quick:
        model = task.build(backbone, names, dropout=0.1)
    else:
        model = classifier_class(backbone)(backbone=backbone, num_classes=len(names), dropout=0.1)
    load_head(model, preset)
    return model


@pytest.mark.parametrize("quick", [False, True], ids=["plain", "quick"])
@pytest.mark.parametrize("kind", KINDS)
def test_logits_are_those_of_transformers(kind: str, quick: bool, theirs: Path) -> None:
    preset = Preset(str(theirs / kind))
    assert labels(preset) == list(LABELS.values())
    found = logits_of(classifier(preset, quick=quick), *rows(kind))
    wanted = np.load(theirs / kind / "logits.npy")
    assert np.ptp(wanted) > 0.5  # else equal would mean little
    np.testing.assert_allclose(found, wanted, atol=1e-4)


@pytest.mark.parametrize("kind", ["sharded", "torch", "legacy"])
def test_every_kind_of_file_holds_the_same(kind: str, theirs: Path) -> None:
    whole = open_weights(Preset(str(theirs / "bert")))
    found = open_weights(Preset(str(theirs / kind)))
    assert len(list((theirs / kind).glob("model-*"))) > 2 or kind != "sharded"
    assert set(whole) <= set(found)
    assert set(found) - set(whole) <= {"bert.embeddings.position_ids"}
    for name in whole:
        np.testing.assert_array_equal(found[name], whole[name])


def test_an_old_tfbert_computes_what_it_did() -> None:
    golden, preset = json.loads((TFBERT / "golden.json").read_text("utf-8")), Preset(str(TFBERT))
    tokenizer, model = load_tokenizer(preset), classifier(preset)
    tokenizer.enable_truncation(preset.positions())
    assert labels(preset) == golden["labels"]
    for text, ids, wanted in zip(
        golden["texts"], golden["input_ids"], golden["logits"], strict=True
    ):
        assert tokenizer.encode(text).ids == ids
        given = np.array([ids], np.int32)
        np.testing.assert_allclose(
            logits_of(model, given, np.ones_like(given))[0], wanted, atol=1e-4
        )
    for pair, wanted in zip(golden["pairs"], golden["pair_logits"], strict=True):
        encoded = tokenizer.encode(*pair)
        inputs = {"token_ids": encoded.ids, "segment_ids": encoded.type_ids}
        inputs["padding_mask"] = encoded.attention_mask
        found = model({name: np.array([x], np.int32) for name, x in inputs.items()})
        np.testing.assert_allclose(found[0], wanted, atol=1e-4)


def test_a_saved_model_computes_as_before(theirs: Path, tmp_path: Path) -> None:
    preset = Preset(str(TFBERT))
    model = check_component(adopt, checkpoint=preset)
    assert model.task()["labels"] == ["negative", "positive"]
    assert model.task()["max_length"] == 64
    loaded, original = task.load(model.path), classifier(preset)
    ids = np.array([[2, 1999, 59, 1014, 3]], np.int32)
    np.testing.assert_array_equal(
        logits_of(loaded, ids, np.ones_like(ids)), logits_of(original, ids, np.ones_like(ids))
    )
    # And as the beginning of another training.
    again = load_backbone(Preset(str(model.path)), vocabulary_size=0, dropout=0.1)
    assert again.embeddings_layer_norm.epsilon == 1e-12
    assert check_component(adopt, checkpoint=Preset(str(model.path))).task() == model.task()


def copy(folder: Path, to: Path, **config: Any) -> Preset:
    shutil.copytree(folder, to)
    file = to / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | config))
    return Preset(str(to))


def load(preset: Preset) -> None:
    load_backbone(preset, vocabulary_size=0, dropout=0.1)


@pytest.mark.parametrize("size", [0, 7, 100, 5000])
def test_a_truncated_file_is_told(size: int, theirs: Path, tmp_path: Path) -> None:
    for kind, name in (
        ("bert", "model.safetensors"),
        ("torch", "pytorch_model.bin"),
        ("legacy", "pytorch_model.bin"),
    ):
        preset = copy(theirs / kind, tmp_path / kind)
        file = tmp_path / kind / name
        file.write_bytes(file.read_bytes()[:size])
        with pytest.raises(UserError, match=name):
            load(preset)
    preset = copy(TFBERT, tmp_path / "tf")
    file = tmp_path / "tf" / "tf_model.h5"
    file.write_bytes(file.read_bytes()[:size])
    with pytest.raises(UserError, match=r"tf_model\.h5"):
        load(preset)


class Wicked:
    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce__(self) -> Any:
        return os.system, (self.command,)


@pytest.mark.parametrize("zipped", [True, False])
def test_code_in_a_pickle_is_never_run(zipped: bool, theirs: Path, tmp_path: Path) -> None:
    preset = copy(theirs / "torch", tmp_path / "bert")
    ran, file = tmp_path / "ran", tmp_path / "bert" / "pytorch_model.bin"
    wicked = pickle.dumps({"weight": Wicked(f"touch {ran}")}, 2)
    if zipped:
        with zipfile.ZipFile(file, "w") as archive:
            archive.writestr("archive/data.pkl", wicked)
    else:
        head = [pickle.dumps(x, 2) for x in (0x1950A86A20F9469CFC6C, 1001, {})]
        file.write_bytes(b"".join([*head, wicked]))
    with pytest.raises(UserError, match=r"pickle asks for posix\.system"):
        load(preset)
    assert not ran.exists()
    pickle.loads(wicked)  # it would have
    assert ran.exists()


def test_a_tensor_outside_its_storage_is_told(theirs: Path, tmp_path: Path) -> None:
    preset = copy(theirs / "torch", tmp_path / "bert")
    file = tmp_path / "bert" / "pytorch_model.bin"
    with zipfile.ZipFile(file) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    largest = max(parts, key=lambda name: len(parts[name]))
    with zipfile.ZipFile(file, "w") as archive:
        for name, data in parts.items():
            archive.writestr(name, data[:-4] if name == largest else data)
    with pytest.raises(UserError, match=r"pytorch_model\.bin.*\n.*\n.*stored values"):
        load(preset)


def test_what_is_missing_or_does_not_fit_is_told(theirs: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"max_position_embeddings|does not fit config\.json"):
        load(copy(theirs / "bert", tmp_path / "a", vocab_size=121))
    with pytest.raises(UserError, match=r"has no weight .*layer\.2"):
        load(copy(theirs / "bert", tmp_path / "b", num_hidden_layers=3))
    with pytest.raises(UserError, match="no classifier can be made of a t5 model"):
        load(copy(theirs / "bert", tmp_path / "c", model_type="t5"))
    with pytest.raises(UserError, match="hidden_act 'silu'"):
        load(copy(theirs / "bert", tmp_path / "d", hidden_act="silu"))
    with pytest.raises(UserError, match="position_embedding_type 'relative_key'"):
        load(copy(theirs / "bert", tmp_path / "e", position_embedding_type="relative_key"))
    with pytest.raises(UserError, match="share_att_key False"):
        load(copy(theirs / "deberta-v2", tmp_path / "f", share_att_key=False))
    sharded = copy(theirs / "sharded", tmp_path / "g")
    next((tmp_path / "g").glob("model-00002*")).unlink()
    with pytest.raises(UserError, match="model-00002"):
        load(sharded)
    (tmp_path / "g" / "model.safetensors.index.json").write_text("[]")
    with pytest.raises(UserError, match="no index of weights"):
        load(sharded)
    headless = copy(theirs / "bert", tmp_path / "h", architectures=["BertForMaskedLM"])
    with pytest.raises(UserError, match="has no head for a task of ours"):
        labels(headless)


def with_weight(folder: Path, to: Path, name: str, like: str) -> Preset:
    """Copies a model, with a weight more."""
    from safetensors.numpy import load_file, save_file

    shutil.copytree(folder, to)
    weights = load_file(to / "model.safetensors")
    save_file({**weights, name: weights[like]}, to / "model.safetensors", {"format": "pt"})
    return Preset(str(to))


@pytest.mark.parametrize(
    ("kind", "name", "like"),
    [
        ("bert", "bert.encoder.layer.0.attention.self.gate.weight", "classifier.bias"),
        ("roberta", "roberta.encoder.layer.2.output.dense.bias", "classifier.dense.bias"),
        ("albert", "albert.encoder.albert_layer_groups.1.norm.bias", "classifier.bias"),
        ("deberta-v2", "deberta.encoder.conv.conv.bias", "pooler.dense.bias"),
        ("distilbert", "distilbert.transformer.layer.0.lora_A.weight", "classifier.bias"),
        ("electra", "electra.embeddings.scale", "classifier.dense.bias"),
        ("xlm-roberta", "classifier.norm.weight", "classifier.dense.bias"),
    ],
)
def test_a_weight_that_nobody_reads_is_told(
    kind: str, name: str, like: str, theirs: Path, tmp_path: Path
) -> None:
    preset = with_weight(theirs / kind, tmp_path / kind, name, like)
    with pytest.raises(UserError, match=f"weight {re.escape(name)} has no place"):
        classifier(preset)


def without(folder: Path, to: Path, name: str) -> Preset:
    """Copies a model, without a weight."""
    from safetensors.numpy import load_file, save_file

    shutil.copytree(folder, to)
    weights = load_file(to / "model.safetensors")
    del weights[name]
    save_file(weights, to / "model.safetensors", {"format": "pt"})
    return Preset(str(to))


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("bert", "bert.pooler.dense.weight"),
        ("albert", "albert.pooler.weight"),
        ("deberta-v2", "pooler.dense.weight"),
        ("roberta", "roberta.embeddings.token_type_embeddings.weight"),
        ("roberta", "classifier.dense.bias"),
        ("xlm-roberta", "roberta.embeddings.position_embeddings.weight"),
        ("distilbert", "pre_classifier.weight"),
        ("electra", "electra.embeddings_project.bias"),
    ],
)
def test_a_weight_that_is_missing_is_told(
    kind: str, name: str, theirs: Path, tmp_path: Path
) -> None:
    """transformers would make it at random, and warn."""
    preset = without(theirs / kind, tmp_path / kind, name)
    with pytest.raises(UserError, match=f"has no weight .*{name.partition('.')[2]}"):
        classifier(preset)


@pytest.mark.parametrize(
    "name", ["bert.embeddings.position_ids", "cls.predictions.bias", "qa_outputs.bias"]
)
def test_weights_of_other_heads_and_buffers_need_not_be_read(
    name: str, theirs: Path, tmp_path: Path
) -> None:
    preset = with_weight(theirs / "bert", tmp_path / "bert", name, "classifier.bias")
    found = logits_of(classifier(preset), *rows("bert"))
    np.testing.assert_allclose(found, np.load(theirs / "bert" / "logits.npy"), atol=1e-4)


def test_a_folder_without_weights_is_told(theirs: Path, tmp_path: Path) -> None:
    preset = copy(theirs / "bert", tmp_path / "bert")
    (tmp_path / "bert" / "model.safetensors").unlink()
    with pytest.raises(UserError, match=r"bert has no weights \(one of: model\.safetensors"):
        load(preset)


def test_a_shard_outside_the_folder_is_not_read(theirs: Path, tmp_path: Path) -> None:
    preset = copy(theirs / "sharded", tmp_path / "bert")
    index = tmp_path / "bert" / "model.safetensors.index.json"
    found = json.loads(index.read_text())
    found["weight_map"]["classifier.weight"] = f"../{theirs.name}/bert/model.safetensors"
    index.write_text(json.dumps(found))
    with pytest.raises(UserError, match=r"has no \.\./.*model\.safetensors, which model\.safe"):
        load(preset)


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "tokenizer_config.json"])
@pytest.mark.parametrize("content", ["", '{"model": ', "[1, 2]"])
def test_json_that_is_none_is_told(name: str, content: str, tmp_path: Path) -> None:
    preset = copy(TFBERT, tmp_path / "bert")
    (tmp_path / "bert" / name).write_text(content)
    with pytest.raises(UserError, match=name.replace(".", r"\.")):
        adopt(Model(tmp_path / "model"), checkpoint=preset)


@pytest.mark.parametrize(("padding", "longest"), [(0, 39), (1, 38), (3, 36), (None, 40), (39, 0)])
def test_positions_of_roberta_begin_behind_that_of_padding(
    padding: int | None, longest: int, theirs: Path, tmp_path: Path
) -> None:
    preset = copy(theirs / "roberta", tmp_path / "roberta", pad_token_id=padding)
    assert preset.positions() == longest
    if padding in (None, 39):
        with pytest.raises(
            UserError, match=r"pad_token_id None is not|max_position_embeddings 40 is not"
        ):
            load(preset)
    else:
        assert load_backbone(preset, vocabulary_size=0, dropout=0.1).max_sequence_length == longest


def test_a_vocabulary_that_does_not_fit_is_told(tmp_path: Path) -> None:
    preset = copy(TFBERT, tmp_path / "bert", vocab_size=3000)
    with pytest.raises(UserError, match="the tokenizer is not this model's"):
        check_component(adopt, checkpoint=preset)


def test_files_that_hold_nothing_are_told(tmp_path: Path) -> None:
    import h5py

    with h5py.File(tmp_path / "tf_model.h5", "w"):
        pass
    with pytest.raises(UserError, match=r"tf_model\.h5"):
        TFFile(tmp_path / "tf_model.h5")
    (tmp_path / "pytorch_model.bin").write_bytes(pickle.dumps([1, 2]))
    with pytest.raises(UserError, match=r"pytorch_model\.bin"):
        TorchFile(tmp_path / "pytorch_model.bin")


def test_an_old_tfbert_is_served_with_one_command(tmp_path: Path) -> None:
    said = textmill("export", TFBERT, tmp_path / "models")
    assert said.returncode == 0, said.stderr
    assert f"exported {tmp_path}/models/1" in said.stdout
    golden = json.loads((TFBERT / "golden.json").read_text("utf-8"))
    texts = [text for text in golden["texts"] if "\n" not in text]
    (tmp_path / "texts.txt").write_text("".join(f"{text}\n" for text in texts), "utf-8")
    said = textmill("predict", tmp_path / "models", "--file", tmp_path / "texts.txt")
    assert said.returncode == 0, said.stderr
    found = [json.loads(line) for line in said.stdout.splitlines()]
    for row, logits in zip(found, golden["logits"], strict=True):
        powers = np.exp(logits)
        np.testing.assert_allclose(
            [row["scores"][name] for name in golden["labels"]], powers / powers.sum(), atol=1e-4
        )
    said = textmill("export", tmp_path, tmp_path / "models")
    assert said.returncode == 2
    assert "has no config.json" in said.stderr
