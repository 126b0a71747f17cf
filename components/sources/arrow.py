"""Arrow files, and the folders in which Hugging Face's `datasets` saves them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from textmill.components.sources.class_names import features_of, with_class_names
from textmill.components.sources.parquet import batch_of
from textmill.components.sources.source import ROWS_PER_BATCH, Batch, digest, listing, opening
from textmill.errors import UserError

if TYPE_CHECKING:
    import pyarrow as pa

_DICT, _STATE = "dataset_dict.json", "state.json"


@dataclass(frozen=True)
class ArrowFiles:
    """Rows of Arrow files, whether IPC files or streams; `line` is a row's place, from 1.

    Attributes:
        files: Names of the files.
        splits: For each file the name of the split that it belongs to, which is the column `split`;
            () where there are none.

    Example:
        >>> import pathlib, tempfile, pyarrow as pa
        >>> file = pathlib.Path(tempfile.mkdtemp(), "a.arrow")
        >>> table = pa.table({"text": ["good"]})
        >>> with pa.ipc.new_stream(file, table.schema) as out: out.write_table(table)
        >>> [batch] = ArrowFiles((str(file),), ("train",)).batches()
        >>> batch.rows.to_pylist()
        [{'text': 'good', 'split': 'train'}]
    """

    files: tuple[str, ...]
    splits: tuple[str, ...] = ()

    def __str__(self) -> str:
        return listing(self.files)

    def digest(self) -> str:
        """Returns a digest of the files."""
        return digest(self.files)

    def batches(self) -> Iterator[Batch]:
        """Yields the columns with the types that they have, and names in place of classes."""
        import pyarrow as pa

        for place, file in enumerate(self.files):
            line = 1
            try:
                for read in _read(file):
                    for start in range(0, max(1, read.num_rows), ROWS_PER_BATCH):
                        rows = read.slice(start, ROWS_PER_BATCH)
                        rows = with_class_names(rows, features_of(read.schema), file)
                        if self.splits and "split" not in rows.schema.names:
                            split = pa.repeat(self.splits[place], rows.num_rows)
                            rows = rows.append_column("split", split)
                        yield batch_of(file, rows, line)
                        line += rows.num_rows
            except pa.ArrowInvalid as error:
                raise UserError(
                    f"{file}: can't be read as Arrow",
                    expected="a whole Arrow file or stream",
                    received=str(error).splitlines()[0],
                    fix="name another file, or write this one again",
                ) from None


def _read(file: str) -> Iterator[pa.RecordBatch]:
    """Yields the record batches of a file, at least one."""
    import pyarrow as pa

    with opening(file), pa.memory_map(file) as opened:
        if opened.read(6) == b"ARROW1":
            with pa.ipc.open_file(opened) as whole:
                found = (whole.get_batch(i) for i in range(whole.num_record_batches))
                yield from found if whole.num_record_batches else [_empty(whole.schema)]
            return
        opened.seek(0)
        with pa.ipc.open_stream(opened) as stream:
            batch = None
            for batch in stream:
                yield batch
            if batch is None:
                yield _empty(stream.schema)


def _empty(schema: pa.Schema) -> pa.RecordBatch:
    import pyarrow as pa

    return pa.RecordBatch.from_pylist([], schema)


def saved_dataset(root: str) -> ArrowFiles | None:
    """Returns the data set that `datasets` saved in a folder, None where it did not.

    Source: datasets 5.2.0, `Dataset.save_to_disk` and `DatasetDict.save_to_disk`.

    Raises:
        UserError: A part of it is missing.
    """
    folder = Path(root)
    if (folder / _DICT).is_file():
        splits = [str(name) for name in _json(folder / _DICT)["splits"]]
        parts = {name: _files(folder / name) for name in splits}
        pairs = [(file, name) for name, files in parts.items() for file in files]
        return ArrowFiles(tuple(file for file, _ in pairs), tuple(name for _, name in pairs))
    if (folder / _STATE).is_file():
        return ArrowFiles(_files(folder))
    return None


def _files(folder: Path) -> tuple[str, ...]:
    state = _json(folder / _STATE)
    if state.get("_indices_data_files"):
        raise UserError(
            f"{folder}: was saved with its rows selected by a second file",
            expected="a folder as datasets 2 and later save it",
            received=f"_indices_data_files in {_STATE}",
            fix="load it with datasets and save it again",
        )
    return tuple(str(folder / each["filename"]) for each in state["_data_files"])


def _json(file: Path) -> dict[str, Any]:
    with opening(str(file)):
        text = file.read_text("utf-8")
    try:
        found: dict[str, Any] = json.loads(text)
        return found if isinstance(found, dict) else {}
    except ValueError as error:
        raise UserError(
            f"{file}: is damaged",
            expected="JSON, as datasets writes it",
            received=str(error),
            fix="save the data set again",
        ) from None
