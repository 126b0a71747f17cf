"""What a served encoder-decoder writes: the tokens of transformers, each row on its own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

import seq2seq_models
from seq2seq_models import BEAMS, BEGIN, LONGEST, NEW, WAYS
from textmill.models.encoder_decoder_serving_weights import encoder_decoder_serving_weights
from textmill.serving.defaults import GREEDY, decoded
from textmill.serving.encoder_decoder import EncoderDecoder
from textmill.serving.endings import Endings
from textmill.serving.generation import generate
from textmill.serving.precision import PRECISIONS, Name
from textmill.serving.scoring import score

ROWS = seq2seq_models.sources()


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return seq2seq_models.make(tmp_path_factory.mktemp("seq2seq"))


def model(folder: Path, precision: Name = "float32") -> EncoderDecoder:
    import keras_hub

    backbone = keras_hub.models.Backbone.from_preset(str(folder))
    weights = encoder_decoder_serving_weights(backbone, longest_source=1000, longest=1000)
    return EncoderDecoder(weights, BEGIN, PRECISIONS[precision])


@pytest.fixture(scope="module")
def bart(made: Path) -> EncoderDecoder:
    return model(made)


def ragged(rows: list[list[int]]) -> tf.RaggedTensor:
    return tf.ragged.constant(rows, tf.int32, ragged_rank=1, row_splits_dtype=tf.int64)


def written(
    model: EncoderDecoder, rows: list[list[int]], end: int = 7, **numbers: Any
) -> tuple[list[list[int]], list[int]]:
    """Returns the new tokens of each source, and how many were drawn."""
    how = GREEDY._replace(max_new_tokens=NEW)._replace(**numbers)

    traced = tf.function(
        lambda rows: decoded(*model.begun(rows), how, Endings((end,))), autograph=False
    )
    found, count = traced(ragged(rows))
    return found.to_list(), count.numpy().tolist()


def test_tokens_are_those_of_transformers(made: Path, bart: EncoderDecoder) -> None:
    golden = json.loads((made / "generated.json").read_text())
    end = golden["end"]
    for way, how in (WAYS | BEAMS).items():
        found, count = written(bart, ROWS, end, **how)
        assert found == [[i for i in row if i != end] for row in golden[way]]
        assert count == list(map(len, golden[way]))
    assert golden["greedy"] != golden["late"] != golden["penalty"]
    assert golden["beams"] != golden["long beams"] != golden["greedy"]
    assert len({tuple(row) for row in golden["greedy"]}) == len(ROWS)


def test_a_source_gives_the_same_text_in_any_batch(bart: EncoderDecoder) -> None:
    together, counts = written(bart, ROWS, temperature=1.0, seed=5)
    for i in (0, 3):
        alone = written(bart, [ROWS[i]], temperature=1.0, seed=5)
        assert alone == ([together[i]], [counts[i]])
    assert written(bart, []) == ([], [])
    assert written(bart, [], num_beams=2) == ([], [])


def test_a_text_may_fill_a_row(bart: EncoderDecoder) -> None:
    _, (count,) = written(bart, ROWS[:1], max_new_tokens=500, min_new_tokens=500)
    assert count == LONGEST - 1  # but for the first, which no text has


def test_a_forced_token_is_the_first_of_a_text(bart: EncoderDecoder) -> None:
    _, forced = BEGIN
    wishes = GREEDY.rows(3)._replace(max_new_tokens=tf.constant([0, 1, 2]))
    traced = tf.function(
        lambda rows: generate(*bart.begun(rows), wishes, Endings(())), autograph=False
    )
    found, count = traced(ragged(ROWS[:3]))
    assert count.numpy().tolist() == [0, 1, 2]
    assert [row[:1] for row in found.to_list()] == [[], [forced], [forced]]


def test_continuations_are_as_likely_as_in_transformers(made: Path, bart: EncoderDecoder) -> None:
    wanted = json.loads((made / "generated.json").read_text())["likely"]
    after = seq2seq_models.continuations()
    found, count = score(*bart.begun(ragged(ROWS)), ragged(after))
    assert count.numpy().tolist() == list(map(len, after))
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("precision", ["bfloat16_weights", "bfloat16", "int8_weights"])
def test_fewer_bits_change_little(made: Path, bart: EncoderDecoder, precision: Name) -> None:
    fewer = model(made, precision)
    after = ragged([[4, 9, 8, 60]] * len(ROWS))
    exact, _ = score(*bart.begun(ragged(ROWS)), after)
    near, _ = score(*fewer.begun(ragged(ROWS)), after)
    np.testing.assert_allclose(near, exact, rtol=0.05, atol=0.3)
    assert abs(near - exact).numpy().max() > 1e-5
    assert written(fewer, ROWS)[0][1] == written(fewer, [ROWS[1]])[0][0]
