"""Each rule of the serving contract fails for a model that breaks that rule, and for no other."""

from __future__ import annotations

import json
import os
import shutil
import sys
import venv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import prediction_log_pb2

from test_cli import textmill
from textmill.artifact import Blessing, Saved
from textmill.components.check import check
from textmill.errors import UserError
from textmill.serving import running_rules, session
from textmill.serving.budget import Budget
from textmill.serving.contract import check_contract
from textmill.serving.rows import Row
from textmill.serving.warmup import FILE
from tiny_models import edit, edit_manifest, mean_of_embeddings, saved_model, tokenizer

OLD = "TEXTMILL_OTHER_PYTHON"  # the path of an interpreter with another TensorFlow


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return saved_model(tmp_path_factory.mktemp("good") / "7")


@pytest.fixture
def model(good: Path, tmp_path: Path) -> Path:
    return shutil.copytree(good, tmp_path / "models" / "7")


def status(rows: list[Row], wanted: str) -> list[str]:
    return [row.rule for row in rows if row.status == wanted]


def found(rows: list[Row], rule: str) -> str:
    return next(row.found for row in rows if row.rule == rule)


def test_a_good_model_passes_every_rule(model: Path) -> None:
    proof = check_contract(model)
    assert status(proof.rows, "failed") == []
    assert status(proof.rows, "skipped") == ["loads elsewhere", "latency", "memory"]  # not asked
    assert proof.holds
    assert "XLA disabled" in found(proof.rows, "loads and runs")
    assert "tokens" in found(proof.rows, "warmup replays")
    assert 0 < proof.measured["latency_ms"]["p50"] <= proof.measured["latency_ms"]["p95"]
    assert proof.measured["memory_bytes"] > 0


@pytest.mark.usefixtures("here")
def test_rows_say_the_same_wherever_the_model_lies(good: Path, tmp_path: Path) -> None:
    blessings = []
    for name in ("here", "there"):
        copy = shutil.copytree(good, tmp_path / name / "export")
        (tmp_path / name / "blessing").mkdir()
        blessing = Blessing(tmp_path / name / "blessing")
        check(blessing, Saved(copy))
        blessings.append((blessing.path / "blessing.json").read_bytes())
        assert [row["rule"] for row in blessing.rows() if row["status"] == "skipped"] == [
            "version folder", "loads elsewhere", "latency", "memory",
        ]  # fmt: skip
        assert "p95" in blessing.measured()["latency_ms"]
    assert blessings[0] == blessings[1]


def drop_classify(meta: Any) -> None:
    del meta.signature_def["classify"]


def predict_method(meta: Any) -> None:
    meta.signature_def["classify"].method_name = "tensorflow/serving/predict"


def rename_input(meta: Any) -> None:
    inputs = meta.signature_def["serving_default"].inputs
    inputs["prompt"].CopyFrom(inputs["text"])
    del inputs["text"]


def drop_label(meta: Any) -> None:
    del meta.signature_def["serving_default"].outputs["label"]


def drop_scores(meta: Any) -> None:
    del meta.signature_def["classify"].outputs["scores"]


def sparse(meta: Any) -> None:
    meta.signature_def["third"].CopyFrom(meta.signature_def["serving_default"])
    scores = meta.signature_def["third"].outputs["scores"]
    label = meta.signature_def["third"].outputs["label"].name
    for part in ("values", "indices", "dense_shape"):
        setattr(scores.coo_sparse, f"{part}_tensor_name", label)


def fix_batch(meta: Any) -> None:
    meta.signature_def["serving_default"].inputs["text"].tensor_shape.dim[0].size = 8


def take_numbers(meta: Any) -> None:
    meta.signature_def["third"].CopyFrom(meta.signature_def["serving_default"])
    meta.signature_def["third"].inputs["text"].dtype = tf.int32.as_datatype_enum


def python_function(meta: Any) -> None:
    function = meta.graph_def.library.function.add()
    function.signature.name = "unused"
    function.node_def.add(name="f", op="EagerPyFunc")


def unknown_method(meta: Any) -> None:
    meta.signature_def["third"].CopyFrom(meta.signature_def["serving_default"])
    meta.signature_def["third"].method_name = "mine"


def no_tensor(meta: Any) -> None:
    meta.signature_def["third"].CopyFrom(meta.signature_def["serving_default"])
    meta.signature_def["third"].outputs["label"].name = "nowhere:0"


