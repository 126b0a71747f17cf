"""What `export` writes: signatures, size, bytes, and the scores of the trained model."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tensorflow as tf

from textmill.artifact import Examples, Model, Saved, content, digest_files, write_json
from textmill.components.cleaning import Cleaning
from textmill.components.export import export
from textmill.frame import read_frame
from textmill.models.task import logits_of
from textmill.serving import savedmodel
from textmill.serving.contract import check_contract
from textmill.serving.framing import Framing
from textmill.serving.fresh_process import ask
from textmill.serving.graph_tokenizer import graph_tokenizer
from textmill.serving.heads import Head
from tiny_models import SCRIPTS, load_tokenizer, mean_of_embeddings, saved_model, tokenizer


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return saved_model(tmp_path_factory.mktemp("served") / "model")


def expected(served: Path, texts: list[str]) -> np.ndarray:
    """Scores computed outside the graph, a text at a time."""
    made = load_tokenizer(served.with_suffix(".tokenizer.json"), 24)
    logits, _ = mean_of_embeddings(made.get_vocab_size())
    rows = []
    for text in texts:
        ids = np.array([made.encode(text).ids], np.int32)
        rows.append(tf.nn.softmax(logits(ids, np.ones_like(ids))).numpy()[0])
    return np.array(rows)


def test_both_signatures_answer_in_a_fresh_process(served: Path) -> None:
    rows = [{"text": text} for text in SCRIPTS]
    requests = [
        {"signature": "serving_default", "rows": rows},
        {"signature": "classify", "rows": rows, "examples": True},
    ]
    default, classify = ask(served, {"requests": requests})["answers"]
    scores = expected(served, SCRIPTS)
    np.testing.assert_allclose(default["scores"], scores, atol=1e-6)
    assert default["label"] == [["neg", "pos"][i] for i in scores.argmax(1)]
    np.testing.assert_allclose(classify["scores"], scores, atol=1e-6)
    assert classify["classes"] == [["neg", "pos"]] * len(SCRIPTS)
    (meta,) = savedmodel.read(served).meta_graphs
    assert meta.signature_def["classify"].method_name == "tensorflow/serving/classify"


def test_an_example_without_text_is_an_error(served: Path) -> None:
    model = tf.saved_model.load(str(served))
    with pytest.raises(tf.errors.InvalidArgumentError, match="text"):
        model.signatures["classify"](inputs=tf.constant([tf.train.Example().SerializeToString()]))


def test_an_empty_batch_gives_empty_outputs(served: Path) -> None:
    model = tf.saved_model.load(str(served))
    answer = model.signatures["serving_default"](text=tf.constant([], tf.string))
    assert answer["scores"].shape == (0, 2)
    assert answer["label"].shape == (0,)
    answer = model.signatures["classify"](inputs=tf.constant([], tf.string))
    assert answer["classes"].shape == (0, 2)


def test_weights_are_stored_once_and_tables_are_small(served: Path) -> None:
    size = savedmodel.describe(served)["parameters"]["bytes"]
    _, variables = mean_of_embeddings(
        load_tokenizer(served.with_suffix(".tokenizer.json")).get_vocab_size()
    )
    assert size == sum(v.numpy().nbytes for v in variables)
    (data,) = (served / "variables").glob("variables.data-*")
    assert data.stat().st_size <= 1.05 * size + 4096
    assert (served / "saved_model.pb").stat().st_size < 900_000


def test_two_models_with_different_vocabularies_live_in_one_process(
    served: Path, tmp_path: Path
) -> None:
    tokenizer(tmp_path / "other.tokenizer.json", texts=SCRIPTS[:3], vocabulary_size=90)
    other = saved_model(tmp_path / "other")
    models = [tf.saved_model.load(str(path)) for path in (served, other, served)]
    del models[2]
    for model, path in zip(models, (served, other), strict=True):
        found = model.signatures["serving_default"](text=tf.constant(SCRIPTS))["scores"]
        made = load_tokenizer(path.with_suffix(".tokenizer.json"), 24)
        logits, _ = mean_of_embeddings(made.get_vocab_size())
        ids = [np.array([e.ids], np.int32) for e in made.encode_batch(SCRIPTS)]
        wanted = [tf.nn.softmax(logits(i, np.ones_like(i))).numpy()[0] for i in ids]
        np.testing.assert_allclose(found, wanted, atol=1e-6)


def test_equal_models_give_equal_bytes_whatever_the_process_did_before(
    served: Path, tmp_path: Path
) -> None:
    again = tmp_path / "model"
    (tmp_path / "model.tokenizer.json").write_bytes(
        served.with_suffix(".tokenizer.json").read_bytes()
    )
    code = f"""
