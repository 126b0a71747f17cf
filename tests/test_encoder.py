"""The graph that serves an encoder: the logits of the Keras model, for each family and head."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from exported import asked
from huggingface_models import HEADS, KINDS, named, rows
from textmill.components.adopt import adopt
from textmill.components.export import export
from textmill.encoder_weights import EncoderWeights, count
from textmill.errors import UserError
from textmill.models.checkpoint import load_backbone
from textmill.models.heads import load_head, served_labels, task_of
from textmill.models.preset import Preset
from textmill.models.serving_weights import serving_weights
from textmill.models.task import logits_of
from textmill.run import Run
from textmill.serving.contract import check_contract
from textmill.serving.encoder import Encoder
from textmill.serving.precision import PRECISIONS, Name, Store

SERVED = [kind for kind in KINDS if kind != "deberta-v2"]
SEGMENTS = ("albert", "bert", "electra")


def network(preset: Preset) -> Any:
    names = served_labels(preset)
    backbone = load_backbone(preset, vocabulary_size=0, dropout=0.1)
    made = task_of(preset).build(backbone, names, dropout=0.1)
    load_head(made, preset)
    return made


def weights_of(network: Any, *, pair: bool = False) -> EncoderWeights:
    found = serving_weights(network, pair=pair)
    assert found is not None
    return found


def served(encoder: Encoder, *given: Any) -> Any:
    """Returns logits as a server computes them: traced once, every dimension open."""
    kinds = (tf.int32, tf.bool, tf.int32)
    specs = [tf.TensorSpec([None, None], kind) for kind in kinds]
    call = tf.function(encoder, input_signature=specs, autograph=False)
    return call(*(tf.cast(x, kind) for x, kind in zip(given, kinds, strict=True))).numpy()


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("kind", SERVED)
def test_logits_are_those_of_keras_and_of_transformers(kind: str, head: str, theirs: Path) -> None:
    made = network(Preset(str(theirs / named(kind, head))))
    ids, mask = rows(kind)
    found = served(Encoder(weights_of(made)), ids, mask, np.zeros_like(ids))
    wanted = np.asarray(logits_of(made, ids, mask))
    assert found.dtype == np.float32
    if found.ndim == 3:
        assert (found[mask == 0] == 0).all()
        found, wanted = found[mask > 0], wanted[mask > 0]
    assert np.ptp(wanted, 0).max() > 0.2  # else equal would mean little
    np.testing.assert_allclose(found, wanted, atol=1e-5)
    if head in ("one", "many", "number"):  # their tags have another order
        logits = np.load(theirs / named(kind, head) / "logits.npy")
        np.testing.assert_allclose(found, logits, atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_logits_of_real_weights_are_those_of_keras(precision: str, minilm: Path) -> None:
    from textmill.models import text_classification as task

    backbone = load_backbone(Preset(str(minilm)), vocabulary_size=0, dropout=0.1)
    made = task.build(backbone, ["a", "b"], dropout=0.1)
    made.get_layer("logits").kernel.assign_add(np.random.default_rng(0).normal(0, 0.3, (384, 2)))
    random = np.random.default_rng(0)
    lengths = np.array([2, 11, 170, 256, 37, 90])
    mask = (np.arange(256) < lengths[:, None]).astype(np.int32)
    ids = random.integers(1000, 20000, mask.shape).astype(np.int32) * mask
    found = served(Encoder(weights_of(made), PRECISIONS[precision]), ids, mask, 0 * ids)
    wanted = np.asarray(logits_of(made, ids, mask))
    assert np.ptp(wanted, 0).max() > 0.2
    np.testing.assert_allclose(found, wanted, atol=1e-5 if precision == "float32" else 0.1)


@pytest.mark.parametrize("kind", SEGMENTS)
def test_the_second_of_two_texts_has_its_segment(kind: str, theirs: Path) -> None:
    made = network(Preset(str(theirs / kind)))
    ids, mask = rows(kind)
    segments = ((np.arange(24) > 1) * mask).astype(np.int32)
    encoder = Encoder(weights_of(made, pair=True))
    found = served(encoder, ids, mask, segments)
    np.testing.assert_allclose(found, logits_of(made, ids, mask, segments), atol=1e-5)
    assert np.abs(found - served(encoder, ids, mask, 0 * segments)).max() > 1e-3


@pytest.mark.parametrize("head", ["one", "tags"])
def test_a_row_is_scored_alike_alone_and_in_a_batch(head: str, theirs: Path) -> None:
    encoder = Encoder(weights_of(network(Preset(str(theirs / named("bert", head))))))
    ids, mask = rows("bert")
    together = served(encoder, ids, mask, 0 * ids)
    for row, length in enumerate(mask.sum(1)):
        one = slice(row, row + 1), slice(0, length)
        alone = served(encoder, ids[one], mask[one], 0 * ids[one])
        wanted = together[one] if head == "tags" else together[one[0]]
        np.testing.assert_allclose(alone, wanted, atol=1e-5)
    # What padding holds does not matter, not even that no embedding is there for it.
    strange = np.where(mask > 0, ids, 1 << 20)
    np.testing.assert_array_equal(served(encoder, strange, mask, 0 * ids), together)


def test_padding_may_stand_before_and_between_tokens(theirs: Path) -> None:
    made = network(Preset(str(theirs / "bert-tags")))
    ids, mask = rows("bert")
    holes = mask * (np.random.default_rng(3).random(mask.shape) < 0.6)
    holes[:, -1], holes[:, 0] = 1, 0
    assert (np.diff(holes, axis=1) != 0).sum() > 9
    found = served(Encoder(weights_of(made)), ids, holes, 0 * ids)
    wanted = np.asarray(logits_of(made, ids, holes))
    np.testing.assert_allclose(found[holes > 0], wanted[holes > 0], atol=1e-5)


@pytest.mark.parametrize("head", ["one", "tags"])
@pytest.mark.parametrize("precision", PRECISIONS)
def test_no_rows_give_no_logits(head: str, precision: str, theirs: Path) -> None:
    encoder = Encoder(
        weights_of(network(Preset(str(theirs / named("bert", head))))), PRECISIONS[precision]
    )
    nothing = np.zeros((0, 1), np.int32)
    found = served(encoder, nothing, nothing, nothing)
    assert found.shape == ((0, 1, 5) if head == "tags" else (0, 3))


@pytest.mark.parametrize("kind", SERVED)
def test_bfloat16_halves_the_weights_and_keeps_the_logits_near(kind: str, theirs: Path) -> None:
    weights = weights_of(network(Preset(str(theirs / kind))))
    ids, mask = rows(kind)
    exact = served(Encoder(weights), ids, mask, 0 * ids)
    sizes = {}
    for name, precision in PRECISIONS.items():
        encoder = Encoder(weights, precision)
        sizes[name] = sum(v.dtype.size * int(tf.size(v)) for v in encoder.variables)
        found = served(encoder, ids, mask, 0 * ids)
        assert found.dtype == np.float32
        far = np.abs(found - exact).max() / np.abs(exact).max()
        assert far == 0 if name == "float32" else 1e-5 < far < 0.1
    # Biases and norms stay as they are: in models this small they are a fifth of all. Those of keys
    # change nothing, and those of values are part of others.
    less = sum(2 * len(block.attend.bias) for block in weights.blocks)
    numbers = count(weights._replace(order=(), heads=0, epsilon=0.0)) - less
    assert sizes["float32"] == 4 * numbers
    assert sizes["bfloat16"] == sizes["bfloat16_weights"] < 0.65 * sizes["float32"]


def test_albert_keeps_a_block_once_and_goes_through_it_twice(theirs: Path) -> None:
    weights = weights_of(network(Preset(str(theirs / "albert"))))
    assert (len(weights.blocks), weights.order) == (1, (0, 0))


def test_other_networks_are_left_to_keras(theirs: Path) -> None:
    import keras

    assert serving_weights(network(Preset(str(theirs / "deberta-v2"))), pair=False) is None
    assert serving_weights(keras.Sequential(), pair=False) is None
    made = network(Preset(str(theirs / "bert")))
    assert serving_weights(made, pair=False) is not None
    made.get_layer("logits").activation = keras.activations.softmax
    assert serving_weights(made, pair=False) is None
    half = load_backbone(
        Preset(str(theirs / "bert")), vocabulary_size=0, dropout=0.1, precision="mixed_bfloat16"
    )
    made = task_of(Preset(str(theirs / "bert"))).build(half, ["a", "b"], dropout=0.1)
    assert serving_weights(made, pair=False) is None


@pytest.mark.parametrize("precision", ["bfloat16_weights", "bfloat16", "int8_weights"])
def test_fewer_bits_are_fewer_bytes_and_near_scores(
    precision: Name, theirs: Path, tmp_path: Path
) -> None:
    run = Run(tmp_path / "runs")
    checkpoint = Preset(str(theirs / "text-one"))
    whole = run(adopt, checkpoint=checkpoint)
    plain = run(export, whole)
    saved = run(export, whole, precision=precision)
    manifest = saved.manifest()
    assert manifest["precision"] == precision
    smaller = manifest["parameters"]["bytes"] / plain.manifest()["parameters"]["bytes"]
    assert smaller < (0.35 if precision == "int8_weights" else 0.55)
    proof = check_contract(saved.path)
    assert proof.holds, [row for row in proof.rows if row.status == "failed"]
    scores = [
        asked(made.path, "serving_default", text=["a film", "x"])["scores"]
        for made in (plain, saved)
    ]
    assert scores[1].dtype == np.float32
    assert 0 < abs(scores[0] - scores[1]).max() <= manifest["tolerance"]


@pytest.mark.parametrize("length", [5, 128, 192])
def test_int8_weights_are_the_nearest_whole_numbers_of_each_group(length: int) -> None:
    """Of 64 numbers, or of all where these can't be shared out."""
    value = np.random.default_rng(0).normal(size=(length, 3)).astype(np.float32)
    value[:, 1] = 0
    value[0, 0] = 20  # makes its own group coarse, and no other
    wanted = value.copy()
    for first in range(0, length, 64):
        group = value[first : first + 64]
        step = abs(group).max(0) / 127
        wanted[first : first + 64] = np.rint(group / np.where(step, step, 1)) * step
    store = Store(PRECISIONS["int8_weights"])
    place, look_up = store.matrix(value), store.table(value.T.copy())
    store.close()
    np.testing.assert_allclose(store.read().matrix(place).numpy(), wanted, rtol=1e-6)
    ids = [2, 0]
    np.testing.assert_allclose(look_up(ids), wanted.T[ids], rtol=1e-6)
    assert [v.dtype.name for v in store.variables] == ["int8", "float32"] * 2


def test_a_network_that_keras_serves_has_float32_alone(
    theirs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Run(tmp_path)
    model = run(adopt, checkpoint=Preset(str(theirs / "text-one")))
    monkeypatch.setattr("textmill.components.export.serving_weights", lambda *_, **__: None)
    with pytest.raises(UserError, match="can't be served in bfloat16"):
        run(export, model, precision="bfloat16")
