"""The page that shows how well a model that writes does: figures, curves, texts."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from textmill.components.report import curves

if TYPE_CHECKING:
    import pyarrow as pa

WORST = 20
SHOWN = 300  # characters of a document
SAMPLES = 20
NAMES = {"loss": "Loss, nats a token", "perplexity": "Perplexity", "bits_per_byte": "Bits per byte"}
TEXTS = {
    "bleu": "BLEU",
    "chrf": "chrF",
    "rouge1": "ROUGE-1",
    "rouge2": "ROUGE-2",
    "rouge_l": "ROUGE-L",
    "exact_match": "Exact match",
    "length_ratio": "Length ratio",
    "distinct_1": "Distinct words",
    "distinct_2": "Distinct pairs of words",
    "copied": "Found in the training data",
    "copied_reference": "References found there",
}


def generation_report(
    figures: dict[str, Any], table: pa.Table, history: list[dict[str, float]]
) -> str:
    """Returns an HTML page that needs nothing beside it.

    Args:
        figures: As `metrics.json` has them.
        table: As `predictions.parquet` has it, with or without texts that were written.
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
    samples = []
    if "generated" in table.column_names:
        named = table.select(["prompt", "reference", "generated"])
        samples = named.filter(named["generated"].is_valid()).slice(0, SAMPLES).to_pylist()
    return templates.get_template("generation_report.html.jinja").render(
        figures=figures,
        cards=_cards(NAMES, figures),
        text_cards=_cards(TEXTS, figures),
        samples=samples,
        shown=SHOWN,
        worst=worst,
        history=history,
        curves=curves(history, ("loss", "bits_per_byte")),
    )


def _cards(names: dict[str, str], figures: dict[str, Any]) -> list[tuple[str, float, float, float]]:
    """Returns title, figure and interval of those figures that there are."""
    return [
        (title, figures[name], *figures["intervals"][name])
        for name, title in names.items()
        if name in figures
    ]
