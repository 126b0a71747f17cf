"""KerasHub's layers beside the formulas of "Attention is all you need", computed in NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


def softmax(x: Array) -> Array:
    powers = np.exp(x - x.max(-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)


def attention(q: Array, k: Array, v: Array, allowed: Array) -> Array:
    """softmax(QKᵀ/√d_k)V, section 3.2.1."""
    scores = q @ k.swapaxes(-1, -2) / np.sqrt(q.shape[-1])
    return softmax(np.where(allowed, scores, -np.inf)) @ v


def multi_head(layer: Any, x: Array, memory: Array, allowed: Array) -> Array:
    """Section 3.2.2, with the weights of a Keras layer; batch of one."""
    weights = {
        w.path.split("/", 1)[1] if "/" in w.path else w.path: w.numpy() for w in layer.weights
    }
    parts = {}
    for name, given in (("query", x), ("key", memory), ("value", memory)):
        kernel = next(w for path, w in weights.items() if f"{name}/kernel" in path)
        bias = next(w for path, w in weights.items() if f"{name}/bias" in path)
        parts[name] = np.einsum("td,dhe->hte", given, kernel) + bias[:, None]
    heads = attention(parts["query"], parts["key"], parts["value"], allowed)
    kernel = next(w for path, w in weights.items() if "attention_output/kernel" in path)
    bias = next(w for path, w in weights.items() if "attention_output/bias" in path)
    found: Array = np.einsum("hte,hed->td", heads, kernel) + bias
    return found


def norm(layer: Any, x: Array) -> Array:
    scaled = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + layer.epsilon)
    found: Array = scaled * layer.gamma.numpy() + layer.beta.numpy()
    return found


def feed_forward(layer: Any, x: Array) -> Array:
    """max(0, xW₁ + b₁)W₂ + b₂, section 3.3."""
    first, second = layer._feedforward_intermediate_dense, layer._feedforward_output_dense
    hidden = np.maximum(0, x @ first.kernel.numpy() + first.bias.numpy())
    found: Array = hidden @ second.kernel.numpy() + second.bias.numpy()
    return found


def shaken(layer: Any) -> Any:
    """Gives each weight random values: as they are made, biases are 0 and norms 1."""
    random = np.random.default_rng(0)
    for weight in layer.weights:
        weight.assign(weight + random.normal(size=weight.shape) * 0.3)
    return layer


def batch(*shape: int) -> Array:
    return np.random.default_rng(2).normal(size=shape).astype(np.float32)


def test_attention_is_the_formula() -> None:
    import keras

    x, memory = batch(1, 5, 12), batch(1, 7, 12)
    layer = keras.layers.MultiHeadAttention(num_heads=3, key_dim=4)
    layer(x, memory)
    shaken(layer)
    allowed = np.array([True] * 6 + [False])[None, :]
    found = layer(x, memory, attention_mask=np.broadcast_to(allowed, (1, 5, 7)))
    np.testing.assert_allclose(found[0], multi_head(layer, x[0], memory[0], allowed), atol=1e-5)


def test_positions_are_sines_and_cosines() -> None:
    import keras_hub

    found = np.asarray(keras_hub.layers.SinePositionEncoding()(batch(1, 50, 16)))[0]
    position, i = np.arange(50)[:, None], np.arange(8)
    angles = position / 10_000 ** (2 * i / 16)
    # The even places of section 3.5 are sines, the odd ones cosines.
    np.testing.assert_allclose(found[:, 0::2], np.sin(angles), atol=1e-5)
    np.testing.assert_allclose(found[:, 1::2], np.cos(angles), atol=1e-5)


def test_encoder_and_decoder_are_the_formula() -> None:
    import keras_hub

    source, target = batch(1, 6, 12), batch(1, 4, 12)
    real = np.array([[1, 1, 1, 1, 0, 0]])
    encoder = keras_hub.layers.TransformerEncoder(intermediate_dim=20, num_heads=3)
    decoder = keras_hub.layers.TransformerDecoder(intermediate_dim=20, num_heads=3)
    memory = encoder(source, padding_mask=real)
    decoder(target, memory, encoder_padding_mask=real)
    shaken(encoder), shaken(decoder)
    memory = encoder(source, padding_mask=real)
    found = decoder(target, memory, encoder_padding_mask=real)

    seen = real.astype(bool)
    x = source[0]
    x = norm(encoder._self_attention_layer_norm,
             x + multi_head(encoder._self_attention_layer, x, x, seen))  # fmt: skip
    x = norm(encoder._feedforward_layer_norm, x + feed_forward(encoder, x))
    np.testing.assert_allclose(memory[0], x, atol=1e-4)

    y, causal = target[0], np.tril(np.ones((4, 4), bool))
    y = norm(decoder._self_attention_layer_norm,
             y + multi_head(decoder._self_attention_layer, y, y, causal))  # fmt: skip
    y = norm(decoder._cross_attention_layer_norm,
             y + multi_head(decoder._cross_attention_layer, y, x, seen))  # fmt: skip
    y = norm(decoder._feedforward_layer_norm, y + feed_forward(decoder, y))
    np.testing.assert_allclose(found[0], y, atol=1e-4)
