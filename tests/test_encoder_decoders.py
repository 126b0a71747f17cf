"""Encoder-decoders in training: the numbers of transformers and of KerasHub's own layers."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bart_models import VOCABULARY, make, pairs
from textmill.errors import UserError
from textmill.models import seq2seq
from textmill.models.encoder_decoders import load_encoder_decoder
from textmill.models.pair_batches import bucketed, pair_rows, source_lengths
from textmill.models.preset import Preset, Scratch
from textmill.models.rows import Rows


@pytest.fixture(scope="module")
def theirs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("bart"))


def loaded(folder: Path, **more: Any) -> Any:
    return load_encoder_decoder(Preset(str(folder)), vocabulary_size=0, dropout=0.0, **more)


def batch() -> dict[str, Any]:
    """Returns all pairs as one padded batch."""
    rows = [source + target for source, target in pairs()]
    starts = np.cumsum([0, *map(len, rows)])
    labels = [i >= len(source) for source, target in pairs() for i in range(len(source + target))]
    given = Rows(
        np.concatenate(rows).astype(np.int32),
        starts,
        np.array(labels, np.int32),
        np.arange(len(rows)),
        "spans",
    )
    sources = source_lengths(given)
    assert sources.tolist() == [len(source) for source, _ in pairs()]
    return pair_rows(given, sources, np.arange(len(rows)))


def expected(folder: Path, smoothing: float) -> Any:
    found = []
    logits = json.loads((folder / "logits.json").read_text())
    for (_, target), each in zip(pairs(), logits, strict=True):
        said = np.array(each, np.float64)
        said -= np.log(np.exp(said).sum(-1, keepdims=True))
        right = -said[np.arange(len(target) - 1), target[1:]]
        found.append((1 - smoothing) * right - smoothing * said[:-1].mean(-1))
    return np.concatenate(found)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("most", [None, 5 * VOCABULARY])
def test_losses_of_bart_are_those_of_transformers(
    smoothing: float, most: int | None, theirs: Path
) -> None:
    model = seq2seq.build(loaded(theirs), smoothing=smoothing, most_logits=most)
    given = batch()
    found = model(given, training=True).numpy()
    assert not found[given["target"] < 0].any()
    wanted = expected(theirs, smoothing)
    assert np.ptp(wanted) > 1
    np.testing.assert_allclose(found[given["target"] >= 0], wanted, atol=1e-4)


@pytest.mark.parametrize("kind", ["bart", "new"])
def test_gradients_are_those_of_keras_hub(kind: str, theirs: Path) -> None:
    """Of KerasHub's own layers, each pair by itself."""
    import keras
    import tensorflow as tf

    size = Scratch("tiny", lowercase=False, tokenizer="bpe")
    new = load_encoder_decoder(size, vocabulary_size=VOCABULARY, dropout=0.0)
    backbone = new if kind == "new" else loaded(theirs)
    variables = [v.value for v in backbone.trainable_variables]
    model = seq2seq.build(backbone)
    with tf.GradientTape() as tape:
        total = tf.reduce_sum(tf.function(lambda x: model(x, training=True))(batch()))
    found = [tf.convert_to_tensor(g).numpy() for g in tape.gradient(total, variables)]
    lm = seq2seq.task_class(backbone)(backbone=backbone)
    with tf.GradientTape() as tape:
        again = tf.constant(0.0)
        for source, target in pairs():
            read, written = tf.constant([source]), tf.constant([target[:-1]])
            logits = lm(
                {
                    "encoder_token_ids": read,
                    "encoder_padding_mask": tf.ones_like(read),
                    "decoder_token_ids": written,
                    "decoder_padding_mask": tf.ones_like(written),
                }
            )
            wanted = tf.constant([target[1:]])
            each = keras.losses.sparse_categorical_crossentropy(wanted, logits, from_logits=True)
            again += tf.reduce_sum(each)
    assert float(total) == pytest.approx(float(again), rel=1e-5)
    for ours, grad in zip(found, tape.gradient(again, variables), strict=True):
        wanted = tf.convert_to_tensor(grad).numpy()
        np.testing.assert_allclose(ours, wanted, atol=2e-4 * max(1, np.abs(wanted).max()))


def test_a_keras_folder_of_it_is_the_same(theirs: Path, tmp_path: Path) -> None:
    before = loaded(theirs)
    before.save_to_preset(str(tmp_path / "keras"))
    after = loaded(tmp_path / "keras")
    for ours, its in zip(after.weights, before.weights, strict=True):
        np.testing.assert_array_equal(ours.numpy(), its.numpy())


@pytest.mark.parametrize(
    ("changed", "match"),
    [
        ({"model_type": "t5"}, "t5 is no encoder-decoder .* T5 comes with a SentencePiece"),
        ({"model_type": "mbart"}, "mbart is no encoder-decoder"),
        ({"scale_embedding": True}, "scale_embedding True is not computed"),
        ({"decoder_layers": 3}, "encoder_layers and decoder_layers"),
        ({"activation_function": "silu"}, "activation_function 'silu' is not computed"),
        ("bias", "its logits have a bias"),
    ],
)
def test_other_models_are_refused(changed: Any, match: str, theirs: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(theirs, tmp_path / "model")
    if changed == "bias":
        from safetensors.numpy import load_file, save_file

        weights = load_file(folder / "model.safetensors")
        weights["final_logits_bias"] = np.full((1, VOCABULARY), 0.5, np.float32)
        save_file(weights, folder / "model.safetensors")
    else:
        config = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps(config | changed))
    with pytest.raises(UserError, match=match):
        loaded(folder)


@pytest.mark.parametrize("tokens", [None, 400])
def test_batches_hold_every_pair_once_and_little_padding(tokens: int | None) -> None:
    random = np.random.default_rng(0)
    sources = random.integers(3, 60, 3000)
    targets = np.maximum(3, sources + random.integers(-8, 9, 3000))
    batches = [
        bucketed(sources, targets, 8, seed=1, epoch=epoch, tokens_per_batch=tokens)
        for epoch in (0, 0, 1)
    ]
    assert all(np.array_equal(a, b) for a, b in zip(batches[0], batches[1], strict=True))
    assert not all(np.array_equal(a, b) for a, b in zip(batches[0], batches[2], strict=False))
    held = total = 0
    for batch in batches[0]:
        for lengths in (sources[batch], targets[batch]):
            held, total = held + lengths.sum(), total + lengths.max() * len(batch)
        assert (
            tokens is None or len(batch) * (sources[batch].max() + targets[batch].max()) <= tokens
        )
    assert sorted(np.concatenate(batches[0])) == list(range(3000))
    assert held / total > 0.93
