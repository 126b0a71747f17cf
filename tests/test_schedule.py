from __future__ import annotations

import numpy as np
import pytest

from textmill.models.schedule import adamw, linear


@pytest.mark.parametrize(("warmup", "total"), [(0, 10), (3, 10), (10, 10), (1, 1)])
def test_the_learning_rate_is_a_straight_line_up_and_one_down(warmup: int, total: int) -> None:
    corners = ([0, warmup, total], [0, 5e-5, 0]) if warmup else ([0, total], [5e-5, 0])
    for step in range(total):
        found = float(linear(step, peak=5e-5, warmup=warmup, total=total))
        assert found == pytest.approx(np.interp(step, *corners), abs=1e-11)


def test_it_stays_at_zero_beyond_the_end() -> None:
    assert float(linear(99, peak=1.0, warmup=1, total=10)) == 0.0


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
    fused = adamw(ours, peak=rate, warmup=0, total=40, weight_decay=0.1)
    fused.build(ours.trainable_variables)
    random = np.random.default_rng(0)

    @tf.function
    def step(rows: tf.Tensor, values: tf.Tensor, others: list[tf.Tensor]) -> None:
        slices = tf.IndexedSlices(values, rows, (20, 4))
        fused.apply([slices, *others], ours.trainable_variables)
        plain.apply([tf.convert_to_tensor(slices), *others], theirs.trainable_variables)

    for _ in range(30):
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
    optimizer = adamw(model, peak=1.0, warmup=0, total=10, weight_decay=0.5)
    before = {v.name: v.numpy() for v in model.trainable_variables}
    for weight in model.trainable_variables:
        weight.assign(weight + 1)
    optimizer.apply([0 * v for v in model.trainable_variables], model.trainable_variables)
    after = {v.name: v.numpy() for v in model.trainable_variables}
    for name in ("bias", "gamma", "beta"):
        np.testing.assert_array_equal(after[name], before[name] + 1)
    np.testing.assert_allclose(after["kernel"], (before["kernel"] + 1) * 0.5, rtol=1e-6)
