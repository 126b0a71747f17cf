"""How good a trained model is on rows that it has not seen."""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING, Any

from textmill.artifact import Evaluation, Examples, Model, Tokens, write_json
from textmill.components.report import report
from textmill.components.scored_texts import scored_texts, true_spans
from textmill.errors import UserError
from textmill.models import text_classification
from textmill.models.metrics import Metric, own_figures
from textmill.models.task import Task
from textmill.quiet import import_tensorflow

if TYPE_CHECKING:
    import pyarrow as pa


def evaluate(
    out: Evaluation,
    model: Model,
    tokens: Tokens,
    examples: Examples,
    *,
    task: Task = text_classification,
    metrics: tuple[Metric, ...] = (),
    teacher: Evaluation | None = None,
) -> None:
    """Scores the test split and writes figures, every prediction and a report to `out`.

    Args:
        out: `metrics.json`, `predictions.parquet` (row int64, text, pair if there is one, label,
            predicted, and of classifiers scores, list<float> in the order of the labels),
            `report.html`.
        model: What to score.
        tokens: The test split's token ids.
        examples: The test split's texts.
        task: What the model learned, as `train` was told.
        metrics: Figures of one's own, for one label a text; each is added under its function's
            name.
        teacher: Of the model that this one was distilled from, whose figures are put beside: in
            `metrics.json` under "teacher".

    Raises:
        UserError: The test split is empty, or metrics of one's own do not fit the task.
    """
    import_tensorflow()
    import pyarrow.parquet as pq

    from textmill.models.rows import read_rows
    from textmill.models.scoring import score

    rows = read_rows(tokens, "test")
    if not len(rows):
        raise UserError(
            "the test split is empty",
            expected="at least one row to score",
            received="0 rows",
            fix="give data.split a share for test, or a data.test_source",
        )
    texts = scored_texts(examples, rows)
    labels, logits = score(task.load(model.path), rows)
    truth = true_spans(examples, rows) if rows.kind == "spans" else labels
    found = task.predictions(truth, logits, model.task(), texts["text"].to_pylist())
    figures = {**found.figures, **own_figures(metrics, task.NAME, labels, found)}
    if rows.kind == "spans":
        figures["spans"] = tokens.info()["spans"]["test"]
    if teacher is not None:
        figures["teacher"] = teacher.figures()
    write_json(out.path / "metrics.json", figures)

    table = _with_columns(texts, found.columns)
    pq.write_table(table, out.path / "predictions.parquet")
    page = report(task.NAME, task.LABELS, figures, table, found.doubt, _history(model))
    (out.path / "report.html").write_text(page, "utf-8")


def _with_columns(texts: pa.Table, columns: dict[str, list[Any]]) -> pa.Table:
    import pyarrow as pa

    for name, values in columns.items():
        kind = pa.list_(pa.float32()) if name == "scores" else None
        texts = texts.append_column(name, pa.array(values, kind))
    return texts


def _history(model: Model) -> list[dict[str, float]]:
    file = model.path / "history.csv"
    with file.open(encoding="utf-8", newline="") as lines:
        return [{k: float(v) for k, v in row.items()} for row in csv.DictReader(lines)]