def half(meta: Any) -> None:
    meta.signature_def["third"].CopyFrom(meta.signature_def["serving_default"])
    meta.signature_def["third"].outputs["scores"].dtype = tf.bfloat16.as_datatype_enum


def too_new(meta: Any) -> None:
    function = meta.graph_def.library.function.add()
    function.signature.name = "unused"
    function.node_def.add(name="f", op="DecodeJxl")


def must_compile(meta: Any) -> None:
    meta.graph_def.library.function[0].attr["_XlaMustCompile"].b = True


def reads_a_file(meta: Any) -> None:
    constant = meta.graph_def.node.add(name="file", op="Const")
    constant.attr["dtype"].type = tf.string.as_datatype_enum
    constant.attr["value"].tensor.CopyFrom(tf.make_tensor_proto("/data/vocabulary.txt"))
    meta.graph_def.node.add(name="read", op="ReadFile", input=["file"])


def pin(meta: Any) -> None:
    meta.graph_def.node[-1].device = "/device:GPU:0"


def train_tag(meta: Any) -> None:
    meta.meta_info_def.tags.append("train")


@pytest.mark.parametrize(
    ("change", "rule", "says"),
    [
        (drop_classify, "signature classify", "missing"),
        (predict_method, "signature classify", "method is"),
        (rename_input, "signature serving_default", "input text is missing"),
        (drop_label, "signature serving_default", "output label is missing"),
        (drop_scores, "signature classify", "output scores is missing"),
        (sparse, "types for REST", "third: scores is ragged or sparse"),
        (fix_batch, "free batch", "text is string [8]"),
        (take_numbers, "raw text", "third: text is int32"),
        (unknown_method, "valid signatures", "third has the method 'mine'"),
        (no_tensor, "valid signatures", "label is nowhere:0"),
        (half, "types for REST", "third: scores is bfloat16"),
        (python_function, "no Python or XLA", "EagerPyFunc"),
        (must_compile, "no Python or XLA", "_XlaMustCompile"),
        (too_new, "server operations", "DecodeJxl (from 2.21)"),
        (reads_a_file, "complete by itself", "/data/vocabulary.txt"),
        (pin, "no fixed device", "GPU:0"),
    ],
)
@pytest.mark.usefixtures("here")
def test_a_model_that_breaks_one_rule_of_the_graph(
    model: Path, change: Callable[[Any], None], rule: str, says: str
) -> None:
    edit(model, change)
    (model / FILE).unlink()  # the requests would fail with the signature that they ask
    rows = check_contract(model).rows
    assert status(rows, "failed") == [rule]
    assert says in found(rows, rule)


@pytest.mark.usefixtures("here")
def test_two_tags_are_not_the_tag_serve(model: Path) -> None:
    edit(model, train_tag)
    rows = check_contract(model).rows
    assert "meta graph" in status(rows, "failed")
    assert "train" in found(rows, "meta graph")


@pytest.mark.parametrize("name", ["007", "+7"])
@pytest.mark.usefixtures("here")
def test_a_version_with_an_odd_name(model: Path, name: str) -> None:
    rows = check_contract(model.rename(model.with_name(name))).rows
    assert status(rows, "failed") == ["version folder"]


@pytest.mark.usefixtures("here")
def test_other_scores_than_the_trained_model(model: Path, tmp_path: Path) -> None:
    rows = Saved(model).manifest()["golden"]
    rows[3]["answer"][0] += 2e-5
    edit_manifest(model, golden=rows)
    rows = check_contract(model).rows
    assert status(rows, "failed") == ["equal to the trained model"]
    assert "differ by up to" in found(rows, "equal to the trained model")
    (model / "assets.extra" / "manifest.json").unlink()
    rows = check_contract(model).rows
    assert status(rows, "failed") == []
    assert "equal to the trained model" in status(rows, "skipped")


@pytest.mark.usefixtures("here")
def test_every_signature_must_give_the_scores_of_the_trained_model(model: Path) -> None:
    rule = "equal to the trained model"
    assert "serving_default, classify, tokens" in found(check_contract(model).rows, rule)
    golden = Saved(model).manifest()["golden"]
    golden[3]["token_ids"][1] += 1
    edit_manifest(model, golden=golden)
    rows = check_contract(model).rows
    assert status(rows, "failed") == [rule]
    assert found(rows, rule).startswith("answers of tokens differ")


