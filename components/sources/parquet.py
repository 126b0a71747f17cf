"""Parquet files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from textmill.components.sources.source import ROWS_PER_BATCH, Batch, digest, listing, opening
from textmill.errors import UserError

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True)
class Parquet:
    """Rows of Parquet files; a row's `line` is its place in its file, from 1.

    Attributes:
        files: Names of the files.

    Example:
        >>> import pathlib, tempfile, pyarrow as pa, pyarrow.parquet as pq
        >>> file = pathlib.Path(tempfile.mkdtemp(), "a.parquet")
        >>> pq.write_table(pa.table({"text": ["good"], "stars": [5]}), file)
        >>> [batch] = Parquet((str(file),)).batches()
        >>> batch.rows.to_pylist(), batch.line.to_pylist()
        ([{'text': 'good', 'stars': 5}], [1])
    """

    files: tuple[str, ...]

    def __str__(self) -> str:
        return listing(self.files)

    def digest(self) -> str:
        """Returns a digest of the files."""
        return digest(self.files)

    def batches(self) -> Iterator[Batch]:
        """Yields the columns with the types that they have."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        for file in self.files:
            try:
                with opening(file), pq.ParquetFile(file) as opened:
                    _refuse_twice(file, opened.schema_arrow.names)
                    if not opened.metadata.num_rows:
                        yield _batch(file, pa.RecordBatch.from_pylist([], opened.schema_arrow), 1)
                    line = 1
                    for rows in opened.iter_batches(batch_size=ROWS_PER_BATCH):
                        yield _batch(file, rows, line)
                        line += rows.num_rows
            except pa.ArrowInvalid as error:
                raise UserError(
                    f"{file}: can't be read as Parquet",
                    expected="a whole Parquet file",
                    received=str(error).splitlines()[0],
                    fix="name another file, or write this one again",
                ) from None


def _batch(file: str, rows: pa.RecordBatch, line: int) -> Batch:
    import pyarrow as pa

    lines = pa.array(range(line, line + rows.num_rows), pa.int64())
    return Batch(rows, pa.array([file] * rows.num_rows, pa.string()), lines)


def _refuse_twice(file: str, names: list[str]) -> None:
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise UserError(
            f"{file}: {len(twice)} column names stand twice",
            expected="a different name for every column",
            received=", ".join(twice),
            fix="rename one of them",
        )
