"""Heads of Hugging Face models: every task, into Textmill and out of it."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from huggingface_models import HEADS, KINDS, TFBERT, named, rows, score
from textmill.artifact import Model, read_json, write_json
from textmill.errors import UserError
from textmill.models.checkpoint import load_backbone
from textmill.models.heads import NEVER, labels, load_head, served_labels, task_of
from textmill.models.huggingface_out import save_huggingface
from textmill.models.preset import Preset
from textmill.models.task import logits_of
from textmill.models.tasks import task_named
from textmill.models.tf_file import torch_name
from textmill.models.tokenizer import load_tokenizer
from textmill.models.weight_files import open_weights
from tiny_tokenizers import bpe

TASKS = {
    "one": "text_classification",
    "many": "multi_label_classification",
    "number": "text_regression",
    "tags": "token_classification",
    "conll": "token_classification",
}
PROBLEMS = {
    "one": "single_label_classification",
    "many": "multi_label_classification",
    "number": "regression",
}
OURS = {
    "tags": ["O", "B-ORG", "I-ORG", "B-PER", "I-PER"],
    "conll": ["O", "B-LOC", "I-LOC", "B-ORG", "I-ORG", "B-PER", "I-PER"],
}


def load(preset: Preset) -> Any:
    names = served_labels(preset)
    backbone = load_backbone(preset, vocabulary_size=0, dropout=0.1)
    network = task_of(preset).build(backbone, names, dropout=0.1)
    load_head(network, preset)
    return network


@pytest.fixture(scope="module")
def written(theirs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What we write of every model of theirs, with `ours.npy`, and what transformers says of it."""
    folder = tmp_path_factory.mktemp("written")
    model = Model(folder / "model")
    model.tokenizer_file.parent.mkdir(parents=True)
    load_tokenizer(Preset(str(TFBERT))).save(str(model.tokenizer_file))
    for kind in KINDS:
        for head in HEADS:
            preset = Preset(str(theirs / named(kind, head)))
            network, task = load(preset), task_of(preset)
            about = {"labels": served_labels(preset), "kind": task.LABELS, "max_length": 40}
            write_json(model.path / "textmill" / "task.json", about)
            save_huggingface(network, model, folder / preset.name.rpartition("/")[2])
            found = np.asarray(logits_of(network, *rows(kind)))
            np.save(folder / named(kind, head) / "ours.npy", found)
    score(folder)
    return folder


def in_our_order(logits: Any, head: str) -> Any:
    """Returns logits of theirs as we order tags, -1e4 for a tag that a model does not know."""
    if head not in OURS:
        return logits
    tags = list(HEADS[head][2].values())
    known = [
        logits[..., tags.index(t)] if t in tags else 0 * logits[..., 0] + NEVER for t in OURS[head]
    ]
    return np.stack(known, -1)


def where_tokens_are(logits: Any, kind: str) -> Any:
    """Returns the logits of tokens that are no padding, of which nobody asks."""
    return logits[rows(kind)[1] > 0] if logits.ndim == 3 else logits


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("kind", KINDS)
def test_logits_are_those_of_transformers_both_ways(
    kind: str, head: str, theirs: Path, written: Path
) -> None:
    name = named(kind, head)
    wanted = where_tokens_are(np.load(theirs / name / "logits.npy"), kind)
    assert np.ptp(wanted, 0).max() > 0.2  # else equal would mean little
    ours, back = (
        where_tokens_are(np.load(written / name / f"{file}.npy"), kind)
        for file in ("ours", "logits")
    )
    np.testing.assert_allclose(ours, in_our_order(wanted, head), atol=1e-4)
    np.testing.assert_allclose(back, in_our_order(wanted, head), atol=1e-4)


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("kind", KINDS)
def test_transformers_knows_the_head_that_we_write(kind: str, head: str, written: Path) -> None:
    said = read_json(written / named(kind, head) / "said.json")
    assert said["class"].endswith(HEADS[head][0])
    assert said["labels"] == OURS.get(head, list(HEADS[head][2].values()))
    assert said["problem_type"] == PROBLEMS.get(head)
    assert said["missing"] == said["unexpected"] == []
    segments = kind in ("albert", "bert", "electra")
    assert ("token_type_ids" in said["inputs"]) == segments
    again = Preset(str(written / named(kind, head)))
    assert task_of(again) is task_named(TASKS[head])


