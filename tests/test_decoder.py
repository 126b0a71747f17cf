"""The served decoder: the logits of Keras, whatever is read at once, and whatever is beside it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

VOCABULARY = 97


def gpt2() -> Any:
    import keras_hub

    return keras_hub.models.GPT2Backbone(
        vocabulary_size=VOCABULARY, num_layers=3, num_heads=4, hidden_dim=32, intermediate_dim=64,
        max_sequence_length=64,
    )  # fmt: skip


def llama(tied: bool = True, key_heads: int = 2) -> Any:
    import keras_hub

    return keras_hub.models.LlamaBackbone(
        vocabulary_size=VOCABULARY, num_layers=3, num_query_heads=4, hidden_dim=32,
        intermediate_dim=48, num_key_value_heads=key_heads, tie_word_embeddings=tied,
        layer_norm_epsilon=1e-5,
    )  # fmt: skip


def llama3() -> Any:
    import keras_hub

    return keras_hub.models.Llama3Backbone(
        vocabulary_size=VOCABULARY, num_layers=2, num_query_heads=4, hidden_dim=32,
        intermediate_dim=48, num_key_value_heads=2, rope_max_wavelength=500000,
        rope_frequency_adjustment_factor=8.0, rope_low_freq_factor=1.0, rope_high_freq_factor=4.0,
        rope_pretraining_sequence_length=32,
    )  # fmt: skip


def qwen() -> Any:
    import keras_hub

    return keras_hub.models.QwenBackbone(
        vocabulary_size=VOCABULARY, num_layers=3, num_query_heads=4, hidden_dim=32,
        intermediate_dim=48, num_key_value_heads=1,
    )  # fmt: skip


def opt() -> Any:
    import keras_hub

    return keras_hub.models.OPTBackbone(
        vocabulary_size=VOCABULARY, num_layers=2, num_heads=4, hidden_dim=32, intermediate_dim=64,
        max_sequence_length=64,
    )  # fmt: skip


def gemma(**more: Any) -> Any:
    import keras_hub

    return keras_hub.models.GemmaBackbone(
        vocabulary_size=VOCABULARY, num_layers=2, num_query_heads=4, num_key_value_heads=1,
        hidden_dim=32, intermediate_dim=96, head_dim=12, **more,
    )  # fmt: skip


def untied_gpt2() -> Any:
    from textmill.models.more_weights import UntiedGPT2Backbone

    return UntiedGPT2Backbone(VOCABULARY, 2, 4, 32, 64, max_sequence_length=64)


def biased_llama() -> Any:
    from textmill.models.more_weights import BiasedLlamaBackbone

    return BiasedLlamaBackbone(VOCABULARY, 2, 4, 32, 64, 2, attention_bias=True, mlp_bias=True)


KINDS = {
    "gpt2 untied": untied_gpt2,
    "llama with biases": biased_llama,
    "opt": opt,
    "gemma": gemma,
    "gpt2": gpt2,
    "llama": llama,
    "llama untied": lambda: llama(tied=False),
    "llama, a key for each query": lambda: llama(key_heads=4),
    "llama 3": llama3,
    "qwen": qwen,
}


def shaken(backbone: Any) -> Any:
    """Gives all weights, norms and biases too, numbers at random."""
    random = np.random.default_rng(0)
    for weight in backbone.weights:
        weight.assign(weight + random.normal(0, 0.15, weight.shape).astype(np.float32))
    return backbone


def served(backbone: Any, rows: list[list[int]], first: int) -> list[Any]:
    """Returns the logits of each row's tokens from `first` on, read one by one from there."""
    import tensorflow as tf

    from textmill.models.decoder_serving_weights import decoder_serving_weights
    from textmill.serving.decoder import Decoder
    from textmill.serving.read import following, prompt

    decoder = Decoder(decoder_serving_weights(backbone, longest=64)).network()
    begun = [min(first, len(row) - 1) for row in rows]
    padded = tf.ragged.constant([r[:n] for r, n in zip(rows, begun, strict=True)]).to_tensor()
    slots = tf.constant(max(map(len, rows)))
    flat, read = prompt(tf.cast(padded, tf.int32), tf.constant(begun), slots)
    x, caches = decoder(flat, read, decoder.caches(tf.constant(len(rows)), slots))
    ends = np.cumsum(begun)
    found = [[each] for each in decoder.logits(tf.gather(x, ends - 1)).numpy()]
    for step in range(max(map(len, rows)) - min(begun)):
        places = [min(n + step, len(row) - 1) for row, n in zip(rows, begun, strict=True)]
        ids = tf.constant([row[place] for row, place in zip(rows, places, strict=True)])
        x, caches = decoder(ids, following(tf.constant(places), slots), caches)
        for i, logits in enumerate(decoder.logits(x).numpy()):
            if begun[i] + step < len(rows[i]):
                found[i].append(logits)
    return [np.stack(each) for each in found]


@pytest.mark.parametrize("kind", KINDS)
def test_logits_equal_keras(kind: str) -> None:
    import keras

    backbone = shaken(KINDS[kind]())
    random = np.random.default_rng(1)
    rows = [random.integers(0, VOCABULARY, n).tolist() for n in (40, 17, 9, 2)]
    found = served(backbone, rows, 12)
    for row, logits in zip(rows, found, strict=True):
        ids = np.array([row])
        whole = backbone({"token_ids": ids, "padding_mask": np.ones_like(ids)})
        wanted = keras.ops.convert_to_numpy(backbone.token_embedding(whole, reverse=True))[0]
        np.testing.assert_allclose(logits, wanted[-len(logits) :], atol=2e-5, rtol=1e-4)


def test_a_long_prompt_is_read_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    backbone, rows = shaken(llama()), [[*range(5, 40)], [*range(60, 76)]]
    whole = served(backbone, rows, 30)
    monkeypatch.setattr("textmill.serving.decoder.TIMES", 7)
    for ours, theirs in zip(served(backbone, rows, 30), whole, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-5)


def test_a_row_has_the_logits_that_it_has_alone() -> None:
    backbone = shaken(llama())
    rows = [[5, 6, 7, 8, 9, 10, 11], [3, 1], [90, 4, 4, 2]]
    together = served(backbone, rows, 3)
    for row, logits in zip(rows, together, strict=True):
        np.testing.assert_allclose(served(backbone, [row], 3)[0], logits, atol=1e-5)


def test_another_kind_of_model_is_told() -> None:
    import keras_hub

    from textmill.errors import UserError
    from textmill.models.decoder_serving_weights import decoder_serving_weights

    other = keras_hub.models.BloomBackbone(
        vocabulary_size=VOCABULARY, num_layers=1, num_heads=2, hidden_dim=16, intermediate_dim=32,
        max_sequence_length=32,
    )  # fmt: skip
    with pytest.raises(UserError, match="BloomBackbone can't be served yet"):
        decoder_serving_weights(other, longest=32)


@pytest.mark.parametrize(
    "more",
    [{"final_logit_soft_cap": 30.0}, {"use_sliding_window_attention": True}],
)
def test_a_later_gemma_is_told(more: dict[str, Any]) -> None:
    from textmill.errors import UserError
    from textmill.models.decoder_serving_weights import decoder_serving_weights

    with pytest.raises(UserError, match="GemmaBackbone can't be served yet"):
        decoder_serving_weights(gemma(**more), longest=32)
