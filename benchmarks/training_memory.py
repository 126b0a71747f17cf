"""How much memory does training take as rows grow?

python benchmarks/training_memory.py [SOURCE] [SECONDS]

Film reviews, made many as in `tokenizing_rows.py`, are tokenized to at most 128 ids (SOURCE
"rotten_tomatoes", short ones) or 256 ("imdb", long ones). Then one process reads the training split
and goes through some hundred batches, and another trains a tiny new model on it for SECONDS. The
figure is the peak of resident memory, in MB, with Python and TensorFlow in it.

2026-11-23, AMD EPYC, 2 cores, Python 3.11.7, tensorflow 2.21.0, keras 3.15.1; SECONDS 20

| reviews | rows | tokens | reading, MB | training, MB | to 10,000 rows |
|---|---|---|---|---|---|
| rotten_tomatoes | 10,000 | 274,621 | 665 | 1,179 | 1.00 |
| rotten_tomatoes | 100,000 | 2,820,703 | 679 | 1,202 | 1.02 |
| rotten_tomatoes | 1,000,000 | 28,281,706 | 821 | 1,354 | 1.15 |
| imdb | 10,000 | 2,077,189 | 687 | 1,332 | 1.00 |
| imdb | 300,000 | 61,783,606 | 688 | 1,325 | 0.99 |
"""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
from itertools import islice
from pathlib import Path

from machine import describe
from tokenizing_rows import MODEL, prepare

ROWS = (10_000, 100_000, 1_000_000)
BATCH = 32


def tokenized(folder: Path, max_length: str) -> None:
    from textmill.artifact import Examples, Tokens
    from textmill.components.tokenize import tokenize
    from textmill.models.preset import Preset

    tokens = Tokens(folder / "tokens")
    tokens.path.mkdir()
    preset = Preset(str(MODEL))
    tokenize(tokens, Examples(folder / "examples"), preset=preset, max_length=int(max_length))


def read(folder: Path, batches: str) -> None:
    from textmill.artifact import Tokens
    from textmill.models.batches import dataset, shuffled
    from textmill.models.rows import read_rows
    from textmill.quiet import import_tensorflow

    import_tensorflow()
    rows = read_rows(Tokens(folder / "tokens"), "train")
    order = shuffled(rows.lengths, BATCH, seed=0, epoch=0)
    for _ in islice(dataset(rows, order, ("token_ids", "padding_mask")), int(batches)):
        pass


def trained(folder: Path, seconds: str) -> None:
    from textmill.artifact import Model, Tokens
    from textmill.components.train import train
    from textmill.models.preset import Scratch
    from textmill.models.settings import Settings

    model = Model(folder / "model")
    model.path.mkdir()
    settings = Settings(batch_size=BATCH, epochs=2, budget=f"{seconds}s", precision="float32")
    train(model, Tokens(folder / "tokens"), preset=Scratch("tiny"), settings=settings)


def peak(side: str, folder: Path, value: str) -> float:
    """Returns the most memory, in MB, that a process took which does `side`."""
    command = [sys.executable, __file__, side, str(folder), value]
    said = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return float(said.stdout.splitlines()[-1])


def main(source: str = "rotten_tomatoes", seconds: str = "60") -> None:
    print(describe() + "\n")
    print("| reviews | rows | tokens | reading, MB | training, MB | to 10,000 rows |")
    print("|---|---|---|---|---|---|")
    least = 0.0
    for rows in ROWS:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            prepare(folder / "examples", source, rows)
            peak("tokenized", folder, "256" if source == "imdb" else "128")
            from textmill.artifact import Tokens

            tokens = Tokens(folder / "tokens").info()["tokens"]["train"]
            reading, training = peak("read", folder, "300"), peak("trained", folder, seconds)
        least = least or training
        figures = f"{tokens:,} | {reading:,.0f} | {training:,.0f} | {training / least:.2f}"
        print(f"| {source} | {rows:,} | {figures} |", flush=True)


if __name__ == "__main__":
    if sys.argv[1:2] and sys.argv[1] in ("tokenized", "read", "trained"):
        globals()[sys.argv[1]](Path(sys.argv[2]), sys.argv[3])
        unit = 1e6 if sys.platform == "darwin" else 1e3
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit)
    else:
        main(*sys.argv[1:])
