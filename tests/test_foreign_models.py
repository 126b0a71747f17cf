"""Models that Textmill did not make get a row for what a server would trip over."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf

from textmill.serving.contract import check_contract
from textmill.serving.rows import Row
from tiny_models import edit

TEXTS = [tf.TensorSpec([None], tf.string)]


class Classifier(tf.Module):
    """Two classes by the length of a text, as anybody might write it; it keeps the contract."""

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="text")])
    def default(self, text: tf.Tensor) -> dict[str, Any]:
        scores = self.scores(text)
        return {"scores": scores, "label": tf.gather(["a", "b"], tf.argmax(scores, 1))}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="inputs")])
    def classify(self, inputs: tf.Tensor) -> dict[str, Any]:
        feature = {"text": tf.io.FixedLenFeature([], tf.string)}
        scores = self.scores(tf.io.parse_example(inputs, feature)["text"])
        return {"scores": scores, "classes": tf.tile([["a", "b"]], [tf.shape(scores)[0], 1])}

    def scores(self, text: tf.Tensor) -> tf.Tensor:
        length = tf.cast(tf.strings.length(text), tf.float32)
        return tf.nn.softmax(tf.stack([length, tf.ones_like(length)], 1) / 100)


def ragged(text: tf.Tensor) -> dict[str, Any]:
    words = tf.strings.split(text)
    return {"words": words, "lengths": tf.strings.length(words).to_sparse()}


def half(text: tf.Tensor) -> dict[str, Any]:
    return {"length": tf.cast(tf.strings.length(text), tf.bfloat16)}


def total(text: tf.Tensor) -> dict[str, Any]:
    return {"count": tf.size(text)}


def compiled(text: tf.Tensor) -> dict[str, Any]:
    square = tf.function(lambda x: x * x, jit_compile=True)
    return {"square": square(tf.strings.length(text))}


def reads(text: tf.Tensor) -> dict[str, Any]:
    file = tf.io.read_file(tf.constant("/etc/vocabulary"))
    return {"joined": tf.strings.join([text, tf.fill([tf.size(text)], file)])}


def binary(text: tf.Tensor) -> dict[str, Any]:
    return {"text_bytes": text}


def written(folder: Path, third: Callable[..., Any] | None = None) -> Path:
    """Writes the model with one signature more, which may break a rule."""
    module = Classifier()
    signatures = {"serving_default": module.default, "classify": module.classify}
    if third:
        module.third = signatures["third"] = tf.function(third, input_signature=TEXTS)
    tf.saved_model.save(module, str(folder / "1"), signatures=signatures)

    def name_method(meta: Any) -> None:
        meta.signature_def["classify"].method_name = "tensorflow/serving/classify"

    edit(folder / "1", name_method)
    return folder


def failed(rows: list[Row]) -> dict[str, str]:
    return {row.rule: row.found for row in rows if row.status == "failed"}


def test_a_classifier_of_somebody_elses_passes(tmp_path: Path) -> None:
    proof = check_contract(written(tmp_path))
    assert failed(proof.rows) == {}
    assert proof.measured["latency_ms"]["p50"] > 0


@pytest.mark.parametrize(
    ("third", "rule", "says"),
    [
        (ragged, "types for REST", "third: words is ragged or sparse"),
        (half, "types for REST", "third: length is bfloat16"),
        (total, "free batch", "third: count is int32 []"),
        (compiled, "no Python or XLA", "_XlaMustCompile"),
        (reads, "complete by itself", "/etc/vocabulary"),
    ],
)
@pytest.mark.usefixtures("here")
def test_a_signature_that_breaks_one_rule(
    tmp_path: Path, third: Callable[..., Any], rule: str, says: str
) -> None:
    found = failed(check_contract(written(tmp_path, third)).rows)
    assert list(found) == [rule]
    assert says in found[rule]


@pytest.mark.usefixtures("here")
def test_what_comes_back_in_base64_is_said(tmp_path: Path) -> None:
    rows = check_contract(written(tmp_path, binary)).rows
    assert failed(rows) == {}
    (row,) = (row for row in rows if row.rule == "types for REST")
    assert "third: text_bytes comes back in base64" in row.found


@pytest.mark.slow
def test_tokenization_of_tf_text_needs_a_server_that_links_it(tmp_path: Path) -> None:
    import keras_hub

    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "good", "bad", "film"]
    tokenizer = keras_hub.models.BertTokenizer(vocabulary=words, lowercase=True)
    preprocessor = keras_hub.models.BertTextClassifierPreprocessor(tokenizer, sequence_length=16)
    backbone = keras_hub.models.BertBackbone(
        vocabulary_size=len(words),
        num_layers=1,
        num_heads=2,
        hidden_dim=64,
        intermediate_dim=128,
        max_sequence_length=16,
    )
    bare = keras_hub.models.BertTextClassifier(backbone, num_classes=2, preprocessor=None)

    class WithText(tf.Module):
        @tf.function(input_signature=TEXTS)
        def __call__(self, text: tf.Tensor) -> dict[str, tf.Tensor]:
            return {"scores": tf.nn.softmax(bare(preprocessor(text)))}

    module = WithText()
    module.weights = [variable.value for variable in bare.weights]
    signatures = {"serving_default": module.__call__}
    tf.saved_model.save(module, str(tmp_path / "1"), signatures=signatures)
    found = failed(check_contract(tmp_path).rows)
    assert "raw text" not in found
    assert "TFText>RoundRobinTrim (from 2.20)" in found["server operations"]
    # Here TensorFlow stands alone, without the operations of TF Text that a server links.
    assert "not registered" in found["loads and runs"]
    assert "server operations" not in failed(check_contract(tmp_path, server="2.20").rows)
