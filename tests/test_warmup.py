"""Warmup requests are what TensorFlow Serving reads, and cover signatures, batches and lengths."""

from __future__ import annotations

from pathlib import Path

import pytest
import tensorflow as tf
from tensorflow_serving.apis import prediction_log_pb2

from textmill.serving.heads import forms
from textmill.serving.warmup import FILE, MOST, read_warmup, write_warmup

ROWS = [
    {"text": "a" * size, "token_ids": [2, *[7] * size, 3], "padding_mask": [1] * (size + 2)}
    for size in (5, 1, 40, 9, 0)
]


@pytest.fixture(scope="module")
def logs(tmp_path_factory: pytest.TempPathFactory) -> list[prediction_log_pb2.PredictionLog]:
    folder = tmp_path_factory.mktemp("model")
    write_warmup(folder, forms("one", more=["tokens", "explain"]), ROWS)
    records = tf.data.TFRecordDataset(str(folder / FILE)).as_numpy_iterator()
    return [prediction_log_pb2.PredictionLog.FromString(record) for record in records]


def named(
    logs: list[prediction_log_pb2.PredictionLog], name: str
) -> list[prediction_log_pb2.PredictRequest]:
    requests = [log.predict_log.request for log in logs if log.HasField("predict_log")]
    return [request for request in requests if request.model_spec.signature_name == name]


def test_texts_are_asked_alone_and_in_batches_from_the_shortest_to_the_longest(
    logs: list[prediction_log_pb2.PredictionLog],
) -> None:
    texts = [tf.make_ndarray(each.inputs["text"]) for each in named(logs, "serving_default")]
    alone = [len(each[0]) for each in texts if len(each) == 1]
    assert alone == [0, 1, 5, 40]
    assert sorted({len(each) for each in texts}) == [1, 5, 8, 32]
    assert len(logs) <= MOST


def test_classify_has_examples_inside(logs: list[prediction_log_pb2.PredictionLog]) -> None:
    asked = [log.classify_log.request for log in logs if log.HasField("classify_log")]
    first = asked[0].input.example_list.examples[0]
    assert first.features.feature["text"].bytes_list.value == [b""]
    assert {each.model_spec.signature_name for each in asked} == {"classify"}
    assert max(len(each.input.example_list.examples) for each in asked) == 32


def test_ids_are_padded_to_the_longest_of_a_batch(
    logs: list[prediction_log_pb2.PredictionLog],
) -> None:
    batch = max(
        named(logs, "tokens"), key=lambda each: each.inputs["token_ids"].tensor_shape.dim[0].size
    )
    ids, mask = (tf.make_ndarray(batch.inputs[name]) for name in ("token_ids", "padding_mask"))
    assert ids.dtype == mask.dtype == "int32"
    assert ids.shape == mask.shape == (32, 42)
    assert sorted(set(mask.sum(1))) == [2, 3, 7, 11, 42]
    assert not ids[mask == 0].any()


def test_what_is_slow_is_asked_little(logs: list[prediction_log_pb2.PredictionLog]) -> None:
    assert [len(tf.make_ndarray(r.inputs["text"])) for r in named(logs, "explain")] == [1, 1]


def test_equal_rows_give_equal_bytes_in_any_order(tmp_path: Path) -> None:
    files = []
    for name, rows in (("a", ROWS), ("b", ROWS[::-1])):
        (tmp_path / name).mkdir()
        write_warmup(tmp_path / name, forms("number"), rows)
        files.append((tmp_path / name / FILE).read_bytes())
    assert files[0] == files[1]
    assert {record.signature for record in read_warmup(tmp_path / "a")} == {
        "serving_default", "regress",
    }  # fmt: skip


def test_no_file_is_no_requests(tmp_path: Path) -> None:
    assert read_warmup(tmp_path) == []
