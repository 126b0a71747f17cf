"""How well does a Transformer from scratch translate English verses to Spanish?

python benchmarks/translation_quality.py WORKSPACE [BUDGET=40m] [SEEDS=0] [KEY=VALUE …]

31,084 pairs of verses of two Debian packages, the King James and the Reina-Valera text, both in the
public domain. The hash of the English verse decides what is tested on, 5 %, so that no verse that
stands twice is in two splits. The model is trained with `textmill run`, tokenizer and all, and the
test split is decoded with the graph that serves. Beside it stands a dictionary learnt from the same
training pairs, IBM model 1, that gives the likeliest word for each word.
"""

from __future__ import annotations

import csv
import subprocess
import sys
import time
from pathlib import Path

from ibm_model import Dictionary
from machine import describe
from sword import fetched, verses

from textmill.artifact import Examples, Model, read_json
from textmill.quiet import import_tensorflow

CONFIG = """\
pipeline = "seq2seq"
workspace = "runs-{seed}"

[data]
source = "verses.csv"
text = "english"
target = "spanish"

[model]
scratch = "{size}"
vocabulary_size = {vocabulary}
max_source_length = 128
max_target_length = 128
dropout = {dropout}

[evaluate]
samples = 0

[train]
epochs = 1000
budget = "{budget}"
tokens_per_batch = {batch}
optimizer = "{optimizer}"
learning_rate = {rate}
warmup = 0.1
decay = "{decay}"
weight_decay = {weight_decay}
label_smoothing = {smoothing}
clip_norm = 1.0
seed = {seed}
"""
CHOSEN = {
    "size": "mini",
    "vocabulary": "4096",
    "dropout": "0.2",
    "batch": "3000",
    "optimizer": "muon",
    "rate": "1.5e-3",
    "decay": "cosine",
    "weight_decay": "0.3",
    "smoothing": "0.1",
}
BEAMS = (1, 4)


def main(workspace: str, budget: str = "40m", seeds: str = "0", *changed: str) -> None:
    folder = Path(workspace)
    folder.mkdir(parents=True, exist_ok=True)
    print(f"{describe()}; {written(folder):,} pairs\n")
    settings = CHOSEN | dict(each.split("=") for each in changed)
    for seed in seeds.split(","):
        config = folder / f"verses-{seed}.toml"
        config.write_text(CONFIG.format(seed=seed, budget=budget, **settings), "utf-8")
        command = [sys.executable, "-m", "textmill.cli", "run", config.name]
        subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL)
        runs = folder / f"runs-{seed}"
        examples = Examples(latest(runs, "ingest"))
        texts = examples.texts("test").to_pydict()
        if seed == seeds.split(",")[0]:
            print("| translation | BLEU | chrF | |\n|---|---|---|---|")
            pairs = examples.texts("train").to_pydict()
            dictionary = Dictionary(pairs["text"], pairs["pair"])
            show("word for word", [dictionary.translate(t) for t in texts["text"]], texts["pair"])
        model = Model(latest(runs, "train_seq2seq"))
        loss = read_json(latest(runs, "evaluate_seq2seq") / "metrics.json")["loss"]
        with (model.path / "history.csv").open(encoding="utf-8") as file:
            epochs = len(list(csv.DictReader(file)))
        for beams in BEAMS:
            began = time.perf_counter()
            found = translated(model, texts["text"], beams)
            took = time.perf_counter() - began
            why = f"{epochs} epochs, loss {loss:.3f}; decoded in {took:.0f} s"
            show(f"**Transformer, seed {seed}, beams {beams}**", found, texts["pair"], why)
            (folder / f"translated-{seed}-{beams}.txt").write_text("\n".join(found), "utf-8")


def written(folder: Path) -> int:
    """Writes the verses that both texts have; returns how many these are."""
    sides = [
        list(verses(fetched(package, folder), empty=True))
        for package in ("sword-text-kjv", "sword-text-sparv")
    ]
    pairs = [(a, b) for (*_, a), (*_, b) in zip(*sides, strict=True) if a and b]
    with (folder / "verses.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("english", "spanish"), *pairs])
    return len(pairs)


def latest(runs: Path, step: str) -> Path:
    """Returns the artifact that a step made last."""
    made = [path for path in (runs / step).iterdir() if path.is_dir() and "." not in path.name]
    return max(made, key=lambda path: path.stat().st_mtime)


def show(name: str, found: list[str], wanted: list[str], why: str = "") -> None:
    from sacrebleu.metrics import BLEU, CHRF

    bleu, chrf = (metric.corpus_score(found, [wanted]).score for metric in (BLEU(), CHRF()))
    print(f"| {name} | {bleu:.2f} | {chrf:.2f} | {why} |", flush=True)


def translated(model: Model, texts: list[str], beams: int) -> list[str]:
    """Returns what the graph that serves makes of texts."""
    import_tensorflow()
    from textmill.components.writer import writer
    from textmill.serving.defaults import GREEDY

    made = writer(model)
    most = made.about["max_target_length"] - 1
    return made.answers(texts, GREEDY._replace(num_beams=beams, max_new_tokens=most))


if __name__ == "__main__":
    main(*sys.argv[1:])
