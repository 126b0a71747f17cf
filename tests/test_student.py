"""A student begins as its teacher's layers, and is as far from it as the formulas say."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np
import pytest
from scipy.special import expit, log_softmax, rel_entr, softmax

from textmill.errors import UserError
from textmill.models import (
    multi_label_classification,
    text_classification,
    text_regression,
    token_classification,
)
from textmill.models.distillation import Lesson, Taught, agreed
from textmill.models.numerics import Numerics, get_numerics, set_numerics
from textmill.models.student import copy_head, depth, shallow, spread

SMALL = {"num_layers": 4, "num_heads": 2, "hidden_dim": 16, "intermediate_dim": 24}
WORDS = {"vocabulary_size": 50}
KINDS: dict[str, dict[str, Any]] = {
    "AlbertBackbone": {"embedding_dim": 8, "num_groups": 2, **WORDS},
    "BertBackbone": WORDS,
    "DebertaV3Backbone": {"bucket_size": 8, **WORDS},
    "DistilBertBackbone": WORDS,
    "ElectraBackbone": {"embedding_dim": 16, "vocab_size": 50},
    "RobertaBackbone": WORDS,
    "XLMRobertaBackbone": WORDS,
}


def teacher_of(kind: str) -> Any:
    import keras_hub

    made: Any = getattr(keras_hub.models, kind)(**SMALL, **KINDS[kind])
    draw = np.random.default_rng(0)
    for weight in made.weights:  # none of them what a new model would have
        weight.assign(weight + draw.normal(0, 0.1, weight.shape))
    return made


def outputs(backbone: Any) -> Any:
    ids = np.array([[2, 9, 31, 4, 3, 0]], np.int32)
    every = {"token_ids": ids, "padding_mask": ids > 0, "segment_ids": ids * 0}
    return backbone({name: every[name] for name in backbone.input})


@pytest.mark.parametrize("kind", KINDS)
def test_its_layers_begin_as_the_teachers(kind: str) -> None:
    teacher = teacher_of(kind)
    if kind == "BertBackbone":
        set_numerics(teacher, Numerics("relu", 1e-3))
    student = shallow(teacher, 2, dropout=0.2, precision="mixed_bfloat16")
    assert (depth(teacher), depth(student)) == (4, 2)
    assert type(student) is type(teacher)
    assert get_numerics(student) == get_numerics(teacher)
    assert student.dtype_policy.name == "mixed_bfloat16"
    pairs = [(teacher.get_layer(each.name), each) for each in student.layers if each.weights]
    if kind != "AlbertBackbone":
        blocks = student.transformer_layers
        pairs = [(theirs, ours) for theirs, ours in pairs if ours not in blocks]
        pairs += [
            (teacher.transformer_layers[i], block) for i, block in zip((0, 3), blocks, strict=True)
        ]
    compared = 0
    for theirs, ours in pairs:
        for a, b in zip(theirs.get_weights(), ours.get_weights(), strict=True):
            np.testing.assert_array_equal(a, b)
            compared += 1
    assert compared == len(student.get_weights())
    found = outputs(student)
    found = found["sequence_output"] if isinstance(found, dict) else found
    assert np.isfinite(np.asarray(found, np.float32)).all()


@pytest.mark.parametrize("task", [text_classification, token_classification])
def test_it_begins_with_the_head(task: ModuleType) -> None:
    teacher = task.build(teacher_of("RobertaBackbone"), ["a", "b", "c"], dropout=0.0)
    backbone = shallow(teacher.backbone, 3, dropout=0.0, precision="float32")
    student = task.build(backbone, ["a", "b", "c"], dropout=0.0)
    assert not np.array_equal(
        student.get_layer("logits").kernel, teacher.get_layer("logits").kernel
    )
    copy_head(teacher, student)
    heads = ["logits"] + (["pooled_dense"] if task is text_classification else [])
    for name in heads:
        for a, b in zip(
            student.get_layer(name).get_weights(),
            teacher.get_layer(name).get_weights(),
            strict=True,
        ):
            np.testing.assert_array_equal(a, b)


def test_the_layers_that_distilbert_took() -> None:
    assert spread(6, 12) == [0, 2, 4, 7, 9, 11]
    assert spread(12, 12) == list(range(12))
    for layers in range(1, 24):
        found = spread(layers, 24)
        assert len({*found}) == layers
        assert found == sorted(found)


def test_what_is_no_student() -> None:
    import keras

    teacher = teacher_of("BertBackbone")
    for layers in (0, 4, 9):
        with pytest.raises(UserError, match=f"distill.layers = {layers} makes no smaller model"):
            shallow(teacher, layers, dropout=0.0, precision="float32")
    with pytest.raises(UserError, match="does not share out among groups"):
        shallow(teacher_of("AlbertBackbone"), 3, dropout=0.0, precision="float32")
    inputs = keras.Input((3,))
    with pytest.raises(UserError, match="no student can be made of Functional"):
        depth(keras.Model(inputs, inputs))
    for temperature in (0, -1.0, np.inf, np.nan):
        with pytest.raises(UserError, match=rf"distill\.temperature = {temperature}"):
            Lesson(1, temperature=temperature)
    with pytest.raises(UserError, match=r"distill\.label_share = 1\.5"):
        Lesson(1, label_share=1.5)


def taught(kind: str) -> tuple[Taught, Any]:
    """Returns what is to be learned of three rows, the last without a label; and logits."""
    import tensorflow as tf

    draw = np.random.default_rng(1)
    shapes = {"one": (3, 4), "many": (3, 4), "number": (3, 1), "spans": (3, 5, 4)}
    labels = {
        "one": np.array([1, 3, 0], np.int32),
        "many": np.array([[1, 0, 1, 0], [0, 0, 0, 1], [0, 0, 0, 0]], np.float32),
        "number": np.array([0.5, -1, 0], np.float32),
        "spans": np.array([[0, 2, 0, 4, 0], [0, 1, 1, 3, 0], [0, 1, 0, 0, 0]], np.int32),
    }[kind]
    said, logits = (draw.normal(0, 2, shapes[kind]).astype(np.float32) for _ in "ab")
    known = np.array([1, 1, 0], np.float32)
    return Taught(*map(tf.constant, (labels, known, said))), tf.constant(logits)


TASKS: dict[str, ModuleType] = {
    "one": text_classification,
    "many": multi_label_classification,
    "number": text_regression,
    "spans": token_classification,
}


def expected(kind: str, rows: Taught, logits: Any, temperature: float) -> Any:
    said, ours = (np.asarray(each, np.float64) for each in (rows.said, logits))
    if kind == "number":
        return (said - ours)[:, 0] ** 2
    if kind == "many":
        p, q = expit(said / temperature), expit(ours / temperature)
        return temperature**2 * (rel_entr(p, q) + rel_entr(1 - p, 1 - q)).mean(1)
    p, q = softmax(said / temperature, -1), softmax(ours / temperature, -1)
    each = temperature**2 * rel_entr(p, q).sum(-1)
    if kind == "one":
        return each
    begins = np.asarray(rows.labels) > 0
    return np.array([row[there].mean() for row, there in zip(each, begins, strict=True)])


@pytest.mark.parametrize("kind", TASKS)
def test_the_loss_is_what_scipy_says(kind: str) -> None:
    rows, logits = taught(kind)
    task = TASKS[kind]
    alone = np.asarray(task.loss(rows.labels, logits))
    for temperature, share in ((1.0, 0.0), (2.0, 0.3), (5.0, 1.0)):
        soft = expected(kind, rows, logits, temperature)
        found = Lesson(1, temperature, share).loss(task.LABELS, task.loss)(rows, logits)
        wanted = (1 - share) * soft + share * alone
        wanted[2] = soft[2]  # which has no label
        np.testing.assert_allclose(found, wanted, rtol=2e-5)
        same = Lesson(1, temperature, 0.0).loss(task.LABELS, task.loss)(rows, rows.said)
        np.testing.assert_allclose(same, 0, atol=1e-6)


def test_gradients_are_as_long_at_any_temperature() -> None:
    """Of logits that are small beside it: https://arxiv.org/abs/1503.02531, equation 4."""
    import tensorflow as tf

    rows, logits = taught("one")
    said = rows.said * 0.01
    lengths = []
    for temperature in (1.0, 10.0):
        loss = Lesson(1, temperature, 0.0).loss("one", text_classification.loss)
        with tf.GradientTape() as tape:
            tape.watch(logits)
            total = tf.reduce_sum(loss(rows._replace(said=said), logits * 0.01))
        lengths.append(float(tf.norm(tape.gradient(total, logits))))
    assert lengths[0] == pytest.approx(lengths[1], rel=0.05)