@pytest.mark.parametrize("kind", KINDS)
def test_the_tokenizer_that_we_write_loads_in_older_releases(kind: str, written: Path) -> None:
    """transformers 4 knows this class and takes `tokenizer.json` as it is; 5 writes another name.

    4.49.0 and 4.57.6 were tried with folders of every kind: equal token ids and logits.
    """
    said = read_json(written / kind / "tokenizer_config.json")
    assert said["tokenizer_class"] == "PreTrainedTokenizerFast"
    assert "add_prefix_space" not in said  # of WordPiece
    weights = open_weights(Preset(str(written / kind)))
    assert {weights[name].dtype.name for name in weights} == {"float32"}  # 4 mixes no types


@pytest.mark.parametrize("prefix_space", [True, False])
def test_a_space_in_front_is_said_beside_the_tokenizer_too(
    prefix_space: bool, theirs: Path, tmp_path: Path
) -> None:
    """transformers 4 takes it from there, and for False where it is not said."""
    preset, model = Preset(str(theirs / "roberta")), Model(tmp_path / "model")
    bpe(model.tokenizer_file, prefix_space=prefix_space)
    about = {"labels": served_labels(preset), "kind": "one", "max_length": 36}
    write_json(model.path / "textmill" / "task.json", about)
    save_huggingface(load(preset), model, tmp_path / "written")
    said = read_json(tmp_path / "written" / "tokenizer_config.json")
    assert said["add_prefix_space"] is prefix_space
    made = read_json(tmp_path / "written" / "config.json")
    assert (made["pad_token_id"], made["bos_token_id"], made["eos_token_id"]) == (1, 0, 2)
    assert made["max_position_embeddings"] == 36 + 2  # 36 positions, which began behind 3


def test_roberta_without_padding_is_not_written(theirs: Path, tmp_path: Path) -> None:
    preset, model = Preset(str(theirs / "roberta")), Model(tmp_path / "model")
    bpe(model.tokenizer_file)
    text = model.tokenizer_file.read_text("utf-8").replace("<pad>", "<none>")
    model.tokenizer_file.write_text(text, "utf-8")
    about = {"labels": served_labels(preset), "kind": "one", "max_length": 36}
    write_json(model.path / "textmill" / "task.json", about)
    with pytest.raises(UserError, match="RobertaBackbone without padding can't be written"):
        save_huggingface(load(preset), model, tmp_path / "written")


def test_a_number_is_one_logit_whatever_the_config_says(theirs: Path, tmp_path: Path) -> None:
    """transformers leaves `problem_type` out, and computes the loss of a number all the same."""
    preset = Preset(str(theirs / "bert-number"))
    assert preset.config().get("problem_type") is None
    assert task_of(preset).NAME == "text_regression"
    one = changed(theirs / "bert-number", tmp_path, problem_type="multi_label_classification")
    assert labels(one) == ["LABEL_0"]
    bare = changed(theirs / "bert-number", tmp_path / "bare", id2label=None, num_labels=1)
    assert task_of(bare).NAME == "text_regression"


def changed(folder: Path, to: Path, **config: Any) -> Preset:
    made = to / "model"
    shutil.copytree(folder, made)
    write_json(made / "config.json", read_json(made / "config.json") | config)
    return Preset(str(made))


