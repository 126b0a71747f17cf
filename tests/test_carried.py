"""Columns of every Arrow type beside texts: carried unharmed, or left out and told.

The types that are not carried are tested by their schema alone: what the engine does with them is
an error at best.
"""

from __future__ import annotations

import datetime
import decimal
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hearing import warnings_heard
from textmill.artifact import Examples
from textmill.components.carried import is_carried
from textmill.components.columns import as_text
from textmill.components.ingest import ingest
from textmill.components.sources.source import Batch
from textmill.errors import UserError

TIME = datetime.datetime(2020, 2, 29, 12, 30, 1, tzinfo=datetime.UTC)
VALUES: list[tuple[pa.DataType, Any]] = [
    (pa.bool_(), True),
    *((getattr(pa, f"{sign}int{bits}")(), 7) for sign in ("", "u") for bits in (8, 16, 32, 64)),
    (pa.float16(), 1.5),
    (pa.float32(), 0.5),
    (pa.float64(), 0.1),
    (pa.decimal128(38, 10), decimal.Decimal("0.1000000000")),
    (pa.date32(), TIME.date()),
    (pa.date64(), TIME.date()),
    (pa.time64("us"), TIME.time()),
    *((pa.timestamp(unit, "UTC"), TIME) for unit in ("s", "ms", "us", "ns")),
    *((pa.duration(unit), datetime.timedelta(days=-1)) for unit in ("s", "ms", "us", "ns")),
    (pa.binary(), b"\xff"),
    (pa.large_binary(), b"\xff"),
    (pa.binary(2), b"\xff\x00"),
    (pa.string(), "so"),
    (pa.large_string(), "so"),
]


@dataclass(frozen=True)
class Rows:
    """Three rows: texts, labels and other columns."""

    columns: dict[str, pa.Array] = field(hash=False)

    def digest(self) -> str:
        return "rows"

    def batches(self) -> Iterator[Batch]:
        ours = {"text": pa.array(["one", "two", "six"]), "label": pa.array(["a", "b", "a"])}
        rows = pa.record_batch(ours | self.columns)
        yield Batch(rows, pa.array(["memory"] * 3), pa.array([1, 2, 3], pa.int64()))


def ingested(folder: Path, columns: dict[str, pa.Array]) -> tuple[list[dict[str, Any]], list[str]]:
    """Returns the rows of the examples in order, and the warnings."""
    out = Examples(folder / "out")
    with warnings_heard() as heard:
        ingest(out, Rows(columns))
    files = sorted(out.path.glob("*/part-*.parquet"))
    rows = [row for file in files for row in pq.read_table(file).to_pylist()]
    return sorted(rows, key=lambda row: int(row["line"])), heard


def test_what_is_carried_comes_out_as_it_went_in(tmp_path: Path) -> None:
    columns: dict[str, pa.Array] = {"null": pa.nulls(3)}
    for kind, value in VALUES:
        assert is_carried(kind), kind
        deep = pa.list_(pa.struct([("a", pa.large_list(kind)), ("b", pa.int8())]))
        columns |= {
            str(kind): pa.array([value, None, value], kind),
            f"list {kind}": pa.array([[value, None], None, []], pa.list_(kind)),
            f"fixed {kind}": pa.array([[value, None], None, [None, value]], pa.list_(kind, 2)),
            f"struct {kind}": pa.array([{"a": value}, None, {"a": None}], pa.struct([("a", kind)])),
            f"deep {kind}": pa.array([[{"a": [value, None], "b": 1}, None], None, []], deep),
        }
    words = pa.array(["so", None, "la"]).dictionary_encode()
    columns["dictionary"] = words
    found, heard = ingested(tmp_path, columns)
    assert heard == []
    for name, column in columns.items():
        assert [row[name] for row in found] == column.to_pylist(), name


