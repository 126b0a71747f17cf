"""Hugging Face models of every task, served as they are: raw text in, the numbers of torch out."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.special import expit, softmax

from huggingface_models import HEADS, TFBERT
from test_cli import textmill
from textmill.artifact import Model, read_json, write_json
from textmill.components.adopt import adopt
from textmill.components.export import export
from textmill.errors import UserError
from textmill.frame import Frame
from textmill.models.checkpoint_tokens import check_segments, check_tokens
from textmill.models.heads import labels, served_labels, task_of
from textmill.models.preset import Preset
from textmill.models.tasks import task_named
from textmill.models.tokenizer import load_tokenizer, read_tokenizer
from textmill.models.weight_files import open_weights
from textmill.pipelines.checkpoint import export_huggingface
from textmill.run import Run
from textmill.serving.contract import check_contract
from textmill.serving.predictor import Predictor
from textmill.testing import check_component
from tiny_tokenizers import bpe


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(("one", True), marks=pytest.mark.slow),
        ("many", False),
        ("number", True),
        ("conll", False),
        pytest.param(("one", False), marks=pytest.mark.slow),
        pytest.param(("many", True), marks=pytest.mark.slow),
        pytest.param(("number", False), marks=pytest.mark.slow),
        pytest.param(("tags", False), marks=pytest.mark.slow),
    ],
    ids=lambda given: given[0] + " pairs" * given[1],
)
def served(
    request: pytest.FixtureRequest, theirs: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[str, bool, Path, dict[str, Any]]:
    """A model of theirs with texts, and what is served of it; what torch says of the texts."""
    head, pair = request.param
    folder, preset = tmp_path_factory.mktemp("served"), Preset(str(theirs / f"text-{head}"))
    run = Run(folder / "runs")
    model = run(adopt, checkpoint=preset, pair=pair)
    saved = run(export, model, task=task_named(model.task()["task"]))
    shutil.copytree(saved.path, folder / "models" / "1")
    return head, pair, folder / "models", read_json(Path(preset.name) / "answers.json")


def test_what_is_served_keeps_the_contract(served: tuple[str, bool, Path, Any]) -> None:
    rows = check_contract(served[2]).rows
    assert [row for row in rows if row.status == "failed"] == []
    passed = {row.rule for row in rows if row.status == "passed"}
    assert passed >= {"equal to the trained model", "loads and runs", "warmup replays"}


def test_answers_are_those_of_torch(served: tuple[str, bool, Path, Any]) -> None:
    head, pair, folder, said = served
    texts = said["texts"]
    rows = [{"text": text} for text in texts]
    if pair:
        rows = [r | {"text_pair": t} for r, t in zip(rows, texts[::-1], strict=True)]
    found = list(Predictor(folder)(rows))
    if head in ("tags", "conll"):
        for text, row, spans in zip(texts, found, said["spans"], strict=True):
            ours = [[s["start"], s["end"], s["label"]] for s in row["spans"]]
            assert ours == [span[:3] for span in spans], text
            scores = [s["score"] for s in row["spans"]]
            np.testing.assert_allclose(scores, [span[3] for span in spans], atol=1e-4)
        assert sum(map(len, said["spans"])) > 20
        return
    logits = np.array(said["pairs" if pair else "logits"])
    assert np.ptp(logits, 0).max() > 0.5
    if head == "number":
        np.testing.assert_allclose([row["value"] for row in found], logits[:, 0], atol=1e-4)
        return
    names = list(HEADS[head][2].values())
    scores = [[row["scores"][name] for name in names] for row in found]
    wanted = softmax(logits, -1) if head == "one" else expit(logits)
    np.testing.assert_allclose(scores, wanted, atol=1e-4)
    for row, each in zip(found, logits, strict=True):
        several = [name for name, logit in zip(names, each, strict=True) if logit >= 0]
        assert row["label"] == (names[each.argmax()] if head == "one" else several)


@pytest.mark.slow
def test_an_old_tfbert_of_pairs_is_served_with_one_command(tmp_path: Path) -> None:
    said = textmill("export", TFBERT, tmp_path / "models", "--pair")
    assert said.returncode == 0, said.stderr
    golden = read_json(TFBERT / "golden.json")
    (tmp_path / "pairs").write_text("".join("\t".join(p) + "\n" for p in golden["pairs"]), "utf-8")
    said = textmill("predict", tmp_path / "models", "--file", tmp_path / "pairs")
    assert said.returncode == 0, said.stderr
    found = [list(json.loads(line)["scores"].values()) for line in said.stdout.splitlines()]
    np.testing.assert_allclose(found, softmax(golden["pair_logits"], -1), atol=1e-4)


def test_a_tagging_model_is_adopted_to_the_same_bytes(theirs: Path) -> None:
    """It has nothing that pools; what KerasHub's model has in that place is made at random."""
    model = check_component(adopt, checkpoint=Preset(str(theirs / "text-tags")))
    assert model.task()["labels"] == ["O", "B-ORG", "I-ORG", "B-PER", "I-PER"]
    assert model.task()["kind"] == "spans"


