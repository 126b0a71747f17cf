from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from textmill.models import text_classification as task
from textmill.models.quick_encoder import quicken
from textmill.models.quick_layers import dropout, tanh_gelu
from textmill.models.task import logits_of


def build(kind: str) -> Any:
    import keras
    import keras_hub

    keras.utils.set_random_seed(0)
    sizes = {"vocabulary_size": 30, "num_layers": 2, "num_heads": 2, "hidden_dim": 16}
    return getattr(keras_hub.models, f"{kind}Backbone")(
        **sizes, intermediate_dim=32, dropout=0.0, max_sequence_length=16
    )


@pytest.mark.parametrize("kind", ["Bert", "DistilBert", "Roberta"])
def test_it_changes_no_logit_and_no_gradient(kind: str) -> None:
    import tensorflow as tf

    from textmill.models.checkpoint import classifier_class

    plain = build(kind)
    stock = classifier_class(plain)(backbone=plain, num_classes=3, dropout=0.0)
    backbone = build(kind)
    ours = task.build(backbone, ["a", "b", "c"], dropout=0.0)
    ours.set_weights(stock.get_weights())
    ids = np.random.default_rng(0).integers(1, 30, (3, 7)).astype(np.int32)
    mask = (np.arange(7) < np.array([[7], [4], [1]])).astype(np.int32)
    found = []
    for model in (ours, stock):
        with tf.GradientTape() as tape:
            logits = logits_of(model, ids * mask, mask)
            loss = tf.reduce_sum(logits**2)
        gradients = tape.gradient(loss, [v.value for v in model.trainable_variables])
        found.append([logits, *map(tf.convert_to_tensor, gradients)])
    assert len(found[0]) > 20
    for a, b in zip(*found, strict=True):
        np.testing.assert_allclose(a, b, atol=2e-5, rtol=1e-4)


def test_other_encoders_are_left_alone() -> None:
    import keras

    assert not quicken(keras.Sequential())


def test_dropout_drops_its_share_and_keeps_the_mean() -> None:
    import tensorflow as tf

    x = tf.ones([301, 333])
    for rate in (0.1, 0.5):
        found = dropout(x, rate, tf.constant([3, 4])).numpy()
        assert (found == 0).mean() == pytest.approx(rate, abs=0.005)
        assert found.mean() == pytest.approx(1, abs=0.01)
        np.testing.assert_allclose(found[found != 0], 1 / (1 - rate), rtol=1e-4)
        # Neighbours, which may share a random number, fall independently of each other.
        both = (found[:, 1:] == 0) & (found[:, :-1] == 0)
        assert both.mean() == pytest.approx(rate**2, abs=0.005)
    again = [dropout(x, 0.1, tf.constant(seed)).numpy() for seed in ([3, 4], [3, 4], [3, 5])]
    assert (again[0] == again[1]).all()
    assert (again[0] != again[2]).any()


def test_each_step_drops_others() -> None:
    import keras_hub

    backbone = keras_hub.models.BertBackbone(
        vocabulary_size=30, num_layers=1, num_heads=2, hidden_dim=16, intermediate_dim=32,
        dropout=0.5, max_sequence_length=16,
    )  # fmt: skip
    assert quicken(backbone)
    ids = np.ones((2, 5), np.int32)
    inputs = {"token_ids": ids, "padding_mask": ids, "segment_ids": 0 * ids}
    first, second = (backbone(inputs, training=True)["pooled_output"] for _ in range(2))
    assert np.abs(np.asarray(first) - np.asarray(second)).max() > 0.01
    calm = [backbone(inputs, training=False)["pooled_output"] for _ in range(2)]
    np.testing.assert_array_equal(*map(np.asarray, calm))


def test_gelu_and_its_gradient_are_keras_own() -> None:
    import keras
    import tensorflow as tf

    x = tf.Variable(np.linspace(-6, 6, 101), dtype=tf.float32)
    found = []
    for function in (tanh_gelu, lambda x: keras.activations.gelu(x, approximate=True)):
        with tf.GradientTape() as tape:
            y = function(tf.convert_to_tensor(x))
        found.append((y.numpy(), tape.gradient(y, x).numpy()))
    for a, b in zip(*found, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)
