"""Rows with what a model that writes says of them, and how it was trained."""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING

import numpy as np

from textmill.artifact import Model

if TYPE_CHECKING:
    import pyarrow as pa

    from textmill.models.likelihood import Likelihoods


def scored_table(texts: pa.Table, scored: Likelihoods) -> pa.Table:
    """Returns rows with what a model says of each: nats, tokens, bytes and bits_per_byte.

    Args:
        texts: The rows.
        scored: Of each.
    """
    import pyarrow as pa

    columns = {
        "nats": scored.nats,
        "tokens": scored.tokens,
        "bytes": scored.sizes,
        "bits_per_byte": scored.nats / np.log(2) / np.maximum(scored.sizes, 1),
    }
    for name, values in columns.items():
        texts = texts.append_column(name, pa.array(values))
    return texts


def history_of(model: Model) -> list[dict[str, float]]:
    """Returns the figures of each epoch of a training."""
    with (model.path / "history.csv").open(encoding="utf-8", newline="") as lines:
        return [{k: float(v) for k, v in row.items()} for row in csv.DictReader(lines)]
