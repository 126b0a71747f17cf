"""Warmup requests: what a server asks a new version before it lets clients ask.

Without them the first requests are slow, for TensorFlow optimizes a graph when it first runs. The
file is a TFRecord of `PredictionLog`, https://www.tensorflow.org/tfx/serving/saved_model_warmup.
One record that fails keeps the server from loading the model, so `check` replays them all.
"""

from __future__ import annotations

import base64
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from textmill.serving.heads import CLASSIFY, EXPLAIN, PREDICT, REGRESS, Form

FILE = "assets.extra/tf_serving_warmup_requests"
MOST = 1000  # the server refuses a file with more
SINGLE, MANY, FULL = 4, 8, 32  # texts asked alone, and the sizes of larger batches

Value = str | int | float | Sequence[int]


class Record(NamedTuple):
    """A warmup request.

    Attributes:
        signature: Whom it asks.
        method: The signature's method name.
        tensors: Serialized `TensorProto` of each input in base64; under "" the `tf.train.Example`s.
        kinds: The dtype of each.
        rows: How many rows each has.
    """

    signature: str
    method: str
    tensors: dict[str, str]
    kinds: dict[str, int]
    rows: dict[str, int]


def write_warmup(
    folder: Path,
    wanted: Mapping[str, Form],
    rows: Sequence[Mapping[str, Value]],
    *,
    few: Collection[str] = (EXPLAIN,),
) -> None:
    """Writes warmup requests for every signature: single rows and batches, of short and long rows.

    Equal rows give equal bytes.

    Args:
        folder: A SavedModel.
        wanted: Its signatures.
        rows: Each with a value for every input of the signatures: a text, a number, or token ids,
            which are padded to the longest of a batch with 0. A signature that takes
            `tf.train.Example` has the texts inside; one whose inputs the rows lack is left out.
        few: Signatures that take long, which are asked for the shortest and the longest row alone.
    """
    import tensorflow as tf

    ordered = sorted(rows, key=lambda row: (_size(row), repr(row)))
    (folder / FILE).parent.mkdir(parents=True, exist_ok=True)
    with tf.io.TFRecordWriter(str(folder / FILE)) as writer:
        for name, form in sorted(wanted.items()):
            if form.method == PREDICT and not all(set(form.inputs) <= set(row) for row in rows):
                continue
            for batch in _batches(ordered, few=name in few):
                writer.write(_log(name, form, batch).SerializeToString(deterministic=True))


def _size(row: Mapping[str, Value]) -> int:
    return sum(len(value) for value in row.values() if isinstance(value, Sequence))


def _batches(
    rows: Sequence[Mapping[str, Value]], *, few: bool
) -> list[Sequence[Mapping[str, Value]]]:
    """Returns batches of rows that are sorted by length; a batch too large takes rows again."""
    if not rows:
        return []
    last = len(rows) - 1
    single = [[rows[last * i // (SINGLE - 1)]] for i in range(SINGLE)]
    if few:
        return [single[0], single[-1]]
    cycle = [rows[i % len(rows)] for i in range(max(FULL, len(rows)))]
    return [*single, cycle[:MANY], list(rows[-MANY:]), cycle[:: len(cycle) // FULL][:FULL]]


def _log(name: str, form: Form, rows: Sequence[Mapping[str, Value]]) -> Any:
    import tensorflow as tf
    from tensorflow_serving.apis import prediction_log_pb2

    log = prediction_log_pb2.PredictionLog()
    if form.method == PREDICT:
        request = log.predict_log.request
        for key in form.inputs:
            values = [row[key] for row in rows]
            request.inputs[key].CopyFrom(tf.make_tensor_proto(_array(values, form.inputs[key])))
    else:
        classifies = form.method == CLASSIFY
        request = log.classify_log.request if classifies else log.regress_log.request
        for row in rows:
            features = request.input.example_list.examples.add().features
            for key, value in row.items():
                if isinstance(value, str):
                    features.feature[key].bytes_list.value.append(value.encode())
    request.model_spec.signature_name = name
    return log


def _array(values: Sequence[Value], shape: str) -> Any:
    """Returns an input of a batch: texts or numbers [batch], or ids [batch, time] padded with 0."""
    import numpy as np

    kind, _, dimensions = shape.partition(" ")
    if kind == "string":
        return np.array([v.encode() if isinstance(v, str) else v for v in values], object)
    if dimensions == "[batch]":
        return np.array(values, kind)
    rows = [[*value] for value in values if isinstance(value, Sequence)]
    longest = max(1, *map(len, rows))
    return np.array([[*row, *[0] * (longest - len(row))] for row in rows], kind)


def read_warmup(folder: Path) -> list[Record]:
    """Returns the warmup requests of a SavedModel; [] if it has none.

    Requests of kinds that Textmill does not write (session runs and multi-inference) are left out.

    Raises:
        ValueError: If the server would refuse the file, with the reason.
    """
    import tensorflow as tf
    from google.protobuf.message import DecodeError
    from tensorflow_serving.apis import prediction_log_pb2

    file = folder / FILE
    if not file.is_file():
        return []
    try:
        raw = list(tf.data.TFRecordDataset(str(file)).take(MOST + 1).as_numpy_iterator())
    except tf.errors.DataLossError:
        raise ValueError("it is not a TFRecord, or it is damaged") from None
    if len(raw) > MOST:
        raise ValueError(f"it holds more than {MOST} requests")
    records = []
    for number, message in enumerate(raw, start=1):
        try:
            log = prediction_log_pb2.PredictionLog.FromString(message)
        except DecodeError:
            raise ValueError(f"request {number} is no PredictionLog") from None
        kind = log.WhichOneof("log_type")
        if kind is None:
            raise ValueError(f"request {number} is empty")
        if kind in ("predict_log", "classify_log", "regress_log"):
            records.append(_record(kind, getattr(log, kind).request))
    return records


def _record(kind: str, request: Any) -> Record:
    import tensorflow as tf

    method = {"predict_log": PREDICT, "classify_log": CLASSIFY, "regress_log": REGRESS}[kind]
    if method == PREDICT:
        given = dict(request.inputs)
    else:
        form = request.input.WhichOneof("kind") or "example_list"
        examples = getattr(request.input, form).examples
        if form == "example_list_with_context":
            context = request.input.example_list_with_context.context
            for example in examples:
                for key, value in context.features.feature.items():
                    if key not in example.features.feature:
                        example.features.feature[key].CopyFrom(value)
        serialized = [example.SerializeToString() for example in examples]
        given = {"": tf.make_tensor_proto(serialized, tf.string, [len(serialized)])}
    return Record(
        request.model_spec.signature_name or "serving_default",
        method,
        {key: base64.b64encode(t.SerializeToString()).decode() for key, t in given.items()},
        {key: t.dtype for key, t in given.items()},
        {key: t.tensor_shape.dim[0].size if t.tensor_shape.dim else 0 for key, t in given.items()},
    )
