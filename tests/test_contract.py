"""Each rule of the serving contract fails for a model that breaks that rule, and for no other."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from textmill.artifact import Blessing, Saved
from textmill.components.check import check
from textmill.errors import UserError
from textmill.serving import running_rules, session
from textmill.serving.contract import Row, check_contract
from tiny_models import edit, edit_manifest, mean_of_embeddings, saved_model, tokenizer


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return saved_model(tmp_path_factory.mktemp("good") / "7")


@pytest.fixture
def model(good: Path, tmp_path: Path) -> Path:
    return shutil.copytree(good, tmp_path / "models" / "7")


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Loads models in this process: quicker, where the fresh one is not what is tested."""

    def ask(folder: Path, requests: list[dict[str, Any]]) -> dict[str, Any]:
        try:
            return {"xla": "left alone", "answers": session.answer(str(folder), requests)}
        except Exception as error:
            return {"error": str(error)}

    monkeypatch.setattr(running_rules, "ask", ask)


def status(rows: list[Row], wanted: str) -> list[str]:
    return [row.rule for row in rows if row.status == wanted]


def found(rows: list[Row], rule: str) -> str:
    return next(row.found for row in rows if row.rule == rule)


def test_a_good_model_passes_every_rule(model: Path) -> None:
    rows = check_contract(model)
    assert status(rows, "passed") == [row.rule for row in rows]
    assert len(rows) == 13
    assert "XLA disabled" in found(rows, "loads and runs")


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
            "version folder"
        ]
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


def fix_batch(meta: Any) -> None:
    meta.signature_def["serving_default"].inputs["text"].tensor_shape.dim[0].size = 8


def take_numbers(meta: Any) -> None:
    meta.signature_def["third"].CopyFrom(meta.signature_def["serving_default"])
    meta.signature_def["third"].inputs["text"].dtype = tf.int32.as_datatype_enum


def python_function(meta: Any) -> None:
    function = meta.graph_def.library.function.add()
    function.signature.name = "unused"
    function.node_def.add(name="f", op="EagerPyFunc")


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
        (fix_batch, "free batch", "text is string [8]"),
        (take_numbers, "raw text", "third: text is int32"),
        (python_function, "core operations", "EagerPyFunc"),
        (pin, "no fixed device", "GPU:0"),
    ],
)
@pytest.mark.usefixtures("here")
def test_a_model_that_breaks_one_rule_of_the_graph(
    model: Path, change: Callable[[Any], None], rule: str, says: str
) -> None:
    edit(model, change)
    rows = check_contract(model)
    assert status(rows, "failed") == [rule]
    assert says in found(rows, rule)


@pytest.mark.usefixtures("here")
def test_two_tags_are_not_the_tag_serve(model: Path) -> None:
    edit(model, train_tag)
    rows = check_contract(model)
    assert "meta graph" in status(rows, "failed")
    assert "train" in found(rows, "meta graph")


@pytest.mark.parametrize("name", ["007", "+7"])
@pytest.mark.usefixtures("here")
def test_a_version_with_an_odd_name(model: Path, name: str) -> None:
    rows = check_contract(model.rename(model.with_name(name)))
    assert status(rows, "failed") == ["version folder"]


@pytest.mark.usefixtures("here")
def test_other_scores_than_the_trained_model(model: Path, tmp_path: Path) -> None:
    rows = Saved(model).manifest()["golden"]
    rows[3]["answer"][0] += 2e-5
    edit_manifest(model, golden=rows)
    rows = check_contract(model)
    assert status(rows, "failed") == ["equal to the trained model"]
    assert "differ by up to" in found(rows, "equal to the trained model")
    (model / "assets.extra" / "manifest.json").unlink()
    rows = check_contract(model)
    assert status(rows, "failed") == []
    assert status(rows, "skipped") == ["equal to the trained model"]


@pytest.mark.usefixtures("here")
def test_scores_that_depend_on_the_batch(tmp_path: Path) -> None:
    def logits(token_ids: tf.Tensor, mask: tf.Tensor, segments: tf.Tensor) -> tf.Tensor:
        del mask  # padding counts
        mean = tf.reduce_mean(tf.cast(token_ids, tf.float32), 1)
        return tf.stack([mean, -mean], 1) / 1000

    folder = saved_model(tmp_path / "1", logits=logits)
    edit_manifest(folder, golden=[])
    rows = check_contract(folder)
    assert status(rows, "failed") == ["independent of the batch"]


@pytest.mark.usefixtures("here")
def test_weights_that_are_stored_twice(tmp_path: Path) -> None:
    size = tokenizer(tmp_path / "1.tokenizer.json").get_vocab_size()
    _, more = mean_of_embeddings(size)  # the same numbers in other variables
    folder = saved_model(tmp_path / "1", variables=more)
    edit_manifest(folder, parameters={"bytes": sum(v.numpy().nbytes for v in more)})
    assert status(check_contract(folder), "failed") == ["weights stored once"]
    (folder / "assets.extra" / "manifest.json").unlink()
    assert status(check_contract(folder), "failed") == ["weights stored once"]


def test_an_operation_of_xla_does_not_run(tmp_path: Path) -> None:
    def logits(token_ids: tf.Tensor, mask: tf.Tensor, segments: tf.Tensor) -> tf.Tensor:
        from tensorflow.compiler.tf2xla.python import xla

        del mask
        rows = tf.zeros([tf.shape(token_ids)[0], 2])
        return xla.dynamic_update_slice(rows, tf.zeros([1, 2]), [0, 0])

    rows = check_contract(saved_model(tmp_path / "1", logits=logits))
    assert status(rows, "failed") == ["core operations", "loads and runs"]
    assert "XlaDynamicUpdateSlice" in found(rows, "core operations")


def test_a_truncated_checkpoint_does_not_load(model: Path) -> None:
    (data,) = (model / "variables").glob("variables.data-*")
    data.write_bytes(data.read_bytes()[:1000])
    rows = check_contract(model)
    assert "loads and runs" in status(rows, "failed")
    assert str(model) not in str(rows)


@pytest.mark.usefixtures("here")
def test_a_model_of_somebody_else(tmp_path: Path) -> None:
    class Twice(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([4], tf.float32)])
        def __call__(self, x: tf.Tensor) -> tf.Tensor:
            return 2 * x

    tf.saved_model.save(Twice(), str(tmp_path / "1"))
    rows = check_contract(tmp_path)
    assert set(status(rows, "failed")) == {
        "signature serving_default",
        "signature classify",
        "free batch",
        "raw text",
    }
    assert set(status(rows, "skipped")) == {
        "equal to the trained model",
        "independent of the batch",
        "weights stored once",
    }


@pytest.mark.usefixtures("here")
def test_scores_that_are_not_numbers_are_far(model: Path) -> None:
    golden = Saved(model).manifest()["golden"]
    golden[0]["answer"] = [float("nan"), 1.0]
    edit_manifest(model, golden=golden)
    assert status(check_contract(model), "failed") == ["equal to the trained model"]


def test_a_broken_file_is_rows_not_a_traceback(model: Path) -> None:
    (model / "saved_model.pb").write_bytes(b"\xff" * 50)
    rows = check_contract(model)
    assert status(rows, "failed") == ["meta graph"]
    assert len(rows) == 13


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
    assert status(check_contract(model.parent), "failed") == ["signature serving_default"]
    assert np.array_equal(status(check_contract(model), "failed"), [])
