"""Parquet files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from textmill.components.sources.class_names import features_of, with_class_names
from textmill.components.sources.source import ROWS_PER_BATCH, Batch, digest, listing, opening
from textmill.errors import UserError
from textmill.progress import warn

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq


@dataclass(frozen=True)
class Parquet:
    """Rows of Parquet files; a row's `line` is its place in its file, from 1.

    Numbers of classes become their names where Hugging Face's `datasets` left these in one of the
    files, and -1, which is no class, is missing.

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
        """Yields the columns with the types that they have, and names in place of classes.

        Raises:
            UserError: A file is none of Parquet, or two give classes different names.
        """
        import pyarrow as pa
        import pyarrow.parquet as pq

        features = self._features()
        for file in self.files:
            with _undamaged(file), pq.ParquetFile(file) as opened:
                if not opened.metadata.num_rows:
                    yield batch_of(file, pa.RecordBatch.from_pylist([], opened.schema_arrow), 1)
                line = 1
                names = None
                if lost := _lost(opened):
                    warn(f"{file}: left out columns that Arrow can't read: {', '.join(lost)}")
                    names = [name for name in opened.schema_arrow.names if name not in lost]
                for rows in opened.iter_batches(batch_size=ROWS_PER_BATCH, columns=names):
                    yield batch_of(file, with_class_names(rows, features, file), line)
                    line += rows.num_rows

    def _features(self) -> dict[str, Any]:
        """Returns the features with names of classes that any of the files has."""
        import pyarrow.parquet as pq

        found: dict[str, Any] = {}
        origin: dict[str, str] = {}
        for file in self.files:
            with _undamaged(file):
                schema = pq.read_schema(file)
            _refuse_twice(file, schema.names)
            for name, feature in features_of(schema).items():
                if found.setdefault(name, feature) != feature:
                    raise UserError(
                        f"{file}: other names of classes in {name!r} than in {origin[name]}",
                        expected=f"{found[name]}, as in {origin[name]}",
                        received=str(feature),
                        fix="write the files again with the same names",
                    )
                origin.setdefault(name, file)
        return found


def _lost(file: pq.ParquetFile) -> list[str]:
    """Returns the columns that can't be read back, and would take the others with them.

    pyarrow 25.0.1 writes a list of fixed size that is null, as a row without its vector, but
    refuses to read it: "Expected all lists to be of size=2 but index 2 had size=0".
    """
    import pyarrow as pa

    lost: list[str] = []
    for field in file.schema_arrow:
        if "fixed_size_list" in str(field.type):
            try:
                for group in range(file.num_row_groups):
                    file.read_row_group(group, columns=[field.name])
            except pa.ArrowInvalid:
                lost.append(field.name)
    return lost


@contextmanager
def _undamaged(file: str) -> Iterator[None]:
    import pyarrow as pa

    try:
        with opening(file):
            yield
    except (pa.ArrowException, OSError) as error:
        raise UserError(
            f"{file}: can't be read as Parquet",
            expected="a whole Parquet file",
            received=str(error).splitlines()[0],
            fix="name another file, or write this one again",
        ) from None


def batch_of(file: str, rows: pa.RecordBatch, line: int) -> Batch:
    """Returns rows of a file of which the first is its row `line`, from 1."""
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
