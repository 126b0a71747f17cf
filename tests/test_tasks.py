"""Each task from `textmill run` to a checked SavedModel that answers raw text."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest

from test_cli import textmill
from textmill.artifact import read_json
from textmill.serving.contract import check_contract
from textmill.serving.predictor import Predictor

CONFIG = """
pipeline  = "{pipeline}"
workspace = "runs"
[data]
source = "rows.jsonl"
{data}
[model]
scratch = "tiny"
vocabulary_size = 600
max_length = {max_length}
{model}
[train]
epochs = {epochs}
batch_size = 16
learning_rate = 2e-3
precision = "float32"
{train}
[push]
to = "models"
"""
NAMES = ["Ada Lovelace", "Bob", "Chiara De Luca", "Dmitri", "Eve Smith", "Fatima Zahra", "Goro"]
PLACES = ["Paris", "New York", "Oslo", "Rio de Janeiro", "Kyoto", "Accra", "Lima"]
GOOD, BAD = ["fine", "great", "lovely", "warm"], ["poor", "awful", "dull", "cold"]


def many(draw: random.Random, i: int) -> dict[str, Any]:
    topics = {"sport": "the match and the goal", "food": "a soup with bread", "war": "the army"}
    given = [topic for topic in topics if draw.random() < 0.4]
    return {"text": f"{i}: " + ", ".join(topics[t] for t in given) + " today", "label": given}


def pairs(draw: random.Random, i: int) -> dict[str, Any]:
    """What the second text says; the first says anything in the same words."""
    words = [draw.choice([GOOD, BAD]) for _ in "12"]
    texts = [f"film {i} was {draw.choice(each)} and {draw.choice(each)}" for each in words]
    return {"text": texts[0], "other": texts[1], "label": "yes" if words[1] is GOOD else "no"}


def number(draw: random.Random, i: int) -> dict[str, Any]:
    stars = draw.randrange(6)
    return {"text": f"film {i} " + "was fine " * stars + "to see", "label": 100 + 20 * stars}


def spans(draw: random.Random, i: int) -> dict[str, Any]:
    name, place = draw.choice(NAMES), draw.choice(PLACES)
    text = f"In {place}, on day {i}, {name} slept."
    at = [(text.index(part), text.index(part) + len(part)) for part in (name, place)]
    return {"text": text, "label": [[*at[0], "person"], [*at[1], "place"]]}


def long(draw: random.Random, i: int) -> dict[str, Any]:
    words = [f"word{draw.randrange(60)}" for _ in range(60)]
    label = draw.choice(["pos", "neg"])
    for _ in range(6):  # late in the text, beyond the first window
        words[draw.randrange(30, 60)] = draw.choice(GOOD if label == "pos" else BAD)
    return {"text": " ".join([str(i), *words]), "label": label}


TASKS: dict[str, dict[str, Any]] = {
    "many": {
        "rows": many,
        "pipeline": "text_classification",
        "data": "multi_label = true",
        "figure": ("f1_micro", 0.65),
        "epochs": 10,
    },
    "pairs": {
        "rows": pairs,
        "pipeline": "text_classification",
        "data": 'text = ["text", "other"]',
        "figure": ("accuracy", 0.8),
        "epochs": 14,
    },
    "number": {"rows": number, "pipeline": "text_regression", "figure": ("r2", 0.7), "epochs": 16},
    "spans": {"rows": spans, "pipeline": "token_classification", "figure": ("f1_micro", 0.9)},
    "long": {
        "rows": long,
        "pipeline": "text_classification",
        "max_length": 24,
        "model": "overlap = 6\nwindows = 6",
        "figure": ("accuracy", 0.8),
        "epochs": 10,
    },
    "long spans": {
        "rows": spans,
        "pipeline": "token_classification",
        "max_length": 12,
        "model": "overlap = 4\nwindows = 8",
        "figure": ("f1_micro", 0.8),
    },
}


QUICK = ("many", "spans")


@pytest.fixture(
    scope="module",
    params=[pytest.param(n, marks=[] if n in QUICK else [pytest.mark.slow]) for n in TASKS],
)
def made(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[str, Path]:
    name, folder = request.param, tmp_path_factory.mktemp("task")
    task, draw = TASKS[name], random.Random(0)
    rows = [task["rows"](draw, i) for i in range(400)]
    (folder / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    given = {"data": "", "model": "", "train": "", "max_length": 48, "epochs": 8} | task
    (folder / "config.toml").write_text(CONFIG.format(**given))
    said = textmill("run", "config.toml", cwd=folder)
    assert said.returncode == 0, said.stderr
    return name, folder


def test_it_learns_and_what_is_served_keeps_the_contract(made: tuple[str, Path]) -> None:
    name, folder = made
    figure, least = TASKS[name]["figure"]
    (file,) = (folder / "runs" / "evaluate").glob("*/metrics.json")
    assert read_json(file)[figure] > least
    rows = check_contract(folder / "models").rows
    assert [row for row in rows if row.status == "failed"] == []
    assert {row.rule for row in rows if row.status == "skipped"} == {
        "loads elsewhere", "latency", "memory",
    }  # fmt: skip
    assert {row.rule for row in rows} >= {"equal to the trained model", "loads and runs"}


def test_served_answers_are_those_of_the_evaluation(made: tuple[str, Path]) -> None:
    """Two ways to one answer: NumPy and Keras on the test split, and the graph on its raw texts."""
    import pyarrow.parquet as pq

    name, folder = made
    (file,) = (folder / "runs" / "evaluate").glob("*/predictions.parquet")
    table = pq.read_table(file).to_pylist()
    pair = name == "pairs"
    texts = [{"text": r["text"]} | ({"text_pair": r["pair"]} if pair else {}) for r in table]
    for row, found in zip(table, Predictor(folder / "models")(texts), strict=True):
        if name == "many":
            assert found["label"] == list(filter(None, row["predicted"].split("|")))
        elif name == "number":
            assert found["value"] == pytest.approx(row["predicted"], rel=1e-4)
        elif "spans" in name:
            said = [[s["start"], s["end"], s["label"]] for s in found["spans"]]
            assert said == json.loads(row["predicted"])
            assert all(s["text"] == row["text"][s["start"] : s["end"]] for s in found["spans"])
        else:
            assert found["label"] == row["predicted"]
            assert list(found["scores"].values()) == pytest.approx(row["scores"], abs=1e-5)


def test_the_command_predicts(made: tuple[str, Path]) -> None:
    name, folder = made
    more = ["--pair", "film 2 was awful"] if name == "pairs" else []
    said = textmill("predict", "models", "film 1 was great", *more, cwd=folder)
    assert said.returncode == 0, said.stderr
    key = {"number": "value", "spans": "spans", "long spans": "spans"}.get(name, "label")
    assert key in json.loads(said.stdout)
    if name == "pairs":
        said = textmill("predict", "models", "film 1 was great", cwd=folder)
        assert said.returncode == 2
        assert "text 1 has no second one" in said.stderr
