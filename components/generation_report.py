"""The page that shows how well a model that writes guesses texts: figures, curves, documents."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from textmill.components.report import curves

if TYPE_CHECKING:
    import pyarrow as pa

WORST = 20
SHOWN = 300  # characters of a document
NAMES = {"loss": "Loss, nats a token", "perplexity": "Perplexity", "bits_per_byte": "Bits per byte"}


def generation_report(
    figures: dict[str, Any], table: pa.Table, history: list[dict[str, float]]
) -> str:
    """Returns an HTML page that needs nothing beside it.

    Args:
        figures: As `metrics.json` has them.
        table: As `predictions.parquet` has it.
        history: Figures of each epoch.
    """
    import jinja2
    import numpy as np

    templates = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    bits = table["bits_per_byte"].to_numpy()
    worst = table.take(np.argsort(-bits, kind="stable")[:WORST]).to_pylist()
    for row in worst:
        row["text"] = row["text"][:SHOWN] + ("…" if len(row["text"]) > SHOWN else "")
    return templates.get_template("generation_report.html.jinja").render(
        figures=figures,
        cards=[(NAMES[name], figures[name], *figures["intervals"][name]) for name in NAMES],
        worst=worst,
        history=history,
        curves=curves(history, ("loss", "bits_per_byte")),
    )
