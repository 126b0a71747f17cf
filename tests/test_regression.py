"""Numbers for texts: figures, and a model that answers in the unit of its data."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from scipy import stats
from sklearn import metrics as sk

from textmill.artifact import Evaluation, Tokens
from textmill.components.evaluate import evaluate
from textmill.components.ingest import ingest
from textmill.components.sources.by_name import open_source
from textmill.components.tokenize import tokenize
from textmill.components.train import train
from textmill.models import text_regression as task
from textmill.models.preset import Scratch
from textmill.models.settings import Settings
from textmill.run import Run


def made(rows: int = 200) -> tuple[Any, Any]:
    draw = np.random.default_rng(0)
    labels = draw.normal(10_000, 500, rows).astype(np.float32)
    return labels, (labels + draw.normal(0, 200, rows)).astype(np.float32)[:, None]


def test_figures_are_scikit_learns_and_scipys() -> None:
    labels, logits = made()
    found = task.predictions(labels, logits, {}, ["text"] * 200)
    true, said = labels.astype(np.float64), logits[:, 0].astype(np.float64)
    expected = {
        "rows": 200,
        "r2": sk.r2_score(true, said),
        "loss": sk.mean_squared_error(true, said),
        "mae": sk.mean_absolute_error(true, said),
        "rmse": sk.root_mean_squared_error(true, said),
        "baseline_mae": sk.mean_absolute_error(true, np.full(200, np.median(true))),
        "pearson": stats.pearsonr(true, said).statistic,
        "spearman": stats.spearmanr(true, said).statistic,
    }
    assert found.figures == pytest.approx(expected)
    assert found.columns["predicted"] == logits[:, 0].tolist()
    assert found.doubt == pytest.approx(np.abs(labels - logits[:, 0]))
    assert next(iter(task.metrics(labels, logits, []))) == "r2"  # which picks the epoch


def test_figures_of_what_does_not_vary() -> None:
    """scikit-learn and SciPy warn there, and warnings are errors here."""
    same, other = np.full(3, 2, np.float32), np.array([1, 2, 3], np.float32)
    for labels, values in ((other, same), (same, other), (same, same), (other[:1], same[:1])):
        found = task.metrics(labels, values[:, None], [])
        assert found["pearson"] == 0
        assert np.isfinite(list(found.values())).all()


def test_the_loss_is_the_squared_error() -> None:
    labels, logits = made(8)
    expected = (labels - logits[:, 0]) ** 2
    assert task.loss(labels, logits).numpy() == pytest.approx(expected, rel=1e-5)


@pytest.fixture(scope="module")
def learned(tmp_path_factory: pytest.TempPathFactory) -> tuple[Tokens, Any, Evaluation]:
    """A model of texts whose number is around 10,000, with a deviation of some 500."""
    folder, draw = tmp_path_factory.mktemp("regression"), random.Random(0)
    things = ["plot", "cast", "music", "ending", "script", "pace", "light", "sound"]
    lines = ["text,label"]
    for _ in range(640):
        stars = draw.randrange(5)
        word = ["dreadful", "poor", "plain", "fine", "superb"][stars]
        some = draw.sample(things, 3)
        text = f"{some[0]} and {some[1]} were {word} as {draw.choice(things)} in {some[2]}"
        lines.append(f"{text},{9300 + 350 * stars + draw.randrange(20)}")
    (folder / "rows.csv").write_text("\n".join(lines))
    run, preset = Run(folder / "runs"), Scratch("tiny", 400)
    examples = run(ingest, open_source(str(folder / "rows.csv")), labels="number")
    tokens = run(tokenize, examples, preset=preset, max_length=16)
    settings = Settings(epochs=5, batch_size=16, learning_rate=1e-3, precision="float32")
    model = run(train, tokens, preset=preset, task=task, settings=settings, dropout=0.0)
    return tokens, model, run(evaluate, model, tokens, examples, task=task)


def test_answers_have_the_unit_of_the_data(learned: tuple[Tokens, Any, Evaluation]) -> None:
    figures = learned[2].metrics()
    assert figures["r2"] > 0.9
    assert figures["mae"] < 100 < figures["baseline_mae"]
    table = pq.read_table(learned[2].path / "predictions.parquet").to_pydict()
    assert min(table["predicted"]) > 8000
    assert figures["mae"] == pytest.approx(
        sk.mean_absolute_error(table["label"], table["predicted"])
    )
    assert {round(label) // 100 for label in table["label"]} <= {93, 96, 97, 100, 103, 104, 107}


def test_a_validation_is_free_of_the_unit(learned: tuple[Tokens, Any, Evaluation]) -> None:
    header, *rows = (learned[1].path / "history.csv").read_text().splitlines()
    last = dict(zip(header.split(","), map(float, rows[-1].split(",")), strict=True))
    assert last["val_loss"] < 0.2  # of a variance of 1
    assert last["val_r2"] == pytest.approx(1 - last["val_loss"], abs=0.1)


def test_report_shows_the_worst_errors(
    learned: tuple[Tokens, Any, Evaluation], tmp_path: Path
) -> None:
    table = pq.read_table(learned[2].path / "predictions.parquet").to_pylist()
    worst = max(table, key=lambda row: abs(row["label"] - row["predicted"]))
    report = (learned[2].path / "report.html").read_text("utf-8")
    assert worst["text"] in report
    assert "Always saying the median" in report
