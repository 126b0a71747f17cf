"""`[optimize]` for every kind of label: figures of answers are those of the trained model."""

from __future__ import annotations

import json
import random
import tomllib
from pathlib import Path
from typing import Any

import pytest

from test_tasks import CONFIG, TASKS
from textmill.artifact import Pushed, read_json
from textmill.config import build
from textmill.models import multi_label_classification, text_classification
from textmill.models.tasks import task_named
from textmill.pipelines.text_classification import Config, supervised
from textmill.run import Run
from textmill.serving import timing

OPTIMIZE = """
[optimize]
candidates = {candidates}
max_loss = 1.0
rounds = 3
[gate]
{gate}
"""
FIGURES = {"many": "f1_micro", "number": "r2", "spans": "f1_micro", "long spans": "f1_micro"}


def half(labels: Any, predicted: Any, scores: Any) -> float:
    """Returns the mean of the scores of two labels."""
    return float(scores.mean())


def run_it(
    folder: Path,
    name: str,
    candidates: list[str],
    *,
    more: str = "",
    gate: str = "",
    rows: int = 240,
    **given: Any,
) -> tuple[Pushed, dict[str, Any]]:
    """Runs a small pipeline; returns what it pushed and the table of candidates."""
    task, draw = TASKS[name], random.Random(0)
    made = "\n".join(json.dumps(task["rows"](draw, i)) for i in range(rows))
    (folder / "rows.jsonl").write_text(made)
    filled = {"data": "", "model": "", "train": "", "max_length": 48} | task | {"epochs": 5} | given
    text = CONFIG.format(**filled)
    text += more + OPTIMIZE.format(candidates=json.dumps(candidates), gate=gate)
    config = build(Config, tomllib.loads(text), name="config.toml")
    learned = task_named(config.pipeline)
    if name == "many":
        learned = multi_label_classification
    metrics = (half,) if learned is text_classification else ()
    pushed = supervised(Run(Path(config.workspace)), config, learned, metrics=metrics)
    (table,) = (folder / "runs" / "choose").glob("*/logs/optimize.json")
    return pushed, read_json(table)


@pytest.fixture(autouse=True)
def _quick(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(timing, "TURN", 1.0)


@pytest.mark.slow
@pytest.mark.parametrize("name", TASKS)
def test_every_kind_of_label_has_its_figures(name: str, tmp_path: Path) -> None:
    figure = FIGURES.get(name, "accuracy")
    names = ["pruned_vocabulary+bfloat16"]
    gate = f'{figure} = ">= -1"' + ('\nhalf = ">= 0.49"' if figure == "accuracy" else "")
    # Windows make several rows of a text.
    fewer: dict[str, Any] = {"rows": 160, "epochs": 4} if "long" in name else {}
    _, found = run_it(tmp_path, name, names, gate=gate, **fewer)
    assert found["figure"] == figure
    rows = found["candidates"]
    assert [*rows] == ["float32", *names]
    (file,) = (tmp_path / "runs" / "evaluate").glob("*/metrics.json")
    wanted = read_json(file)
    if "spans" in name:
        assert wanted.pop("loss") > 0
        assert wanted.pop("spans")["spans"] > 0  # of the texts, whatever answers
    assert rows["float32"]["figures"].keys() == wanted.keys()
    for key, value in wanted.items():
        if isinstance(value, float | int):
            assert rows["float32"]["figures"][key] == pytest.approx(value, rel=1e-3, abs=1e-4), key
        elif key not in ("per_class", "thresholds"):
            assert rows["float32"]["figures"][key] == value
    for row in rows.values():
        assert row["figures"][figure] == pytest.approx(wanted[figure], abs=0.2)
        assert row["apart"] <= row["allowed"]
        assert {"1 short", "32 mixed"} < row["latency_ms"].keys()
    manifest = read_json(tmp_path / "models" / "1" / "assets.extra" / "manifest.json")
    assert manifest["metrics"] == rows[found["chosen"]]["figures"]


@pytest.mark.slow
def test_a_smaller_model_in_fewer_bits_is_measured_beside_its_teacher(tmp_path: Path) -> None:
    names = ["distilled", "distilled+bfloat16", "bfloat16+distilled"]
    _, found = run_it(tmp_path, "spans", names, more="[distill]\nlayers = 1\n")
    rows = found["candidates"]
    assert [*rows] == ["float32", "distilled", "distilled+bfloat16"]
    sizes = [row["bytes"] for row in rows.values()]
    assert sizes == sorted(sizes, reverse=True)
    manifest = read_json(tmp_path / "models" / "1" / "assets.extra" / "manifest.json")
    assert manifest["variant"] == found["chosen"]
    (teacher, student) = (
        read_json(file)
        for file in sorted(
            (tmp_path / "runs" / "evaluate").glob("*/metrics.json"),
            key=lambda file: "teacher" in read_json(file),
        )
    )
    assert manifest["metrics"]["teacher"]["loss"] == teacher["loss"]
    assert rows["float32"]["figures"]["f1_micro"] == pytest.approx(teacher["f1_micro"])
    assert rows["distilled"]["figures"]["f1_micro"] == pytest.approx(student["f1_micro"])


@pytest.mark.slow
def test_what_a_byte_level_vocabulary_can_not_be_is_skipped(tmp_path: Path) -> None:
    names = ["pruned_vocabulary+bfloat16", "bfloat16"]
    _, found = run_it(tmp_path, "pairs", names, model='tokenizer = "bpe"', epochs=1, rows=120)
    rows = found["candidates"]
    assert rows["pruned_vocabulary+bfloat16"].keys() == {"skipped"}
    assert "byte-level BPE knows every text" in rows["pruned_vocabulary+bfloat16"]["skipped"]
    assert "figures" in rows["bfloat16"]
