from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from textmill.models import causal_lm
from textmill.models.decoders import load_decoder
from textmill.models.optimizers import optimizer_of, sides
from textmill.models.preset import Scratch
from textmill.models.schedule import learning_rate
from textmill.models.settings import Settings


def test_weights_move_as_with_keras_own_adamw() -> None:
    """The embedding's gradient is sparse, with repeated rows, for ours, and dense for theirs."""
    import keras
    import tensorflow as tf

    def model() -> keras.Model:
        keras.utils.set_random_seed(3)
        layers = [keras.layers.Embedding(20, 4), keras.layers.LayerNormalization()]
        return keras.Sequential(
            [keras.Input((None,), dtype="int32"), *layers, keras.layers.Dense(3)]
        )

    rate = 1e-2
    ours, theirs = model(), model()
    plain = keras.optimizers.AdamW(
        keras.optimizers.schedules.PolynomialDecay(rate, 40, end_learning_rate=0.0),
        weight_decay=0.1,
    )
    plain.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    plain.build(theirs.trainable_variables)
    fused = optimizer_of(ours, Settings(weight_decay=0.1))
    random = np.random.default_rng(0)

    @tf.function
    def step(rows: tf.Tensor, values: tf.Tensor, others: list[tf.Tensor]) -> None:
        slices = tf.IndexedSlices(values, rows, (20, 4))
        fused.apply([slices, *others], ours.trainable_variables)
        plain.apply([tf.convert_to_tensor(slices), *others], theirs.trainable_variables)

    for done in range(30):
        fused.learning_rate = learning_rate(done / 40, peak=rate, warmup=0, decay="linear")
        values = tf.constant(random.normal(size=(9, 4)), tf.float32)
        others = [tf.constant(random.normal(size=v.shape), tf.float32) for v in ours.weights[1:]]
        step(tf.constant(random.integers(0, 20, 9)), values, others)
    assert len(ours.weights) == 5
    for a, b in zip(ours.weights, theirs.weights, strict=True):
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-4, atol=3e-6, err_msg=a.path)
    assert float(fused.iterations) == 30


def test_norms_and_biases_do_not_decay() -> None:
    import keras

    model = keras.Sequential(
        [keras.Input((4,)), keras.layers.Dense(4), keras.layers.LayerNormalization()]
    )
    optimizer = optimizer_of(model, Settings(weight_decay=0.5))
    optimizer.learning_rate = 1.0
    before = {v.name: v.numpy() for v in model.trainable_variables}
    for weight in model.trainable_variables:
        weight.assign(weight + 1)
    optimizer.apply([0 * v for v in model.trainable_variables], model.trainable_variables)
    after = {v.name: v.numpy() for v in model.trainable_variables}
    for name in ("bias", "gamma", "beta"):
        np.testing.assert_array_equal(after[name], before[name] + 1)
    np.testing.assert_allclose(after["kernel"], (before["kernel"] + 1) * 0.5, rtol=1e-6)


@given(shape=st.lists(st.integers(1, 50), min_size=2, max_size=4))
def test_sides_are_those_of_the_squarest_matrix(shape: list[int]) -> None:
    rows, columns = sides(tuple(shape))
    assert rows * columns == math.prod(shape)
    cuts = [math.prod(shape[:i]) for i in range(1, len(shape))]
    assert rows in cuts
    assert max(rows, columns) == min(max(n, math.prod(shape) // n) for n in cuts)


def test_matrices_move_as_with_keras_own_muon() -> None:
    """Theirs gets kernels of attention as matrices; ours takes them as KerasHub has them."""
    import keras

    scratch = Scratch("tiny", 300, lowercase=False, tokenizer="bpe")
    ours = causal_lm.build(load_decoder(scratch, vocabulary_size=300, dropout=0.0))
    weights = ours.trainable_variables
    assert any(len(v.shape) == 3 for v in weights)

    def alike(v: keras.Variable) -> keras.Variable:
        shape = (-1,) if v.name == "bias" else sides(v.shape) if v.name == "kernel" else v.shape
        return keras.Variable(v.numpy().reshape(shape), name=v.name)

    theirs = [alike(v) for v in weights]
    plain = keras.optimizers.Muon(0.01, weight_decay=0.1, adam_weight_decay=0.1)
    plain.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    optimizer = optimizer_of(ours, Settings(optimizer="muon", weight_decay=0.1))
    optimizer.learning_rate = 0.01
    random = np.random.default_rng(0)
    for _ in range(4):
        moves = [random.normal(size=v.shape).astype("float32") for v in weights]
        optimizer.apply([keras.ops.convert_to_tensor(g) for g in moves], weights)
        parts = zip(moves, theirs, strict=True)
        plain.apply([keras.ops.reshape(g, v.shape) for g, v in parts], theirs)
    for a, b in zip(weights, theirs, strict=True):
        found = a.numpy().reshape(b.shape)
        np.testing.assert_allclose(found, b.numpy(), rtol=1e-4, atol=1e-5, err_msg=a.path)


@pytest.mark.parametrize("still", [{"freeze": True}, {"lora_rank": 4}])
def test_muon_wants_matrices_that_learn(still: dict[str, int]) -> None:
    with pytest.raises(ValueError, match='optimizer = "adamw" where the matrices'):
        Settings(optimizer="muon", **still)  # type: ignore[arg-type]
