"""Ingests rows, and reads what came of them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from textmill.artifact import SPLITS, Examples
from textmill.components.ingest import ingest
from textmill.components.sources.source import Batch, Source


def rows_of(source: Source) -> list[dict[str, Any]]:
    """Returns the rows with their files and lines."""
    rows = []
    for batch in source.batches():
        columns = (batch.rows.to_pylist(), batch.file.to_pylist(), batch.line.to_pylist())
        for row, file, line in zip(*columns, strict=True):
            rows.append({**row, "file": file, "line": line})
    return rows


@dataclass(frozen=True)
class Rows:
    """A source of a user's own: (text, label) pairs."""

    rows: tuple[tuple[str | None, str | None], ...]
    file: str = "memory"

    def digest(self) -> str:
        return hashlib.sha256(repr(self).encode()).hexdigest()

    def batches(self) -> Any:
        columns = {"text": [row[0] for row in self.rows], "label": [row[1] for row in self.rows]}
        arrays = [pa.array(column, pa.string()) for column in columns.values()]
        lines = pa.array(range(1, len(self.rows) + 1), pa.int64())
        files = pa.array([self.file] * len(self.rows), pa.string())
        yield Batch(pa.record_batch(arrays, list(columns)), files, lines)


def ingested(folder: Path, source: Any, **options: Any) -> Examples:
    out = Examples(folder)
    ingest(out, source, **options)
    assert sorted(f.name for f in folder.iterdir()) == sorted(
        [*SPLITS, "quarantine.parquet", "schema.json"]
    )
    schema = out.schema()
    assert schema["read"] == (
        sum(schema["rows"].values())
        + sum(schema["rejected"].values())
        + schema["duplicates"]
        + schema["leaked"]
    )
    assert schema["rows"] == {split: out.table(split).num_rows for split in SPLITS}
    return out


def kept(examples: Examples) -> dict[str, str]:
    """Returns text -> split, and sees that no text comes twice."""
    name = examples.schema()["text"]
    pairs = [(t, s) for s in SPLITS for t in examples.table(s)[name].to_pylist()]
    assert len(dict(pairs)) == len(pairs)
    return dict(pairs)


def all_rows(examples: Examples) -> list[dict[str, Any]]:
    return sorted(
        (row for split in SPLITS for row in examples.table(split).to_pylist()),
        key=lambda row: (row["file"], row["line"]),
    )


def quarantine(examples: Examples) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = pq.read_table(examples.path / "quarantine.parquet").to_pylist()
    return found
