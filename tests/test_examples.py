"""The configs in examples/ on small slices of their real data."""

from __future__ import annotations

import json
import random
from pathlib import Path

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