@pytest.mark.usefixtures("here")
def test_scores_that_depend_on_the_batch(tmp_path: Path) -> None:
    def logits(token_ids: tf.Tensor, mask: tf.Tensor, segments: tf.Tensor) -> tf.Tensor:
        del mask  # padding counts
        mean = tf.reduce_mean(tf.cast(token_ids, tf.float32), 1)
        return tf.stack([mean, -mean], 1) / 1000

    folder = saved_model(tmp_path / "1", logits=logits)
    edit_manifest(folder, golden=[])
    rows = check_contract(folder).rows
    assert status(rows, "failed") == ["independent of the batch"]


@pytest.mark.usefixtures("here")
def test_weights_that_are_stored_twice(tmp_path: Path) -> None:
    size = tokenizer(tmp_path / "1.tokenizer.json").get_vocab_size()
    _, more = mean_of_embeddings(size)  # the same numbers in other variables
    folder = saved_model(tmp_path / "1", variables=more)
    edit_manifest(folder, parameters={"bytes": sum(v.numpy().nbytes for v in more)})
    assert status(check_contract(folder).rows, "failed") == ["weights stored once"]
    (folder / "assets.extra" / "manifest.json").unlink()
    assert status(check_contract(folder).rows, "failed") == ["weights stored once"]


def test_an_operation_of_xla_does_not_run(tmp_path: Path) -> None:
    def logits(token_ids: tf.Tensor, mask: tf.Tensor, segments: tf.Tensor) -> tf.Tensor:
        from tensorflow.compiler.tf2xla.python import xla

        del mask
        rows = tf.zeros([tf.shape(token_ids)[0], 2])
        return xla.dynamic_update_slice(rows, tf.zeros([1, 2]), [0, 0])

    rows = check_contract(saved_model(tmp_path / "1", logits=logits)).rows
    broken = ["no Python or XLA", "loads and runs", "warmup replays"]
    assert status(rows, "failed") == broken
    assert "XlaDynamicUpdateSlice" in found(rows, "no Python or XLA")


def test_a_truncated_checkpoint_does_not_load(model: Path) -> None:
    (data,) = (model / "variables").glob("variables.data-*")
    data.write_bytes(data.read_bytes()[:1000])
    rows = check_contract(model).rows
    assert "loads and runs" in status(rows, "failed")
    assert str(model) not in str(rows)


@pytest.mark.usefixtures("here")
def test_a_model_of_somebody_else(tmp_path: Path) -> None:
    class Twice(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([4], tf.float32)])
        def __call__(self, x: tf.Tensor) -> tf.Tensor:
            return 2 * x

    tf.saved_model.save(Twice(), str(tmp_path / "1"))
    rows = check_contract(tmp_path).rows
    assert set(status(rows, "failed")) == {
        "signature serving_default",
        "signature classify",
        "free batch",
        "raw text",
    }
    assert set(status(rows, "skipped")) == {
        "loads elsewhere",
        "an answer for each",
        "equal to the trained model",
        "independent of the batch",
        "warmup replays",
        "weights stored once",
        "latency",
        "memory",
    }


@pytest.mark.usefixtures("here")
def test_scores_that_are_not_numbers_are_far(model: Path) -> None:
    golden = Saved(model).manifest()["golden"]
    golden[0]["answer"] = [float("nan"), 1.0]
    edit_manifest(model, golden=golden)
    assert status(check_contract(model).rows, "failed") == ["equal to the trained model"]


@pytest.mark.usefixtures("here")
def test_a_broken_file_is_rows_not_a_traceback(model: Path) -> None:
    whole = [row.rule for row in check_contract(model).rows]
    (model / "saved_model.pb").write_bytes(b"\xff" * 50)
    rows = check_contract(model).rows
    assert status(rows, "failed") == ["meta graph"]
    assert status(rows, "passed") == ["version folder"]
    assert [row.rule for row in rows] == whole


@pytest.mark.parametrize("make", ["missing", "empty", "file"])
def test_no_model_is_an_error(tmp_path: Path, make: str) -> None:
    folder = tmp_path / "model"
    if make == "empty":
        folder.mkdir()
    elif make == "file":
        folder.write_text("x")
    with pytest.raises(UserError, match="no SavedModel"):
        check_contract(folder)


