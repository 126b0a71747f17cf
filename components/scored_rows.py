"""Rows with what a model that writes says of them, and how it was trained."""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING

import numpy as np

from textmill.artifact import Model, Tokens
from textmill.errors import UserError

if TYPE_CHECKING:
    import pyarrow as pa

    from textmill.models.likelihood import Likelihoods
    from textmill.models.rows import Rows


def rows_to_score(tokens: Tokens, called: str) -> Rows:
    """Returns the rows of the test split.

    Args:
        tokens: Of all splits.
        called: What a row is, such as "document".

    Raises:
        UserError: There are none.
    """
    from textmill.models.rows import read_rows

    rows = read_rows(tokens, "test")
    if not len(rows):
        raise UserError(
            "the test split is empty",
            expected=f"at least one {called} to score",
            received=f"0 {called}s",
            fix="give data.split a share for test, or a data.test_source",
        )
    return rows


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
