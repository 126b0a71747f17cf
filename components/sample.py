"""Some of the training rows, for a quick search."""

from __future__ import annotations

from textmill.artifact import Examples, write_json


def sample(out: Examples, examples: Examples, *, rows: int, seed: int = 0) -> None:
    """Writes some training rows drawn at random, the validation rows, and no test rows.

    Files are often sorted by label, so the first rows would not do. Where rows have one label each,
    every label keeps a row.

    Args:
        out: Parquet as `Examples` has it, rows in their old order.
        examples: All rows.
        rows: Training rows to keep; all, if there are no more.
        seed: Decides which.
    """
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = examples.schema()
    table = examples.table("train")
    order = np.random.default_rng(seed).permutation(table.num_rows)
    first = np.zeros(0, np.int64)
    if schema["labels"] == "one":
        labels = table.column(examples.label()).combine_chunks().dictionary_encode().indices
        _, first = np.unique(labels.to_numpy()[order], return_index=True)
    chosen = np.union1d(order[first], order[:rows])
    if len(chosen) > rows:  # the rows that stand for their label stay
        spare = np.setdiff1d(order[:rows], order[first])
        chosen = np.union1d(order[first], spare[: max(0, rows - len(first))])
    splits = {
        "train": table.take(pa.array(chosen)),
        "validation": examples.table("validation"),
        "test": examples.table("test").slice(0, 0),
    }
    for split, kept in splits.items():
        (out.path / split).mkdir()
        pq.write_table(kept, out.path / split / "part-00000.parquet")
    counts = {split: kept.num_rows for split, kept in splits.items()}
    write_json(out.path / "schema.json", {**schema, "rows": counts})
