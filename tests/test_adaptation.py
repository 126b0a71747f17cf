"""What learns, how far, and what a label counts."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from huggingface_models import KINDS, named, rows
from test_training import learn, losses
from textmill.artifact import Model, Tokens, write_json
from textmill.components.tokenize import tokenize
from textmill.components.train import train
from textmill.errors import UserError
from textmill.models import (
    multi_label_classification,
    text_regression,
    token_classification,
)
from textmill.models import text_classification as task
from textmill.models.adaptation import class_weights, copy_merged, restrict, smoothed
from textmill.models.batches import dataset
from textmill.models.checkpoint import load_backbone
from textmill.models.heads import load_head, served_labels, task_of
from textmill.models.preset import Preset
from textmill.models.rows import read_rows
from textmill.models.scoring import score
from textmill.models.settings import Settings
from textmill.models.task import logits_of
from textmill.testing import check_component, tiny_reviews
from tiny_examples import SCRATCH, empty, make_examples, review_examples

ONE_STEP = {
    "epochs": 1,
    "batch_size": 1000,
    "warmup": 0.0,
    "decay": "constant",
    "weight_decay": 0.0,
}


@pytest.fixture(scope="module")
def tokens(tmp_path_factory: pytest.TempPathFactory) -> Tokens:
    folder = tmp_path_factory.mktemp("tokens")
    made = empty(Tokens, folder / "tokens")
    tokenize(made, review_examples(folder / "made", rows=120), preset=SCRATCH, max_length=32)
    return made


def moved(tokens: Tokens, folder: Path, **settings: Any) -> dict[str, float]:
    """Returns how far each weight has gone from where it began, at most, by its path."""
    import keras

    from textmill.models.learner import Learner

    keras.utils.set_random_seed(0)  # as that of the settings is
    first = Learner(tokens, SCRATCH, task, 0.0, Settings()).plain()
    begun = {v.path: v.numpy() for v in first.trainable_variables}
    model = learn(tokens, folder, **{**ONE_STEP, **settings}).model
    return {v.path: float(abs(v.numpy() - begun[v.path]).max()) for v in model.weights}


def test_a_frozen_encoder_stays_as_it_is(tokens: Tokens, tmp_path: Path) -> None:
    far = moved(tokens, tmp_path, freeze=True)
    assert {path for path, way in far.items() if way} == {"logits/kernel", "logits/bias"}


def test_lora_moves_queries_and_values_alone(tokens: Tokens, tmp_path: Path) -> None:
    far = moved(tokens, tmp_path, lora_rank=2, epochs=3, batch_size=16)
    went = {"/".join(path.split("/")[-2:]) for path, way in far.items() if way}
    assert went == {f"{a}/{b}" for a in ("query", "value", "logits") for b in ("kernel", "bias")}


def test_what_lora_learned_is_in_the_saved_model(tokens: Tokens) -> None:
    settings = Settings(
        epochs=2, batch_size=16, learning_rate=1e-2, lora_rank=2, seed=3, precision="float32"
    )
    made = check_component(train, tokens, preset=SCRATCH, settings=settings)
    loaded = task.load(made.path)
    assert not any("lora" in v.path for v in loaded.weights)
    held_out = read_rows(tokens, "validation")
    found = []
    for i in range(len(held_out)):
        ids = held_out.token_ids[held_out.starts[i] : held_out.starts[i + 1]][None]
        found.append(np.asarray(logits_of(loaded, ids, np.ones_like(ids)))[0])
    with (made.path / "history.csv").open(encoding="utf-8", newline="") as file:
        losses = [float(row["val_loss"]) for row in csv.DictReader(file)]
    figures = task.metrics(held_out.labels, np.array(found), tokens.info()["labels"])
    assert min(abs(figures["loss"] - loss) for loss in losses) < 1e-4


def tokens_of(kind: str, folder: Path) -> Tokens:
    """Tiny reviews with labels of another kind: which things are praised, where, or how long."""
    labelled = []
    for text in review_texts(folder):
        things = [thing for thing in ("plot", "cast", "music", "pace") if thing in text]
        at = [(text.index(thing), text.index(thing) + len(thing)) for thing in things]
        label = {
            "many": "|".join(things),
            "spans": json.dumps([[*place, "thing"] for place in at]),
            "number": str(len(text)),
        }
        labelled.append((text, label[kind]))
    made = make_examples(folder / "examples", train=labelled[:80], validation=labelled[80:])
    write_json(made.path / "schema.json", {**made.schema(), "labels": kind})
    tokens = empty(Tokens, folder / "tokens")
    tokenize(tokens, made, preset=SCRATCH, max_length=32)
    return tokens


def review_texts(folder: Path) -> list[str]:
    with tiny_reviews(folder, 120).open(encoding="utf-8", newline="") as file:
        return [row["text"] for row in csv.DictReader(file)]


@pytest.mark.parametrize("other", [multi_label_classification, token_classification])
def test_what_lora_learned_of_other_labels_is_in_the_saved_model(
    other: Any, tmp_path: Path
) -> None:
    tokens, made = tokens_of(other.LABELS, tmp_path), empty(Model, tmp_path / "model")
    settings = Settings(
        epochs=2, batch_size=16, learning_rate=1e-2, lora_rank=2, precision="float32"
    )
    train(made, tokens, preset=SCRATCH, task=other, settings=settings)
    loaded = other.load(made.path)
    assert not any("lora" in v.path for v in loaded.weights)
    figures = other.metrics(
        *score(loaded, read_rows(tokens, "validation")), tokens.info()["labels"]
    )
    with (made.path / "history.csv").open(encoding="utf-8", newline="") as file:
        history = [float(row["val_loss"]) for row in csv.DictReader(file)]
    # The model that had the matrices beside its own was validated with these losses.
    assert min(abs(figures["loss"] - loss) for loss in history) < 1e-4
    assert history[0] != pytest.approx(history[1], abs=1e-3)


@pytest.mark.parametrize("head", ["one", "tags"])
@pytest.mark.parametrize("kind", KINDS)
def test_lora_of_every_kind_merges_into_equal_logits(kind: str, head: str, theirs: Path) -> None:
    preset = Preset(str(theirs / named(kind, head)))
    other, names = task_of(preset), served_labels(preset)

    def build(**learns: Any) -> Any:
        backbone = load_backbone(preset, vocabulary_size=0, dropout=0.1)
        restrict(backbone, **learns)
        model = other.build(backbone, names, dropout=0.1)
        load_head(model, preset)
        return model

    adapted, plain = build(frozen=False, lora_rank=2), build(frozen=False, lora_rank=None)
    before = np.asarray(logits_of(plain, *rows(kind)))
    added = [v for v in adapted.trainable_variables if "lora" in v.path]
    shared = kind == "albert"  # one layer, which it runs through twice
    assert len(added) == (4 if shared else 8)
    random = np.random.default_rng(0)
    for variable in adapted.trainable_variables:
        variable.assign_add(random.normal(size=variable.shape) * 0.1)
    wanted = np.asarray(logits_of(adapted, *rows(kind)))
    copy_merged(adapted, plain)
    found = np.asarray(logits_of(plain, *rows(kind)))
    np.testing.assert_allclose(found, wanted, atol=1e-4)
    assert abs(wanted - before).max() > 0.01
    assert not any("lora" in v.path for v in plain.weights)

    frozen = build(frozen=True, lora_rank=None)
    heads = {"logits", "pooled_dense"}
    assert {v.path.split("/")[-2] for v in frozen.trainable_variables} <= heads
    assert frozen.trainable_variables


@pytest.mark.parametrize("kind", ["many", "spans", "number"])
def test_settings_that_make_no_sense_for_a_task_are_told(kind: str, tmp_path: Path) -> None:
    other = {
        "many": multi_label_classification,
        "spans": token_classification,
        "number": text_regression,
    }[kind]
    tokens = tokens_of(kind, tmp_path)
    with pytest.raises(
        UserError,
        match=r"class_weights are for rows with one label each.*\n.*\n.*"
        rf"{other.NAME}",
    ):
        learn(tokens, tmp_path / "a", task=other, class_weights="balanced")
    if kind == "number":
        with pytest.raises(UserError, match=r"label_smoothing: a number can't be smoothed"):
            learn(tokens, tmp_path / "b", task=other, label_smoothing=0.1)


def test_lower_layers_take_smaller_steps(tokens: Tokens, tmp_path: Path) -> None:
    """The first step of Adam is as long as the learning rate, whatever the gradient."""
    far = moved(tokens, tmp_path, learning_rate=1e-3, layer_decay=0.5)
    ways: dict[str, list[float]] = {}
    for path, way in far.items():
        ways.setdefault(path.split("/")[0], []).append(way)
    for layer, share in (
        ("logits", 1.0),
        ("pooled_dense", 1.0),
        ("transformer_layer_1", 0.5),
        ("transformer_layer_0", 0.25),
        ("token_embedding", 0.125),
    ):
        assert max(ways[layer]) == pytest.approx(share * 1e-3, rel=0.1), layer


def test_label_smoothing_is_keras_own() -> None:
    import keras
    import tensorflow as tf

    labels = np.array([0, 2, 1, 2], np.int32)
    logits = np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32)
    found = smoothed(task.loss, 0.2, "one", 3)(tf.constant(labels), tf.constant(logits))
    wanted = keras.losses.categorical_crossentropy(
        np.eye(3)[labels], logits, from_logits=True, label_smoothing=0.2
    )
    np.testing.assert_allclose(found, wanted, atol=1e-6)


def test_balanced_weights_are_scikit_learns() -> None:
    from sklearn.utils.class_weight import compute_class_weight

    labels = np.array([0, 0, 0, 1, 2, 2], np.int32)
    wanted = compute_class_weight("balanced", classes=np.arange(3), y=labels)
    np.testing.assert_allclose(class_weights("balanced", ["a", "b", "c"], labels), wanted)
    found = class_weights({"b": 3.0}, ["a", "b", "c"], labels)
    np.testing.assert_array_equal(found, [1, 3, 1])
    with pytest.raises(UserError, match="did you mean spam"):
        class_weights({"spamm": 2.0}, ["ham", "spam"], labels)


def test_a_batch_is_the_weighted_mean_of_its_rows(tokens: Tokens) -> None:
    every, weights = read_rows(tokens, "train"), np.array([1.0, 3.0], np.float32)
    batch = np.arange(10)
    each = weights[every.labels]
    counts = each[batch]
    for pieces in (1, 3):
        given = dataset(every, [batch], ["token_ids"], pieces=pieces, weights=each)
        found = np.concatenate([np.asarray(w) for _, _, w in given])
        np.testing.assert_allclose(found, counts / counts.sum(), rtol=1e-6)


def test_settings_act(tokens: Tokens, tmp_path: Path) -> None:
    plain = losses(learn(tokens, tmp_path / "plain", epochs=1))
    for number, settings in enumerate(
        ({"label_smoothing": 0.2}, {"class_weights": {"pos": 5.0}}, {"layer_decay": 0.8})
    ):
        found = losses(learn(tokens, tmp_path / str(number), epochs=1, **settings))
        assert found != plain, settings