@pytest.mark.parametrize("head", HEADS)
def test_what_was_adopted_goes_back_as_it_came(head: str, theirs: Path, tmp_path: Path) -> None:
    preset = Preset(str(theirs / f"text-{head}"))
    export_huggingface(preset.name, tmp_path / "back")
    back = Preset(str(tmp_path / "back"))
    assert task_of(back) is task_of(preset)
    assert served_labels(back) == served_labels(preset)
    before, after = open_weights(preset), open_weights(back)
    assert set(before) == set(after)
    for name in before:
        value = before[name]
        if head in ("tags", "conll") and name.startswith("classifier"):
            kept = [labels(back).index(tag) for tag in labels(preset)]
            np.testing.assert_array_equal(after[name][kept], value)
        else:
            np.testing.assert_array_equal(after[name], value, err_msg=name)


def test_a_label_never_holds_what_separates_labels(theirs: Path, tmp_path: Path) -> None:
    shutil.copytree(theirs / "text-many", tmp_path / "many")
    file = tmp_path / "many" / "config.json"
    write_json(file, read_json(file) | {"id2label": {"0": "a|b", "1": "c;d", "2": "e"}})
    made = Model(tmp_path / "model")
    adopt(made, checkpoint=Preset(str(tmp_path / "many")))
    about = made.task()
    assert not any(about["separator"] in name for name in about["labels"])
    assert about["thresholds"] == [0.5] * 3


def test_a_tagger_whose_tokens_hang_on_spaces_is_refused(theirs: Path, tmp_path: Path) -> None:
    shutil.copytree(theirs / "roberta-tags", tmp_path / "roberta")
    file = tmp_path / "roberta" / "config.json"
    write_json(file, read_json(file) | {"vocab_size": 700})
    bpe(tmp_path / "roberta" / "tokenizer.json", prefix_space=False)
    with pytest.raises(UserError, match="does not take words one by one"):
        adopt(Model(tmp_path / "a"), checkpoint=Preset(str(tmp_path / "roberta")))
    write_json(tmp_path / "roberta" / "tokenizer_config.json", {"add_prefix_space": True})
    # Its words would do; that its weights are for fewer tokens comes up then.
    with pytest.raises(UserError, match=r"word_embeddings\.weight does not fit"):
        adopt(Model(tmp_path / "b"), checkpoint=Preset(str(tmp_path / "roberta")))


@pytest.mark.parametrize("token", ["<s>", "</s>", "the"])
def test_padding_of_roberta_is_no_token_of_a_text(token: str, theirs: Path, tmp_path: Path) -> None:
    """transformers counts a text's tokens without those of padding, wherever they stand."""
    shutil.copytree(theirs / "roberta", tmp_path / "roberta")
    made = bpe(tmp_path / "roberta" / "tokenizer.json", texts=["the the the end"])
    file, padding = tmp_path / "roberta" / "config.json", made.token_to_id(token)
    write_json(file, read_json(file) | {"vocab_size": 700, "pad_token_id": padding})
    with pytest.raises(UserError, match=f"pad_token_id {padding} is a token that texts have"):
        adopt(Model(tmp_path / "model"), checkpoint=Preset(str(tmp_path / "roberta")))


def test_a_bert_may_call_its_special_tokens_otherwise(theirs: Path, tmp_path: Path) -> None:
    """KerasHub's BERT has no other names for them, so that its preset comes without a tokenizer."""
    from transformers import AutoTokenizer

    folder = shutil.copytree(theirs / "text-one", tmp_path / "bert")
    called = {"[PAD]": "<pad>", "[UNK]": "<unk>", "[CLS]": "<s>", "[SEP]": "</s>"}
    words = (folder / "vocab.txt").read_text("utf-8").split("\n")
    (folder / "vocab.txt").write_text("\n".join(called.get(w, w) for w in words), "utf-8")
    (folder / "special_tokens_map.json").unlink()
    names = {f"{old[1:-1].lower()}_token": new for old, new in called.items()}
    write_json(folder / "tokenizer_config.json", names)
    made = Model(tmp_path / "model", "d" * 64)
    adopt(made, checkpoint=Preset(str(folder)))
    texts = ["a film of many words", "", "\u0926 naïve"]
    ours = [encoding.ids for encoding in read_tokenizer(made.tokenizer_file).encode_batch(texts)]
    assert ours == AutoTokenizer.from_pretrained(folder)(texts)["input_ids"]