NOT_CARRIED = {
    "map": pa.map_(pa.string(), pa.int64()),
    "map in a list": pa.list_(pa.map_(pa.string(), pa.string())),
    "map in a map": pa.map_(pa.string(), pa.map_(pa.string(), pa.int64())),
    "map in an object": pa.struct([("a", pa.int64()), ("b", pa.map_(pa.string(), pa.int64()))]),
    "decimal32": pa.decimal32(5, 2),
    "decimal64": pa.decimal64(12, 2),
    "decimal256": pa.decimal256(50, 2),
    "decimal256 in a list": pa.list_(pa.decimal256(50, 2)),
    "scale below 0": pa.decimal128(5, -2),
    "time32": pa.time32("s"),
    "interval": pa.month_day_nano_interval(),
    "dictionary in a list": pa.list_(pa.dictionary(pa.int32(), pa.string())),
    "dictionary in an object": pa.struct([("a", pa.dictionary(pa.int8(), pa.string()))]),
    "view of bytes": pa.binary_view(),
    "view of a string in a list": pa.list_(pa.string_view()),
    "view of a list": pa.list_view(pa.int64()),
    "large view of a list": pa.large_list_view(pa.int64()),
    "large list of nothing": pa.large_list(pa.null()),
    "fixed list in a list": pa.list_(pa.list_(pa.int64(), 2)),
    "object without fields": pa.struct([]),
    "object with a field twice": pa.struct([("a", pa.int64()), ("a", pa.int64())]),
    "runs": pa.run_end_encoded(pa.int32(), pa.string()),
    "dense union": pa.dense_union([pa.field("a", pa.int64())]),
    "sparse union": pa.sparse_union([pa.field("a", pa.int64())]),
    "uuid": pa.uuid(),
    "bool8": pa.bool8(),
    "tensor": pa.fixed_shape_tensor(pa.int32(), (2,)),
    "opaque": pa.opaque(pa.int64(), "a", "b"),
    "json in a list": pa.list_(pa.json_()),
}


@pytest.mark.parametrize("name", NOT_CARRIED)
def test_what_is_not_carried_by_its_schema_alone(name: str) -> None:
    assert not is_carried(NOT_CARRIED[name])


def test_a_column_that_is_not_asked_for_is_left_out_and_told(tmp_path: Path) -> None:
    columns = {
        "stars": pa.array([1, 2, 3]),
        "time": pa.array([TIME.time()] * 3, pa.time32("s")),
        "price": pa.array([decimal.Decimal("1.50")] * 3, pa.decimal256(50, 2)),
    }
    found, [warning] = ingested(tmp_path, columns)
    assert [list(row) for row in found] == [["text", "label", "stars", "file", "line"]] * 3
    assert "left out columns of types that tables here do not carry: " in warning
    assert warning.endswith("'time' (time32[s]), 'price' (decimal256(50, 2))")


def test_times_that_no_parquet_holds_are_left_out(tmp_path: Path) -> None:
    times = pa.array([2**62] * 3, pa.timestamp("s"))
    found, [warning] = ingested(tmp_path, {"time": times})
    assert [list(row) for row in found] == [["text", "label", "file", "line"]] * 3
    assert warning.endswith("'time' (timestamp[s])")


def test_such_a_column_can_be_asked_for(tmp_path: Path) -> None:
    out = Examples(tmp_path / "out")
    price = pa.array([decimal.Decimal(n) for n in ("1.50", "2.50", "3.00")], pa.decimal256(50, 2))
    ingest(out, Rows({"price": price}), label="price", labels="number")
    files = out.path.glob("*/part-*.parquet")
    rows = [row for file in files for row in pq.read_table(file).to_pylist()]
    assert {row["text"]: row["price"] for row in rows} == {"one": "1.5", "two": "2.5", "six": "3.0"}
    assert out.schema()["columns"]["price"] == "string"
    for column in (
        pa.nulls(3, pa.month_day_nano_interval()),
        pa.nulls(3, pa.uuid()),
        pa.StructArray.from_arrays([pa.array([1]), pa.array([2])], ["a", "a"]),
    ):
        with pytest.raises(UserError, match=r"(?s)holds no text|can't be read"):
            as_text(column, "price")
