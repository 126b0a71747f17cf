"""Examples on disk: rows into the Parquet files of their splits, or into quarantine."""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator, Iterable, Iterator
from contextlib import closing
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, cast

from textmill.artifact import SPLITS
from textmill.components.settling import LEAKED, QUARANTINE
from textmill.components.split_column import CLAIMS
from textmill.components.staging import EXTRA, Stage
from textmill.progress import advance

if TYPE_CHECKING:
    import daft
    import pyarrow as pa

ROWS_PER_SHARD = 50_000
ROWS_PER_GROUP = 8192  # what `Examples.batches` hands over at a time


def schema_of(stage: Stage) -> pa.Schema:
    """Returns the columns of the examples: text, label if any, those of the source, file and line.

    Example:
        >>> schema_of(Stage(Path("staged"), text="line", label="role")).names
        ['line_', 'role', 'file', 'line']
        >>> schema_of(Stage(Path("staged"), text="text", label=None)).names
        ['text', 'file', 'line']
    """
    import pyarrow as pa

    ours = ["file", "line"]
    given = [name for name in (stage.text, stage.pair, stage.label) if name is not None]
    theirs = [*given, *stage.types]
    names: list[str] = []
    for name in theirs:
        new = name
        while new in ours or new in names or (new != name and new in theirs):
            new += "_"
        names.append(new)
    types = [*[pa.string()] * len(given), *stage.types.values(), pa.string(), pa.int64()]
    return pa.schema(list(zip(names + ours, types, strict=True)))


def write(
    folder: Path, rows: daft.DataFrame, schema: pa.Schema, stage: Stage
) -> tuple[Counter[int | str], Counter[str]]:
    """Writes rows where their fates want them: into their split, or into quarantine.

    The files do not depend on how the engine cut its work, and so are equal for equal rows.

    Args:
        folder: Gets `<split>/part-*.parquet`, at least one a split, and `quarantine.parquet`.
        rows: The rows as `settle` returns them.
        schema: The columns of the examples.
        stage: The staged rows.

    Returns:
        How many rows had each fate, and how many texts had "conflicts"; and reason -> rows.
    """
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    known = {"text": stage.text, "pair": stage.pair, "label": stage.label}
    ours = [column for column, name in known.items() if name is not None]
    columns = [*ours, *(EXTRA + name for name in stage.types), "file", "line"]
    quarantined = ["file", "line", "reason", *ours]
    line = {"line": pa.int64()}
    quarantine_schema = pa.schema([(name, line.get(name, pa.string())) for name in quarantined])
    counts: Counter[int | str] = Counter()
    rejected: Counter[str] = Counter()

    def counted(pieces: Iterable[tuple[int, pa.Table]]) -> Iterator[pa.Table]:
        for fate, table in pieces:
            counts[fate] += table.num_rows
            counts["conflicts"] += pc.sum(table["conflict"]).as_py()
            advance(sum(counts[each] for each in range(LEAKED + 1)), stage.read, "rows sorted out")
            yield table

    for name in SPLITS:
        (folder / name).mkdir()
        _write_part(folder / name, 0, schema.empty_table())
    with (
        # An engine that is left in the middle of its work would keep the process from ending.
        closing(cast("Generator[pa.RecordBatch]", rows.to_arrow_iter())) as batches,
        pq.ParquetWriter(folder / "quarantine.parquet", quarantine_schema) as quarantine,
    ):
        for fate, pieces in groupby(_pieces(batches), itemgetter(0)):
            for number, table in enumerate(_regrouped(counted(pieces))):
                if fate == QUARANTINE:
                    reasons = pc.list_element(pc.split_pattern(table["reason"], ":"), 0)
                    rejected.update(reasons.to_pylist())
                    quarantine.write_table(table.select(quarantined).cast(quarantine_schema))
                elif fate < QUARANTINE:
                    part = table.select(columns).rename_columns(schema.names).cast(schema)
                    _write_part(folder / CLAIMS[fate], number, part)
    return counts, rejected


def _pieces(batches: Iterable[pa.RecordBatch]) -> Iterator[tuple[int, pa.Table]]:
    """Yields rows that come sorted by fate in pieces of one fate."""
    import pyarrow as pa
    import pyarrow.compute as pc

    for batch in batches:
        table = pa.table(batch)
        for fate in pc.unique(batch["fate"]).to_pylist():
            yield fate, table.filter(pc.equal(batch["fate"], fate))


def _regrouped(tables: Iterable[pa.Table]) -> Iterator[pa.Table]:
    """Yields the same rows by the shard, so that files do not depend on how the work was cut."""
    import pyarrow as pa

    held: list[pa.Table] = []
    for table in tables:
        held.append(table)
        while sum(each.num_rows for each in held) >= ROWS_PER_SHARD:
            whole = pa.concat_tables(held)
            yield whole.slice(0, ROWS_PER_SHARD).combine_chunks()
            held = [whole.slice(ROWS_PER_SHARD)]
    if held and sum(each.num_rows for each in held):
        yield pa.concat_tables(held).combine_chunks()


def _write_part(folder: Path, number: int, table: pa.Table) -> None:
    import pyarrow.parquet as pq

    file = folder / f"part-{number:05d}.parquet"
    pq.write_table(table, file, row_group_size=ROWS_PER_GROUP, compression="zstd")
