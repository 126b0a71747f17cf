"""Predictions come in order, for any number of texts, with the scores of the trained model."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count, islice
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from textmill.artifact import read_manifest
from textmill.errors import UserError
from textmill.serving.predictor import WINDOW, Predictor
from tiny_models import SCRIPTS, saved_model


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    base = tmp_path_factory.mktemp("models")
    saved_model(base / "3")
    return base


@pytest.fixture(scope="module")
def predictor(base: Path) -> Predictor:
    return Predictor(base)


def test_predictions_equal_the_golden_rows(predictor: Predictor, base: Path) -> None:
    golden = read_manifest(base / "3")["golden"]
    found = list(predictor(row["text"] for row in golden))
    for prediction, row in zip(found, golden, strict=True):
        assert prediction["text"] == row["text"]
        assert list(prediction["scores"]) == ["neg", "pos"]
        np.testing.assert_allclose(list(prediction["scores"].values()), row["answer"], atol=1e-6)
        assert prediction["label"] == ["neg", "pos"][int(np.argmax(row["answer"]))]
        assert prediction["score"] == max(prediction["scores"].values())


def test_order_is_kept_across_batches_and_windows(predictor: Predictor) -> None:
    texts = [f"{SCRIPTS[i % len(SCRIPTS)]} {i}" for i in range(WINDOW + 100)]
    assert [prediction["text"] for prediction in predictor(texts)] == texts


def test_an_endless_stream_is_read_a_window_at_a_time(predictor: Predictor) -> None:
    taken = 0

    def endless() -> Iterator[str]:
        nonlocal taken
        for taken in count(1):
            yield f"text {taken}"

    assert len(list(islice(predictor(endless()), 10))) == 10
    assert taken == WINDOW


def test_nothing_gives_nothing(predictor: Predictor) -> None:
    assert list(predictor([])) == []


def test_half_a_surrogate_pair_is_a_replacement_character(predictor: Predictor) -> None:
    broken, whole = predictor(["film \ud83d", "film \ufffd"])
    assert broken["scores"] == pytest.approx(whole["scores"])
    assert broken["text"] == "film \ud83d"


def test_a_folder_without_a_model(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no SavedModel"):
        Predictor(tmp_path)


def test_a_model_that_can_not_be_asked(tmp_path: Path) -> None:
    class Twice(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([None], tf.float32)])
        def __call__(self, x: tf.Tensor) -> tf.Tensor:
            return 2 * x

    tf.saved_model.save(Twice(), str(tmp_path / "twice"))
    with pytest.raises(UserError, match=r"(?s)can't be asked.*missing"):
        Predictor(tmp_path / "twice")
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "saved_model.pb").write_bytes(b"\xff\xff")
    with pytest.raises(UserError, match="can't be read"):
        Predictor(tmp_path / "broken")
