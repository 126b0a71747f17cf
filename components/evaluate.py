"""How good a trained model is on rows that it has not seen."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import TYPE_CHECKING, Any

from textmill.artifact import Evaluation, Examples, Model, Tokens, write_json
from textmill.errors import UserError
from textmill.models import text_classification
from textmill.models.metrics import Metric, classification_metrics
from textmill.models.task import Task
from textmill.progress import advance
from textmill.quiet import import_tensorflow

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa

    from textmill.models.rows import Rows

BATCH_SIZE = 64
MISTAKES = 20


def evaluate(
    out: Evaluation,
    model: Model,
    tokens: Tokens,
    examples: Examples,
    *,
    task: Task = text_classification,
    metrics: tuple[Metric, ...] = (),
) -> None:
    """Scores the test split and writes figures, every prediction and a report to `out`.

    Args:
        out: `metrics.json`, `predictions.parquet` (row int64, text, label, predicted, scores
            list<float> in the order of the labels), `report.html`.
        model: What to score.
        tokens: The test split's token ids.
        examples: The test split's texts.
        task: What the model learned, as `train` was told.
        metrics: Figures of one's own; each is added under its function's name.

    Raises:
        UserError: The test split is empty.
    """
    import_tensorflow()
    import numpy as np
    import pyarrow.parquet as pq

    from textmill.models.rows import read_rows

    rows, names = read_rows(tokens, "test"), tokens.info()["labels"]
    if not len(rows):
        raise UserError(
            "the test split is empty",
            expected="at least one row to score",
            received="0 rows",
            fix="give data.split a share for test, or a data.test_source",
        )
    predicted, scores = task.decode(_logits(model, rows, task))
    labels = rows.labels.astype(np.int64)
    figures = classification_metrics(labels, predicted, scores, names)
    for metric in metrics:
        figures[metric.__name__] = float(metric(labels, predicted, scores))
    write_json(out.path / "metrics.json", figures)

    table = _predictions(examples, rows, predicted, scores, names)
    pq.write_table(table, out.path / "predictions.parquet")
    own = [metric.__name__ for metric in metrics]
    report = _report(figures, table, _history(model), own)
    (out.path / "report.html").write_text(report, "utf-8")


def _logits(model: Model, rows: Rows, task: Task) -> npt.NDArray[np.float32]:
    import numpy as np
    import tensorflow as tf

    from textmill.models.batches import by_length, padded

    classifier = task.load(model.path)
    # Open dimensions: traced once, whatever the lengths.
    score = tf.function(
        lambda token_ids, padding_mask: task.logits(classifier, token_ids, padding_mask),
        input_signature=[tf.TensorSpec([None, None], tf.int32)] * 2,
    )
    logits = np.zeros((len(rows), len(model.task()["labels"])), np.float32)
    done = 0
    for batch in by_length(rows.lengths, BATCH_SIZE):
        inputs = padded(rows, batch, ("token_ids", "padding_mask"))
        logits[batch] = score(inputs["token_ids"], inputs["padding_mask"]).numpy()
        done += len(batch)
        advance(done, len(rows), "rows")
    return logits


def _predictions(
    examples: Examples,
    rows: Rows,
    predicted: npt.NDArray[np.int64],
    scores: npt.NDArray[np.float32],
    names: list[str],
) -> pa.Table:
    import pyarrow as pa

    column = examples.schema()["text"]
    texts = examples.table("test", [column]).column(column).combine_chunks()
    label = pa.array(names, pa.string())
    return pa.table(
        {
            "row": rows.places,
            "text": texts.take(pa.array(rows.places)),
            "label": label.take(pa.array(rows.labels)),
            "predicted": label.take(pa.array(predicted)),
            "scores": pa.array(list(scores), pa.list_(pa.float32())),
        }
    )


def _history(model: Model) -> list[dict[str, float]]:
    file = model.path / "history.csv"
    with file.open(encoding="utf-8", newline="") as lines:
        return [{k: float(v) for k, v in row.items()} for row in csv.DictReader(lines)]


def _report(
    figures: dict[str, Any], table: pa.Table, history: list[dict[str, float]], own: list[str]
) -> str:
    import jinja2

    templates = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    return templates.get_template("report.html.jinja").render(
        figures=figures,
        own=own,
        mistakes=_mistakes(table),
        # A class's cell is shaded by its share of the true class, so that a rare one shows too.
        confusion=[
            (name, [(n, n / max(sum(counts), 1)) for n in counts])
            for name, counts in zip(figures["labels"], figures["confusion_matrix"], strict=True)
        ],
        history=history,
        curves=_curves(history),
    )


def _mistakes(table: pa.Table) -> list[dict[str, Any]]:
    """Returns the wrong predictions that the model was surest of, the surest first."""
    wrong = [row for row in table.to_pylist() if row["label"] != row["predicted"]]
    wrong.sort(key=lambda row: (-max(row["scores"]), row["row"]))
    return [row | {"score": max(row["scores"])} for row in wrong[:MISTAKES]]


def _curves(history: list[dict[str, float]]) -> list[dict[str, Any]]:
    """Returns the learning curves, one chart for loss and one for accuracy, as SVG points."""
    width, height = 320.0, 140.0
    charts = []
    for figure in ("loss", "accuracy"):
        names = [name for name in (figure, f"val_{figure}") if name in history[0]]
        values = [row[name] for row in history for name in names]
        low, high = min(values), max(values)
        span = (high - low) or 1.0
        lines = {}
        for name in names:
            xs = [width * i / max(len(history) - 1, 1) for i in range(len(history))]
            ys = [height * (high - row[name]) / span for row in history]
            lines[name] = [(f"{x:.1f}", f"{y:.1f}") for x, y in zip(xs, ys, strict=True)]
        charts.append({"figure": figure, "low": low, "high": high, "lines": lines})
    return charts