@pytest.mark.usefixtures("here")
def test_the_newest_version_stands_for_the_base(model: Path) -> None:
    newer = shutil.copytree(model, model.with_name("10"))
    edit(newer, drop_label)
    assert status(check_contract(model.parent).rows, "failed") == ["signature serving_default"]
    assert np.array_equal(status(check_contract(model).rows, "failed"), [])


@pytest.mark.usefixtures("here")
def test_an_output_with_another_number_of_rows(tmp_path: Path) -> None:
    class Summed(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([None], tf.string)])
        def default(self, text: tf.Tensor) -> dict[str, tf.Tensor]:
            scores = tf.tile([[0.5, 0.5]], [tf.size(text), 1])
            return {"scores": scores, "label": tf.fill([tf.size(text) + 1], "a")}

        @tf.function(input_signature=[tf.TensorSpec([None], tf.string)])
        def classify(self, inputs: tf.Tensor) -> dict[str, tf.Tensor]:
            rows = tf.size(inputs)
            names = tf.tile([["a", "b"]], [rows, 1])
            return {"scores": tf.tile([[0.5, 0.5]], [rows, 1]), "classes": names}

    module = Summed()
    signatures = {"serving_default": module.default, "classify": module.classify}
    tf.saved_model.save(module, str(tmp_path / "1"), signatures=signatures)

    def name_method(meta: Any) -> None:
        meta.signature_def["classify"].method_name = "tensorflow/serving/classify"

    edit(tmp_path / "1", name_method)
    rows = check_contract(tmp_path).rows
    assert status(rows, "failed") == ["an answer for each"]
    assert "serving_default: label has 1 rows for 0" in found(rows, "an answer for each")


def too_many(folder: Path) -> None:
    one = next(iter(tf.data.TFRecordDataset(str(folder / FILE)))).numpy()
    with tf.io.TFRecordWriter(str(folder / FILE)) as writer:
        for _ in range(1001):
            writer.write(one)


def another_signature(folder: Path) -> None:
    records = list(tf.data.TFRecordDataset(str(folder / FILE)).as_numpy_iterator())
    log = prediction_log_pb2.PredictionLog.FromString(records[-1])
    log.predict_log.request.model_spec.signature_name = "none"
    with tf.io.TFRecordWriter(str(folder / FILE)) as writer:
        writer.write(log.SerializeToString())


def a_request(change: Callable[[Any], None]) -> Callable[[Path], None]:
    """Returns what puts one changed request in the place of all."""

    def put(folder: Path) -> None:
        records = tf.data.TFRecordDataset(str(folder / FILE)).as_numpy_iterator()
        logs = map(prediction_log_pb2.PredictionLog.FromString, records)
        log = next(log for log in logs if "text" in log.predict_log.request.inputs)
        change(log.predict_log.request)
        with tf.io.TFRecordWriter(str(folder / FILE)) as writer:
            writer.write(log.SerializeToString())

    return put


def another_type(request: Any) -> None:
    request.inputs["text"].CopyFrom(tf.make_tensor_proto([1]))


def another_method(request: Any) -> None:
    request.model_spec.signature_name = "classify"


def another_input(request: Any) -> None:
    request.inputs["more"].CopyFrom(request.inputs["text"])


def nothing(request: Any) -> None:
    request.inputs["text"].CopyFrom(tf.make_tensor_proto([], tf.string, [0]))


def no_vector(request: Any) -> None:
    request.inputs["text"].CopyFrom(tf.make_tensor_proto([["a"]]))


def no_record(folder: Path) -> None:
    (folder / FILE).write_bytes(b"not a record")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (too_many, "more than 1000"),
        (another_signature, "request 1 to none"),
        (no_record, "not a TFRecord"),
        (a_request(another_type), "text is int32, not string"),
        (a_request(another_method), "asked by tensorflow/serving/predict"),
        (a_request(another_input), "gives ['more', 'text'], not ['text']"),
        (a_request(nothing), "holds no row"),
        (a_request(no_vector), "to serving_default: "),  # only the graph itself notices
    ],
)
@pytest.mark.usefixtures("here")
def test_warmup_requests_that_would_stop_the_server(
    model: Path, change: Callable[[Path], None], says: str
) -> None:
    change(model)
    rows = check_contract(model).rows
    assert status(rows, "failed") == ["warmup replays"]
    assert says in found(rows, "warmup replays")