import tensorflow as tf
from pathlib import Path
from tiny_models import saved_model
twice = tf.function(lambda x: tf.while_loop(lambda i: i < 9, lambda i: i + 2, [x]))
twice(tf.constant(1))
saved_model(Path({str(again)!r}))
"""
    path = os.pathsep.join([str(Path(__file__).parent), *sys.path])
    subprocess.run([sys.executable, "-c", code], check=True, env=os.environ | {"PYTHONPATH": path})
    assert list(content(again)) == list(content(served))
    assert digest_files(content(again)) == digest_files(content(served))


def artifacts(folder: Path, texts: dict[str, list[str]]) -> Examples:
    """Examples with these texts in their splits."""
    for split, rows in texts.items():
        (folder / split).mkdir(parents=True)
        table = pa.table({"review": pa.array(rows, pa.string())})
        pq.write_table(table, folder / split / "part-0.parquet")
    write_json(
        folder / "schema.json",
        {"text": "review", "pair": None, "label": "y", "cleaning": asdict(Cleaning())},
    )
    return Examples(folder, "e" * 64)


@pytest.mark.parametrize("rows", [0, 1, 300])
def test_export_writes_a_model_that_keeps_the_contract(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rows: int
) -> None:
    import keras_hub

    import textmill.models.text_classification as task

    file = tmp_path / "model" / "textmill" / "tokenizer.json"
    size = tokenizer(file).get_vocab_size()
    write_json(
        file.parent / "task.json",
        {
            "task": "text_classification",
            "labels": ["neg", "neu", "pos"],
            "kind": "one",
            "separator": "|",
            "pair": False,
            "max_length": 32,
            "overlap": None,
            "windows": 1,
            "cleaning": asdict(Cleaning()),
        },
    )
    backbone = keras_hub.models.BertBackbone(
        vocabulary_size=size,
        num_layers=2,
        num_heads=2,
        hidden_dim=32,
        intermediate_dim=64,
        max_sequence_length=64,
    )
    classifier = keras_hub.models.BertTextClassifier(backbone, num_classes=3, preprocessor=None)
    for variable in classifier.weights:
        if len(variable.shape) > 1:  # as they begin, all texts score alike
            variable.assign(variable * 20)
    monkeypatch.setattr(task, "load", lambda path: classifier)
    texts = [f"{'good film ' * (i % 40)}{SCRIPTS[i % len(SCRIPTS)]} {i}" for i in range(rows)]
    examples = artifacts(tmp_path / "examples", {"test": texts})
    saved = Saved(tmp_path / "saved")
    export(saved, Model(tmp_path / "model", "d" * 64), examples)
    manifest = saved.manifest()
    assert manifest["task"] == "text_classification"
    assert manifest["labels"] == ["neg", "neu", "pos"]
    assert manifest["made_from"] == {"model": "d" * 64, "examples": "e" * 64}
    assert manifest["cleaning"] == asdict(Cleaning())
    # One text needs no embeddings of segments, and two layers no biases of keys and values; all
    # other weights are there, once.
    assert manifest["parameters"]["count"] == classifier.count_params() - 2 * 32 - 2 * 2 * 32
    golden = [row["text"] for row in manifest["golden"]]
    assert len(golden) == min(rows, 24) + 13
    assert set(golden[: min(rows, 24)]) <= set(texts)
    if rows:
        assert {min(map(len, texts)), max(map(len, texts))} <= set(map(len, golden))
    assert str(tmp_path) not in (saved.path / "assets.extra/manifest.json").read_text()
    if rows > 1:
        assert [row for row in check_contract(saved.path).rows if row.status == "failed"] == []


@pytest.mark.slow
def test_scores_of_a_real_model_equal_keras(minilm: Path, tmp_path: Path) -> None:
    import keras_hub

    backbone = keras_hub.models.BertBackbone.from_preset(str(minilm))
    classifier = keras_hub.models.BertTextClassifier(backbone, num_classes=2, preprocessor=None)
    wordpiece_file = minilm / "tokenizer.json"
    savedmodel.write(
        tmp_path / "model",
        clean=tf.identity,
        logits=lambda *given: logits_of(classifier, *given),
        variables=[v.value for v in classifier.weights],
        tokenizer=graph_tokenizer(wordpiece_file),
        framing=Framing(read_frame(wordpiece_file), 256),
        head=Head("one", ("neg", "pos")),
    )
    texts = [*SCRIPTS, "A film. " * 300]
    request = {"signature": "serving_default", "rows": [{"text": text} for text in texts]}
    (answer,) = ask(tmp_path / "model", {"requests": [request]})["answers"]
    made = load_tokenizer(wordpiece_file, 256)
    for text, scores in zip(texts, answer["scores"], strict=True):
        ids = np.array([made.encode(text).ids], np.int32)
        wanted = tf.nn.softmax(logits_of(classifier, ids, np.ones_like(ids))).numpy()[0]
        np.testing.assert_allclose(scores, wanted, atol=1e-5)
    size = savedmodel.describe(tmp_path / "model")["parameters"]["bytes"]
    (data,) = (tmp_path / "model" / "variables").glob("variables.data-*")
    assert data.stat().st_size <= 1.05 * size
