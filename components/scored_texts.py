"""The texts of the test split that are scored, and what the examples say of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textmill.artifact import Examples

if TYPE_CHECKING:
    import pyarrow as pa

    from textmill.models.rows import Rows


def scored_texts(examples: Examples, rows: Rows) -> pa.Table:
    """Returns the texts that rows are of: row int64, text, and pair if they are two."""
    import numpy as np
    import pyarrow as pa

    places = np.unique(rows.places)
    return examples.texts("test").take(pa.array(places)).add_column(0, "row", pa.array(places))


def true_spans(examples: Examples, rows: Rows) -> list[list[tuple[int, int, str]]]:
    """Returns the spans that each text has: start and end in characters, name.

    Token ids know less: `max_length` cuts them, and they take spans inside words for whole words.
    """
    import numpy as np

    from textmill.models.labels import read_spans

    labels = examples.table("test", [examples.label()]).column(0).take(np.unique(rows.places))
    return [read_spans(label) for label in labels.to_pylist()]