def test_a_budget_that_is_not_kept(model: Path) -> None:
    kept = check_contract(model, budget=Budget(latency="60s", memory="100GB")).rows
    assert status(kept, "failed") == []
    assert status(kept, "skipped") == ["loads elsewhere"]
    rows = check_contract(model, budget=Budget(latency="0.001ms", memory="0MB")).rows
    assert status(rows, "failed") == ["latency", "memory"]
    assert "1 of 20 more than" in found(rows, "latency")


@pytest.mark.usefixtures("here")
def test_a_newer_server_has_what_an_older_one_lacks(model: Path) -> None:
    edit(model, too_new)
    assert status(check_contract(model, server="2.20").rows, "failed") == ["server operations"]
    assert check_contract(model, server="2.21.1").holds
    with pytest.raises(UserError, match="not a release"):
        check_contract(model, server="1.15")


def test_another_interpreter_loads_it_too(model: Path) -> None:
    rows = check_contract(model, python=Path(sys.executable)).rows
    assert status(rows, "failed") == []
    assert f"TensorFlow {tf.__version__}" in found(rows, "loads elsewhere")
    with pytest.raises(UserError, match="no such interpreter"):
        check_contract(model, python=Path("nowhere/python"))


@pytest.mark.slow
@pytest.mark.skipif(OLD not in os.environ, reason=f"{OLD} names no interpreter with TensorFlow")
def test_an_old_interpreter_answers_the_same(model: Path) -> None:
    proof = check_contract(model, python=Path(os.environ[OLD]))
    assert status(proof.rows, "failed") == []
    assert "requests as here" in found(proof.rows, "loads elsewhere")


def test_another_tensorflow_that_answers_otherwise(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ask(folder: Path, job: dict[str, Any], python: Path | None = None) -> dict[str, Any]:
        said = {"tensorflow": "1.0", **session.serve(str(folder), job)}
        if python:
            said["answers"][1]["scores"][2][0] += 2e-4
        return said

    monkeypatch.setattr(running_rules, "ask", ask)
    monkeypatch.setattr(session, "SECONDS", 0.0)
    rows = check_contract(model, python=Path(sys.executable)).rows
    assert status(rows, "failed") == ["loads elsewhere"]
    assert "TensorFlow 1.0 answers otherwise" in found(rows, "loads elsewhere")


def test_an_interpreter_without_tensorflow_fails_one_rule(model: Path, tmp_path: Path) -> None:
    venv.create(tmp_path / "bare", symlinks=True)
    rows = check_contract(model, python=tmp_path / "bare" / "bin" / "python").rows
    assert status(rows, "failed") == ["loads elsewhere"]
    assert "No module named 'tensorflow'" in found(rows, "loads elsewhere")


def test_the_command_says_what_was_asked_and_measured(model: Path) -> None:
    said = textmill("check", str(model), "--server", "2.12", "--latency", "60s")
    assert said.returncode == 0, said.stdout + said.stderr
    assert "TensorFlow Serving 2.12 has all" in said.stdout
    assert "19 of 20 texts take 60s at most" in said.stdout
    assert "beside TensorFlow's own" in said.stdout
    said = textmill("check", str(model), "--memory", "0MB", "--json")
    assert said.returncode == 1
    failed = [row for row in json.loads(said.stdout) if row["status"] == "failed"]
    assert [row["rule"] for row in failed] == ["memory"]


@pytest.mark.slow
def test_an_export_of_keras_hub_fails_the_rules_that_it_breaks(tmp_path: Path) -> None:
    """A classifier on token ids, as `model.export` of Keras writes it."""
    import keras_hub

    backbone = keras_hub.models.BertBackbone(
        vocabulary_size=4000, num_layers=1, num_heads=2, hidden_dim=64, intermediate_dim=64,
        max_sequence_length=16,
    )  # fmt: skip
    network = keras_hub.models.BertTextClassifier(backbone, num_classes=2, preprocessor=None)
    network.export(str(tmp_path / "1"), format="tf_saved_model", verbose=False)
    rows = check_contract(tmp_path).rows
    assert status(rows, "failed") == KERAS_HUB
    assert all(row.fix for row in rows if row.status == "failed")


KERAS_HUB = [
    "signature serving_default",
    "signature classify",
    "raw text",
    "server operations",
    "weights stored once",
]
