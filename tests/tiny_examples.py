"""Examples that are made on the spot, and a model that was trained on some."""

from __future__ import annotations

import csv
import tempfile
from functools import cache
from pathlib import Path
from typing import TypeVar

import pyarrow as pa
import pyarrow.parquet as pq

from textmill.artifact import SPLITS, Artifact, Examples, ExamplesSchema, Model, Tokens, write_json
from textmill.components.tokenize import tokenize
from textmill.components.train import train
from textmill.models.preset import Scratch
from textmill.models.settings import Settings
from textmill.testing import tiny_reviews

A = TypeVar("A", bound=Artifact)
Row = tuple[str, str]
SCRATCH = Scratch("tiny", vocabulary_size=400)


def empty(kind: type[A], folder: Path) -> A:
    folder.mkdir(parents=True)
    return kind(folder)


def make_examples(folder: Path, **splits: list[Row]) -> Examples:
    """Writes the rows (text, label) of train=, validation= and test=."""
    for split in SPLITS:
        rows = splits.get(split, [])
        texts, labels = [r[0] for r in rows], [r[1] for r in rows]
        table = pa.table(
            {"review": pa.array(texts, pa.string()), "mood": pa.array(labels, pa.string())}
        )
        (folder / split).mkdir(parents=True)
        pq.write_table(table, folder / split / "part-00000.parquet")
    schema = ExamplesSchema(
        text="review",
        pair=None,
        label="mood",
        labels="one",
        separator="|",
        columns={},
        cleaning={},
        rows={split: len(splits.get(split, [])) for split in SPLITS},
        read=sum(map(len, splits.values())),
        rejected={},
        duplicates=0,
        conflicts=0,
        settled_by="majority",
        merged_labels={},
        leaked=0,
        left_out=0,
    )
    write_json(folder / "schema.json", schema)
    return Examples(folder)


def review_examples(folder: Path, rows: int = 240) -> Examples:
    folder.mkdir(parents=True)
    with tiny_reviews(folder, rows).open(encoding="utf-8", newline="") as file:
        found = [(row["text"], row["label"]) for row in csv.DictReader(file)]
    cut = rows * 6 // 10, rows * 8 // 10
    return make_examples(
        folder / "examples",
        train=found[: cut[0]],
        validation=found[cut[0] : cut[1]],
        test=found[cut[1] :],
    )


@cache
def trained() -> tuple[Examples, Tokens, Model]:
    """A two-layer model that has learnt to tell tiny reviews apart."""
    folder = Path(tempfile.mkdtemp(prefix="textmill-trained-"))
    examples = review_examples(folder / "made", rows=400)
    tokens, model = empty(Tokens, folder / "tokens"), empty(Model, folder / "model")
    tokenize(tokens, examples, preset=SCRATCH, max_length=48)
    settings = Settings(epochs=4, batch_size=8, learning_rate=1e-3)
    train(model, tokens, preset=SCRATCH, dropout=0.0, settings=settings)
    return examples, tokens, model