@pytest.mark.parametrize("kind", TASKS)
def test_agreement(kind: str) -> None:
    rows, logits = taught(kind)
    found = agreed(TASKS[kind], rows, logits)
    said, ours = np.asarray(rows.said), np.asarray(logits)
    if kind == "number":
        assert found is None
        return
    if kind == "many":
        wanted = ((said > 0) == (ours > 0)).mean(1)
    else:
        hit = said.argmax(-1) == ours.argmax(-1)
        wanted = hit
        if kind == "spans":
            begins = np.asarray(rows.labels) > 0
            wanted = np.array([h[b].mean() for h, b in zip(hit, begins, strict=True)])
    np.testing.assert_allclose(found, wanted.astype(np.float32))
    np.testing.assert_allclose(agreed(TASKS[kind], rows, rows.said), 1)


def test_a_temperature_shows_the_unlikely_labels() -> None:
    """Where the teacher is sure, only a high one tells two students apart by the rest."""
    import tensorflow as tf

    said = tf.constant([[9.0, 1.0, -3.0]])
    rows = Taught(tf.constant([0]), tf.constant([1.0]), said)
    swapped = tf.constant([[9.0, -3.0, 1.0]])
    near, far = (
        float(Lesson(1, t, 0.0).loss("one", text_classification.loss)(rows, swapped)[0])
        for t in (1.0, 4.0)
    )
    assert near < 0.01 < 1 < far
    assert np.isfinite(log_softmax(np.asarray(said))).all()