@pytest.mark.parametrize(
    ("head", "config", "message"),
    [
        ("one", {"architectures": ["BertForQuestionAnswering"]}, "has no head for a task of ours"),
        ("one", {"architectures": ["BertForMaskedLM"]}, "has no head for a task of ours"),
        ("one", {"architectures": ["BertModel"]}, "has no head for a task of ours"),
        ("one", {"architectures": None}, "has no head for a task of ours"),
        ("one", {"problem_type": "ranking"}, "did you mean|problem_type"),
        ("one", {"problem_type": "regression"}, "one label, which stands for the number"),
        ("one", {"id2label": {"0": "bad"}, "problem_type": PROBLEMS["one"]}, "two labels or more"),
        ("one", {"id2label": {"1": "bad", "2": "good"}}, "with ids from 0"),
        ("one", {"id2label": {"a": "bad", "b": "good"}}, "received: a, b"),
        ("one", {"id2label": ["bad", "good"]}, "received: bad, good"),
        ("one", {"id2label": {"0": "bad", "1": "good"}}, "3 labels, as many as classifier"),
        ("many", {"id2label": {"0": "a", "1": "b", "2": "a"}}, "'a' for 0 and for 2"),
        ("number", {"id2label": {"0": "a", "1": "b"}}, "1 labels, as many as classifier"),
        ("tags", {"id2label": {"0": "O", "1": "B-PER", "2": "I-PER"}}, "5 labels, as many as"),
        (
            "tags",
            {"id2label": dict(enumerate(["O", "B-A", "I-A", "B-B", "I-B", "B-C"]))},
            "5 labels, as many as classifier",
        ),
        (
            "tags",
            {"id2label": dict(enumerate(["O", "PER", "ORG", "LOC", "MISC"]))},
            "not tags of spans.*\n.*\n *received: PER, ORG",
        ),
        (
            "tags",
            {"id2label": dict(enumerate(["O", "B-A", "I-A", "S-A", "E-A"]))},
            "received: S-A, E-A",
        ),
        ("tags", {"id2label": dict(enumerate(["B-A", "I-A", "B-B", "I-B", "B-"]))}, "not tags"),
    ],
)
def test_a_head_that_is_not_right_is_told(
    head: str, config: dict[str, Any], message: str, theirs: Path, tmp_path: Path
) -> None:
    preset = changed(theirs / named("bert", head), tmp_path, **config)
    with pytest.raises(UserError, match=message) as told:
        load(preset)
    assert preset.name in str(told.value)
    assert all(f"{part}:" in str(told.value) for part in ("expected", "received", "fix"))


@pytest.mark.parametrize(("kind", "part"), [("bert", "classifier"), ("deberta-v2", "pooler.dense")])
def test_a_head_that_is_not_there_is_told(
    kind: str, part: str, theirs: Path, tmp_path: Path
) -> None:
    """And none of another name is taken for it: two rows for two answers are not two labels."""
    from safetensors.numpy import load_file, save_file

    preset = changed(theirs / kind, tmp_path)
    file = tmp_path / "model" / "model.safetensors"
    weights = load_file(file)
    for each in ("weight", "bias"):
        weights[f"qa_outputs.{each}"] = weights.pop(f"{part}.{each}")
    save_file(weights, file)
    with pytest.raises(UserError, match=rf"has no weight {part}\.weight, of its head"):
        load(preset)


def test_a_tfbert_that_tags_is_read(theirs: Path, tmp_path: Path) -> None:
    """In the layout of the golden file that transformers 4 wrote; a tagger has no pooler."""
    import h5py

    preset = changed(theirs / "text-tags", tmp_path)
    weights = {name: np.array(value) for name, value in open_weights(preset).items()}
    (tmp_path / "model" / "model.safetensors").unlink()
    with (
        h5py.File(TFBERT / "tf_model.h5") as golden,
        h5py.File(tmp_path / "model" / "tf_model.h5", "w") as file,
    ):
        file.attrs["layer_names"] = golden.attrs["layer_names"]
        for layer in golden.attrs["layer_names"]:
            names = [n for n in golden[layer].attrs["weight_names"] if "pooler" not in str(n)]
            group = file.create_group(layer)
            renamed = [str(n).replace("sequence_class", "token_class") for n in names]
            group.attrs["weight_names"] = renamed
            for name in renamed:
                value = weights[torch_name(f"{layer}/{name}")]
                group[name] = value.T if name.endswith("kernel:0") else value
    again = open_weights(preset)
    assert set(again) == set(weights)
    for name in weights:
        np.testing.assert_array_equal(again[name], weights[name], err_msg=name)
    assert task_of(preset).NAME == "token_classification"
    assert load(preset).get_layer("logits").kernel.shape == (32, 5)