@pytest.mark.parametrize(
    ("said", "length"),
    [('"max_len": 20', 20), ('"model_max_length": 1e30', 64), ('"model_max_length": Infinity', 64)],
)
def test_a_tokenizer_says_how_long_texts_are(
    said: str, length: int, theirs: Path, tmp_path: Path
) -> None:
    """Before version 3 transformers wrote `max_len`, which `AutoTokenizer` of 5.24 still reads."""
    folder = shutil.copytree(theirs / "text-one", tmp_path / "bert")
    (folder / "tokenizer_config.json").write_text(f"{{{said}}}")
    made = Model(tmp_path / "model", "d" * 64)
    adopt(made, checkpoint=Preset(str(folder)))
    assert made.task()["max_length"] == length


@pytest.mark.parametrize("said", ["-1", '"64"', "NaN", "true"])
def test_a_length_that_is_none_is_refused(said: str, theirs: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(theirs / "text-one", tmp_path / "bert")
    (folder / "tokenizer_config.json").write_text(f'{{"model_max_length": {said}}}')
    with pytest.raises(UserError, match="its tokenizer says no length of texts"):
        adopt(Model(tmp_path / "model"), checkpoint=Preset(str(folder)))


def test_pairs_need_embeddings_of_two_segments(theirs: Path, tmp_path: Path) -> None:
    shutil.copytree(theirs / "text-one", tmp_path / "bert")
    file = tmp_path / "bert" / "config.json"
    write_json(file, read_json(file) | {"type_vocab_size": 1})
    with pytest.raises(UserError, match="type_vocab_size 1 does not suit two texts"):
        adopt(Model(tmp_path / "model"), checkpoint=Preset(str(tmp_path / "bert")), pair=True)


@pytest.mark.parametrize(
    ("config", "fault"),
    [
        ({"model_type": "bert", "type_vocab_size": 1}, "type_vocab_size 1"),
        ({"model_type": "electra", "type_vocab_size": 1}, "type_vocab_size 1"),
        ({"registered_name": "k>BertBackbone", "config": {"num_segments": 1}}, "num_segments 1"),
        ({"model_type": "albert"}, None),
        ({"model_type": "roberta", "type_vocab_size": 1}, None),
        ({"registered_name": "k>BertBackbone", "config": {"num_segments": 2}}, None),
        ({"registered_name": "k>RobertaBackbone", "config": {}}, None),
    ],
)
def test_a_training_on_pairs_needs_them_too(
    config: dict[str, Any], fault: str | None, tmp_path: Path
) -> None:
    write_json(tmp_path / "config.json", config)
    preset, two = Preset(str(tmp_path)), Frame((2,), (3,), (3,), 3)
    check_segments(preset, two._replace(separator=None))
    if fault is None:
        check_segments(preset, two)
        return
    with pytest.raises(UserError, match=f"{fault} does not suit two texts"):
        check_segments(preset, two)


def test_pairs_for_a_roberta_of_two_segments_are_refused(theirs: Path, tmp_path: Path) -> None:
    """KerasHub's has one; transformers gives the second text of a BertTokenizer the other."""
    shutil.copytree(theirs / "roberta", tmp_path / "roberta")
    file = tmp_path / "roberta" / "config.json"
    write_json(file, read_json(file) | {"type_vocab_size": 2, "pad_token_id": 0})
    tokenizer = tmp_path / "tokenizer.json"
    load_tokenizer(Preset(str(TFBERT))).save(str(tokenizer))
    preset = Preset(str(tmp_path / "roberta"))
    check_tokens(preset, tokenizer, pair=False)
    with pytest.raises(UserError, match="type_vocab_size 2 does not suit two texts"):
        check_tokens(preset, tokenizer, pair=True)


def test_pairs_for_a_model_of_one_text_are_refused(theirs: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"--pair: .*marks spans in one text"):
        adopt(Model(tmp_path / "a"), checkpoint=Preset(str(theirs / "text-tags")), pair=True)
    adopt(Model(tmp_path / "b"), checkpoint=Preset(str(theirs / "text-one")))
    with pytest.raises(UserError, match=r"--pair: .*has learned from one text a row"):
        adopt(Model(tmp_path / "c"), checkpoint=Preset(str(tmp_path / "b")), pair=True)
    adopt(Model(tmp_path / "d"), checkpoint=Preset(str(theirs / "text-one")), pair=True)
    adopt(Model(tmp_path / "e"), checkpoint=Preset(str(tmp_path / "d")))
    assert Model(tmp_path / "e").task()["pair"]
