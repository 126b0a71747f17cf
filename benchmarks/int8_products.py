"""Can a server multiply int8 quicker than float32, with activations quantized as they come?

python benchmarks/int8_products.py [ROUNDS]

A feed-forward part of MiniLM (384 to 1,536, GELU, and back) for 12, 128 and 1,024 tokens, with

- float32, and bfloat16: as `textmill.serving` computes them;
- BatchMatMulV3: `tf.matmul` of int8 to int32, which every server has;
- QuantizedMatMulWithBias: oneDNN's product of uint8 and int8, which fails where oneDNN is off.

Each token's activations are divided by their own largest, so that a row does not depend on its
batch, and each output of the weights by its own. Sides take turns; medians in milliseconds, and by
how much the result differs, as a share of its largest. `UniformQuantizedDot` is left out: it takes
hundreds of times as long.
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

TOKENS = (12, 128, 1024)
Layer = Callable[[Any], Any]


def layers(kernel: Any, bias: Any) -> dict[str, Layer]:
    """Returns a dense layer of each kind."""
    import tensorflow as tf

    scale = (np.abs(kernel).max(0) / 127).astype(np.float32)
    whole = tf.Variable(np.rint(kernel / scale).astype(np.int8))
    # uint8 activations are 128 more than they should be.
    offset = tf.constant(-128.0 * whole.numpy().astype(np.float32).sum(0))
    plain, half = tf.Variable(kernel), tf.Variable(tf.cast(kernel, tf.bfloat16))

    def steps(x: Any) -> Any:
        most = tf.reduce_max(tf.abs(x), 1, keepdims=True)
        return tf.where(most > 0, most, 1.0) / 127

    def portable(x: Any) -> Any:
        step = steps(x)
        given = tf.cast(tf.round(x / step), tf.int8)
        found = tf.matmul(given, whole.read_value(), output_type=tf.int32)
        return tf.cast(found, tf.float32) * step * scale + bias

    def onednn(x: Any) -> Any:
        step = steps(x)
        given = tf.bitcast(tf.cast(tf.round(x / step) + 128, tf.uint8), tf.quint8)
        found = tf.raw_ops.QuantizedMatMulWithBias(
            a=given, b=tf.bitcast(whole.read_value(), tf.qint8), bias=offset, min_a=0.0,
            max_a=255.0, min_b=-127.0, max_b=127.0, Toutput=tf.qint32, input_quant_mode="SCALED",
        ).out  # fmt: skip
        return tf.cast(tf.bitcast(found, tf.int32), tf.float32) * step * scale + bias

    def bfloat16(x: Any) -> Any:
        product = tf.matmul(tf.cast(x, tf.bfloat16), half.read_value())
        return tf.nn.bias_add(product, tf.cast(bias, tf.bfloat16))

    return {
        "float32": lambda x: tf.nn.bias_add(tf.matmul(x, plain.read_value()), bias),
        "bfloat16": bfloat16,
        "BatchMatMulV3": portable,
        "QuantizedMatMulWithBias": onednn,
    }


def main(rounds: int = 25) -> None:
    from machine import describe

    from textmill.quiet import import_tensorflow

    import_tensorflow()
    import tensorflow as tf

    random = np.random.default_rng(0)

    def drawn(*shape: int, deviation: float = 1.0) -> Any:
        return random.normal(0, deviation, shape).astype(np.float32)

    widen = layers(drawn(384, 1536, deviation=0.05), drawn(1536))
    narrow = layers(drawn(1536, 384, deviation=0.05), drawn(384))

    def part(name: str) -> Layer:
        def run(x: Any) -> Any:
            wide = widen[name](x)
            wide = 0.5 * wide * (1 + tf.math.erf(wide * math.sqrt(0.5)))
            return tf.cast(narrow[name](wide), tf.float32)

        return tf.function(run, input_signature=[tf.TensorSpec([None, 384])], autograph=False)

    sides = {name: part(name) for name in widen}
    print(describe() + "\n")
    print(f"| tokens | {' | '.join(sides)} |\n|---{'|---' * len(sides)}|")
    for tokens in TOKENS:
        x = tf.constant(drawn(tokens, 384))
        whole = sides["float32"](x).numpy()
        cells = {}
        for name, side in sides.items():
            try:
                far = np.abs(side(x).numpy() - whole).max() / np.abs(whole).max()
            except tf.errors.OpError as error:
                cells[name] = str(error).splitlines()[0][:60]
            else:
                cells[name] = f" ({far:.1g})"
        times: dict[str, list[float]] = {name: [] for name in sides if cells[name][0] == " "}
        for _ in range(rounds):
            for name in times:
                began = time.perf_counter()
                sides[name](x)
                times[name].append(1000 * (time.perf_counter() - began))
        cells |= {name: f"{np.median(each):.2f}{cells[name]}" for name, each in times.items()}
        print(f"| {tokens} | {' | '.join(cells[name] for name in sides)} |")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
