from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from textmill.models.schedule import adamw, learning_rate

DECAYS: list[Any] = ["linear", "cosine", "polynomial", "constant"]


def rates(decay: Any, warmup: float) -> list[float]:
    steps = np.linspace(0, 1, 101)
    return [learning_rate(p, peak=5e-5, warmup=warmup, decay=decay) for p in steps]


@pytest.mark.parametrize("warmup", [0.0, 0.3])
@pytest.mark.parametrize("decay", DECAYS)
def test_the_rate_falls_as_keras_own_schedules_do(decay: Any, warmup: float) -> None:
    import keras

    schedules = keras.optimizers.schedules
    total = 1000.0
    theirs = {
        "linear": schedules.PolynomialDecay(5e-5, total, end_learning_rate=0.0, power=1.0),
        "cosine": schedules.CosineDecay(5e-5, total),
        "polynomial": schedules.PolynomialDecay(5e-5, total, end_learning_rate=0.0, power=2.0),
        "constant": lambda step: 5e-5,
    }[decay]
    for share in (0.0, 0.2, 0.7, 1.0):
        ours = learning_rate(warmup + share * (1 - warmup), peak=5e-5, warmup=warmup, decay=decay)
        assert ours == pytest.approx(float(theirs(share * total)), abs=1e-11)


@pytest.mark.parametrize("decay", DECAYS)
def test_the_warmup_is_a_straight_line(decay: Any) -> None:
    ours = rates(decay, 0.3)[:31]
    np.testing.assert_allclose(ours, np.linspace(0, 5e-5, 31), atol=1e-11)


@pytest.mark.parametrize("decay", DECAYS)
def test_after_the_warmup_it_never_rises_nor_goes_below_zero(decay: Any) -> None:
    after = rates(decay, 0.3)[30:]
    assert all(a >= b >= 0 for a, b in pairwise(after))
    assert learning_rate(1.7, peak=1.0, warmup=0.1, decay="linear") == 0.0


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
    fused = adamw(ours, weight_decay=0.1)
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
    optimizer = adamw(model, weight_decay=0.5)
    optimizer.learning_rate = 1.0
    before = {v.name: v.numpy() for v in model.trainable_variables}
    for weight in model.trainable_variables:
        weight.assign(weight + 1)
    optimizer.apply([0 * v for v in model.trainable_variables], model.trainable_variables)
    after = {v.name: v.numpy() for v in model.trainable_variables}
    for name in ("bias", "gamma", "beta"):
        np.testing.assert_array_equal(after[name], before[name] + 1)
    np.testing.assert_allclose(after["kernel"], (before["kernel"] + 1) * 0.5, rtol=1e-6)
