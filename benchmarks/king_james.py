"""How well does a GPT that learned from the King James text guess books that it has not read?

python benchmarks/king_james.py WORKSPACE [BUDGET=20m] [SEEDS=0] [KEY=VALUE …]

A chapter is a document, a verse a line. Six books are held out, three more choose the epoch; they
were picked before anything was measured. The model is trained with `textmill run`, tokenizer and
all. Bits per byte count all that a reader needs who has the training text: of the models every
token and the end of each chapter, of the compressors what the held-out books add to the compressed
training text ("after"), beside what they take alone. Baselines learn from the books that choose
the epoch, too. PPMd takes part where `pip install pyppmd` was said.
"""

from __future__ import annotations

import bz2
import csv
import itertools
import lzma
import resource
import subprocess
import sys
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from machine import describe
from ngram import Ngrams
from sword import fetched, verses

from textmill.artifact import read_json

HELD_OUT = ("Judg", "Ruth", "Eccl", "Joel", "Acts", "Gal")
CHOOSING = ("Esth", "Hos", "Phil")
END = 256  # of a chapter, among bytes
CONFIG = """\
pipeline = "text_generation"
workspace = "runs-{seed}"

[data]
source = "king_james.csv"
split_column = "split"

[model]
scratch = "{size}"
vocabulary_size = {vocabulary}
max_length = {length}
dropout = {dropout}

[train]
epochs = 1000
budget = "{budget}"
batch_size = {batch}
optimizer = "{optimizer}"
learning_rate = {rate}
weight_decay = {decay}
precision = "{precision}"
warmup = 0.05
decay = "cosine"
clip_norm = 1.0
seed = {seed}
"""
CHOSEN = {
    "size": "mini",
    "vocabulary": "4096",
    "length": "512",
    "dropout": "0.2",
    "batch": "4",
    "optimizer": "muon",
    "rate": "1.5e-3",
    "decay": "0.5",
    "precision": "auto",
}


def main(workspace: str, budget: str = "20m", seeds: str = "0", *changed: str) -> None:
    folder = Path(workspace)
    folder.mkdir(parents=True, exist_ok=True)
    texts = written(folder)
    size = len("".join(texts["test"]).encode())
    print(describe())
    print(f"held out: {', '.join(HELD_OUT)}, {size:,} bytes in {len(texts['test'])} chapters\n")
    print("| model | bits per byte | |\n|---|---|---|")
    settings = CHOSEN | dict(each.split("=") for each in changed)
    for seed in seeds.split(","):
        trained(folder, seed, budget, settings)
    for name, bits, why in baselines(folder / f"runs-{seeds.split(',')[0]}", texts):
        print(f"| {name} | {bits / size:.4f} | {why} |", flush=True)


def written(folder: Path) -> dict[str, list[str]]:
    """Writes every chapter with its split; returns the chapters of each."""
    texts: dict[str, list[str]] = {"train": [], "validation": [], "test": []}
    with (folder / "king_james.csv").open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["book", "text", "split"])
        read = verses(fetched("sword-text-kjv", folder))
        for (book, _), lines in itertools.groupby(read, lambda verse: verse[:2]):
            text = "\n".join(line for _, _, line in lines)
            split = "test" if book in HELD_OUT else "validation" if book in CHOOSING else "train"
            rows.writerow([book, text, split])
            texts[split].append(text)
    return texts


def trained(folder: Path, seed: str, budget: str, settings: dict[str, str]) -> None:
    """Trains a model from the command line and prints its row."""
    config = folder / f"king_james-{seed}.toml"
    config.write_text(CONFIG.format(seed=seed, budget=budget, **settings), "utf-8")
    command = [sys.executable, "-m", "textmill.cli", "run", config.name]
    before = _core_minutes()
    subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL)
    spent = _core_minutes() - before
    (evaluation,) = _latest(folder / f"runs-{seed}", "metrics.json")
    (history,) = _latest(folder / f"runs-{seed}", "history.csv")
    figures = read_json(evaluation)
    epochs = len(history.read_text().splitlines()) - 1
    low, high = figures["intervals"]["bits_per_byte"]
    print(
        f"| **GPT, seed {seed}** | **{figures['bits_per_byte']:.4f}** | {low:.4f} to {high:.4f} "
        f"over chapters; {epochs} epochs, {spent:.0f} core-minutes |",
        flush=True,
    )


def _core_minutes() -> float:
    """Returns what processes that were started here have had of the machine."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (used.ru_utime + used.ru_stime) / 60


def _latest(runs: Path, name: str) -> list[Path]:
    return sorted(runs.rglob(name), key=lambda file: file.stat().st_mtime)[-1:]


def baselines(runs: Path, texts: dict[str, list[str]]) -> Iterator[tuple[str, float, str]]:
    """Yields name, bits and an explanation of what the model is compared with."""
    known, unknown = texts["train"] + texts["validation"], texts["test"]
    (tokenizer_file,) = _latest(runs, "tokenizer.json")
    for unit, encode, words in (tokens_of(tokenizer_file), bytes_of()):
        learned, asked = encode(known), encode(unknown)
        for longest in (3, 5, 7) if unit == "BPE tokens" else (5, 9):
            bits = Ngrams(learned, words, longest).bits(asked)
            yield f"{longest}-gram of {unit}", bits, "interpolated modified Kneser-Ney"
    before, held_out = "\n\n".join(known).encode(), "\n\n".join(unknown).encode()
    for name, compressed in compressors().items():
        after = compressed(before + b"\n\n" + held_out) - compressed(before)
        alone = 8 * compressed(held_out) / len(held_out)
        yield f"{name}, after", 8 * after, f"alone {alone:.4f}"


def tokens_of(file: Path) -> tuple[str, Callable[[list[str]], np.ndarray], int]:
    """Returns how texts become the tokens that the model reads, and how many there are."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(file))
    end = tokenizer.token_to_id("<|endoftext|>")
    if end is None:
        end = tokenizer.token_to_id("</s>")
    assert end is not None

    def encode(texts: list[str]) -> np.ndarray:
        rows = tokenizer.encode_batch(texts, add_special_tokens=False)
        return np.array([end, *(i for row in rows for i in (*row.ids, end))], np.int64)

    return "BPE tokens", encode, tokenizer.get_vocab_size()


def bytes_of() -> tuple[str, Callable[[list[str]], np.ndarray], int]:
    """Returns how texts become bytes with an end of each, and how many kinds there are."""

    def encode(texts: list[str]) -> np.ndarray:
        return np.array([END, *(i for text in texts for i in (*text.encode(), END))], np.int64)

    return "bytes", encode, END + 1


def compressors() -> dict[str, Callable[[bytes], int]]:
    """Returns how many bytes each makes of a text."""
    found: dict[str, Callable[[bytes], int]] = {
        "zlib -9": lambda text: len(zlib.compress(text, 9)),
        "bzip2 -9": lambda text: len(bz2.compress(text, 9)),
        "lzma, extreme": lambda text: len(lzma.compress(text, preset=9 | lzma.PRESET_EXTREME)),
    }
    try:
        import pyppmd
    except ImportError:
        return found

    def ppmd(text: bytes, order: int) -> int:
        encoder = pyppmd.Ppmd7Encoder(order, 512 << 20)
        return len(encoder.encode(text)) + len(encoder.flush())

    for order in (5, 12):
        found[f"PPMd, order {order}"] = lambda text, order=order: ppmd(text, order)  # type: ignore[misc]
    return found


if __name__ == "__main__":
    main(*sys.argv[1:])
