"""The page that shows how good a model is: figures, curves, and its worst mistakes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from textmill.artifact import LabelKind

if TYPE_CHECKING:
    import numpy.typing as npt
    import pyarrow as pa

MISTAKES = 20
POINTS = 1000  # of true and predicted numbers, in the picture
# Figures between 0 and 1 that are shown in per cent have one of these words in their names.
SHARES = {"accuracy", "f1", "precision", "recall"}
WIDTH, HEIGHT = 320.0, 140.0  # of a chart


def report(
    task: str,
    kind: LabelKind,
    figures: dict[str, Any],
    table: pa.Table,
    doubt: npt.NDArray[Any],
    history: list[dict[str, float]],
) -> str:
    """Returns an HTML page that needs nothing beside it.

    Args:
        task: Name of the task.
        kind: What a label is.
        figures: As `metrics.json` has them.
        table: As `predictions.parquet` has it.
        doubt: How wrong each prediction is, float [rows]; 0: not at all.
        history: Figures of each epoch.
    """
    import jinja2

    templates = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    numbers = {name: value for name, value in figures.items() if isinstance(value, float)}
    return templates.get_template("report.html.jinja").render(
        title=task.replace("_", " ").capitalize(),
        kind=kind,
        figures=figures,
        # Where the model learned from another, that one's figures beside its own.
        beside=[
            (n, v, figures["teacher"][n], bool(SHARES & {*n.split("_")}))
            for n, v in numbers.items()
            if n in figures.get("teacher", ()) and not n.startswith("baseline_")
        ],
        cards=[(n, v, bool(SHARES & {*n.split("_")})) for n, v in numbers.items()],
        mistakes=_mistakes(table, doubt, kind),
        # A class's cell is shaded by its share of the true class, so that a rare one shows too.
        confusion=[
            (name, [(n, n / max(sum(counts), 1)) for n in counts])
            for name, counts in zip(
                figures.get("labels", ()), figures.get("confusion_matrix", ()), strict=False
            )
        ],
        scatter=_scatter(table) if kind == "number" else None,
        history=history,
        curves=curves(history, ("loss", _main(history[0]))),
    )


def _mistakes(table: pa.Table, doubt: npt.NDArray[Any], kind: LabelKind) -> list[dict[str, Any]]:
    """Returns the rows that went the most wrong, the worst first."""
    import numpy as np

    worst = np.argsort(-doubt, kind="stable")[:MISTAKES]
    places = worst[doubt[worst] > 0]
    rows: list[dict[str, Any]] = table.take(places).to_pylist()
    for row, place in zip(rows, places, strict=True):
        row["doubt"] = f"{doubt[place]:.4g}"
        if kind == "spans":
            row |= _spans(row)
        elif kind == "number":
            row |= {name: f"{row[name]:.4g}" for name in ("label", "predicted")}
    return rows


def _spans(row: dict[str, Any]) -> dict[str, list[tuple[str, str, bool]]]:
    """Returns what spans hold, their names, and whether the other side lacks them."""
    true, said = (json.loads(row[name]) for name in ("label", "predicted"))
    return {
        name: [(row["text"][a:b], label, [a, b, label] not in others) for a, b, label in spans]
        for name, spans, others in (("label", true, said), ("predicted", said, true))
    }


def _scatter(table: pa.Table) -> dict[str, Any]:
    """Returns true and predicted numbers as places in a picture, both on one scale."""
    step = -(-table.num_rows // POINTS)
    x, y = (table[name].to_numpy()[::step] for name in ("label", "predicted"))
    low, high = float(min(x.min(), y.min())), float(max(x.max(), y.max()))
    span = (high - low) or 1.0
    places = zip(WIDTH * (x - low) / span, WIDTH * (high - y) / span, strict=True)
    points = sorted({(round(float(a), 1), round(float(b), 1)) for a, b in places})
    return {"low": low, "high": high, "points": points, "width": WIDTH}


def curves(history: list[dict[str, float]], figures: Sequence[str]) -> list[dict[str, Any]]:
    """Returns learning curves as points, a chart for each figure.

    Args:
        history: Figures of each epoch.
        figures: Names, each of training and of validation.
    """
    charts = []
    for figure in figures:
        names = [name for name in (figure, f"val_{figure}") if name in history[0]]
        values = [row[name] for row in history for name in names]
        low, high = min(values), max(values)
        span = (high - low) or 1.0
        lines = {}
        for name in names:
            xs = [WIDTH * i / max(len(history) - 1, 1) for i in range(len(history))]
            ys = [HEIGHT * (high - row[name]) / span for row in history]
            lines[name] = [(f"{x:.1f}", f"{y:.1f}") for x, y in zip(xs, ys, strict=True)]
        charts.append({"figure": figure, "low": low, "high": high, "lines": lines})
    return charts


def _main(row: dict[str, float]) -> str:
    """Returns the figure that picked the epoch: the first of the validation."""
    held_out = (name.removeprefix("val_") for name in row if name.startswith("val_"))
    return next(held_out, "accuracy" if "accuracy" in row else "loss")
