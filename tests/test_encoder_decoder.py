"""The served encoder-decoder: the logits of Keras, of many rows a source too."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from textmill.encoder_decoder_weights import EncoderDecoderWeights
from textmill.models.encoder_decoder_serving_weights import encoder_decoder_serving_weights
from textmill.serving.encoder_decoder import EncoderDecoder
from textmill.serving.read import following, prompt

VOCABULARY, LONGEST = 97, 32


def bart() -> Any:
    import keras_hub

    return keras_hub.models.BartBackbone(
        vocabulary_size=VOCABULARY, num_layers=3, num_heads=4, hidden_dim=32, intermediate_dim=64,
        max_sequence_length=LONGEST,
    )  # fmt: skip


def scratch() -> Any:
    from textmill.models.encoder_decoder import EncoderDecoderBackbone

    return EncoderDecoderBackbone(
        vocabulary_size=VOCABULARY, num_layers=3, num_heads=4, hidden_dim=32, intermediate_dim=64
    )


KINDS = {"bart": bart, "scratch": scratch}


def shaken(backbone: Any) -> Any:
    """Gives all weights, norms and biases too, numbers at random."""
    random = np.random.default_rng(0)
    for weight in backbone.weights:
        weight.assign(weight + random.normal(0, 0.15, weight.shape).astype(np.float32))
    return backbone


def weights(backbone: Any) -> EncoderDecoderWeights:
    return encoder_decoder_serving_weights(backbone, longest_source=LONGEST, longest=LONGEST)


def rows(*lengths: int) -> list[list[int]]:
    random = np.random.default_rng(sum(lengths))
    return [random.integers(0, VOCABULARY, n).tolist() for n in lengths]


def served(
    backbone: Any, sources: list[list[int]], targets: list[list[int]], first: int
) -> list[Any]:
    """Returns the logits of each target's tokens from `first` on, read one by one from there."""
    model = EncoderDecoder(weights(backbone), [2])
    network = model.network(tf.ragged.constant(sources, tf.int32))
    begun = [min(first, len(row) - 1) for row in targets]
    padded = tf.ragged.constant([r[:n] for r, n in zip(targets, begun, strict=True)]).to_tensor()
    slots = tf.constant(max(map(len, targets)))
    flat, read = prompt(tf.cast(padded, tf.int32), tf.constant(begun), slots)
    x, caches = network(flat, read, network.caches(tf.constant(len(targets)), slots))
    found = [[each] for each in network.logits(tf.gather(x, np.cumsum(begun) - 1)).numpy()]
    for step in range(max(map(len, targets)) - min(begun)):
        places = [min(n + step, len(row) - 1) for row, n in zip(targets, begun, strict=True)]
        ids = tf.constant([row[place] for row, place in zip(targets, places, strict=True)])
        x, caches = network(ids, following(tf.constant(places), slots), caches)
        for i, logits in enumerate(network.logits(x).numpy()):
            if begun[i] + step < len(targets[i]):
                found[i].append(logits)
    return [np.stack(each) for each in found]


def wanted(backbone: Any, source: list[int], target: list[int]) -> Any:
    """Returns the logits that Keras has, float32 [tokens of the target, vocabulary]."""
    import keras

    inputs = {}
    for half, ids in (("encoder", source), ("decoder", target)):
        inputs[f"{half}_token_ids"] = np.array([ids + [0] * (LONGEST - len(ids))])
        inputs[f"{half}_padding_mask"] = np.arange(LONGEST)[None] < len(ids)
    whole = backbone(inputs)["decoder_sequence_output"]
    return keras.ops.convert_to_numpy(backbone.token_embedding(whole, reverse=True))[
        0, : len(target)
    ]


@pytest.mark.parametrize("kind", KINDS)
def test_logits_equal_keras(kind: str) -> None:
    backbone = shaken(KINDS[kind]())
    sources, targets = rows(LONGEST, 7, 1, 19), rows(11, 24, 9, 2)
    found = served(backbone, sources, targets, 5)
    for source, target, logits in zip(sources, targets, found, strict=True):
        exact = wanted(backbone, source, target)[-len(logits) :]
        assert abs(logits - exact).max() <= 1e-5 * abs(exact).max()


@pytest.mark.parametrize("kind", KINDS)
def test_many_rows_of_a_source_are_as_if_it_were_there_for_each(kind: str) -> None:
    backbone = shaken(KINDS[kind]())
    sources, targets = rows(5, 12), rows(9, 4, 7, 8, 3, 9)
    together = served(backbone, sources, targets, 3)
    for i, logits in enumerate(together):
        alone = served(backbone, [sources[i // 3]], [targets[i]], 3)[0]
        np.testing.assert_allclose(logits, alone, atol=1e-5)


def test_of_a_long_source_the_beginning_is_read() -> None:
    backbone = shaken(bart())
    (source,), target = rows(LONGEST + 9), rows(6)
    found, cut = (served(backbone, [s], target, 2)[0] for s in (source, source[:LONGEST]))
    np.testing.assert_array_equal(found, cut)


def test_another_kind_of_model_is_told() -> None:
    import keras_hub

    from textmill.errors import UserError

    other = keras_hub.models.GPT2Backbone(
        vocabulary_size=VOCABULARY, num_layers=1, num_heads=2, hidden_dim=16, intermediate_dim=32,
        max_sequence_length=LONGEST,
    )  # fmt: skip
    with pytest.raises(UserError, match="GPT2Backbone can't be served yet"):
        weights(other)
