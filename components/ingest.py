"""Ingest: from any source to clean, distinct, labelled examples in three splits."""

from __future__ import annotations

import hashlib
import math
import os
import shutil
from collections import Counter
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal

from textmill.artifact import SPLITS, Examples, write_json
from textmill.components.cleaning import Cleaning, clean
from textmill.components.sources.source import Source
from textmill.components.staging import CLAIMS, EXTRA, Stage
from textmill.errors import UserError, nearest, one_of
from textmill.progress import advance

if TYPE_CHECKING:
    import daft
    import pyarrow as pa

ROWS_PER_SHARD = 50_000
ROWS_PER_GROUP = 8192  # what `Examples.batches` hands over at a time

# What becomes of a row: its place in CLAIMS, or one of these.
_QUARANTINE, _DUPLICATE, _LEAKED = 3, 4, 5


def ingest(
    out: Examples,
    source: Source,
    *,
    text: str = "text",
    label: str = "label",
    test_source: Source | None = None,
    split: Mapping[str, float] = MappingProxyType({"train": 0.8, "validation": 0.1, "test": 0.1}),
    split_column: str | None = None,
    where: Mapping[str, str] = MappingProxyType({}),
    cleaning: Cleaning = Cleaning(),
    conflicts: Literal["majority", "reject"] = "majority",
) -> None:
    """Reads `source`, cleans its texts, drops what is twice or unusable, and splits the rest.

    Rows whose cleaned text is equal become one: the first of them is kept. Where their labels
    differ, those of the most frequent label stay and the others are put into quarantine; with no
    such label, all of them are. A row can't be in two splits, since the split is decided by the text.

    Args:
        out: Filled with `<split>/part-*.parquet`, `quarantine.parquet` and `schema.json`. Columns:
            text, label (string), then those of the source, then `file` (string) and `line` (int64,
            from 1). A column of the source that is called `file` or `line` gets an underscore.
        source: Where the rows come from.
        text: Name of the column with the text.
        label: Name of the column with the label; numbers and truth values become their text.
        test_source: Its rows are the test split; those of `source` are shared out between train and
            validation, in their proportion in `split`.
        split: Share of each split. A hash of the cleaned text decides, so that new rows move none.
        split_column: Name of a column that says train, validation (or valid, val, dev) or test, and
            decides instead of the hash.
        where: Column -> value: other rows are left out, and not counted as rejected.
        cleaning: What is done to the texts.
        conflicts: "majority", or "reject": a text with two labels goes to quarantine altogether.

    Raises:
        UserError: The source can't be read, a column isn't there, no row is usable, or `split` makes
            no sense.

    Example:
        >>> import pathlib, tempfile
        >>> from textmill.components.sources.by_name import open_source
        >>> folder = pathlib.Path(tempfile.mkdtemp())
        >>> rows = [f"Review <b>{i}</b>,{'pos' if i % 2 else 'neg'}" for i in range(100)]
        >>> _ = (folder / "reviews.csv").write_text("\\n".join(["text,label", *rows, rows[0]]))
        >>> examples = Examples(folder / "examples")
        >>> ingest(examples, open_source(str(folder / "reviews.csv")))
        >>> sum(examples.schema()["rows"].values()), examples.schema()["duplicates"]
        (100, 1)
    """
    shares = _shares(split, test_source is not None)
    if conflicts not in ("majority", "reject"):
        raise UserError(
            f"conflicts = {conflicts!r}",
            expected=one_of(["majority", "reject"]),
            received=repr(conflicts),
            fix='set conflicts = "majority"',
        )
    staged = out.path / "staged"
    staged.mkdir(parents=True)
    stage = Stage(staged, text, label, split_column, where)
    stage.add(source)
    if test_source is not None:
        stage.add(test_source, "test")
    names = _names(stage)
    fates = _write(out, stage, _settled(stage, shares, cleaning, conflicts), names)
    shutil.rmtree(staged)
    ...
