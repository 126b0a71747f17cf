"""From sources to Parquet on disk, some thousand rows at a time, so that data may exceed memory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from textwrap import shorten
from typing import TYPE_CHECKING

from textmill.artifact import LabelKind
from textmill.components.carried import carried, is_carried
from textmill.components.columns import as_text, names_inside, pick
from textmill.components.label_column import read_labels
from textmill.components.name_lists import listed_share, out_of_list
from textmill.components.sources.source import Batch, Rejected, Source
from textmill.components.split_column import CLAIMS, COLUMN, UnheededSplits, places_of
from textmill.errors import UserError, nearest, one_of
from textmill.models.labels import names_in
from textmill.progress import advance, warn

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

EXTRA = "column "  # stands before the name of a column that is only kept: no name can clash

_ENOUGH, _SOME = 5, 0.1  # texts in brackets that are no chance; a share that is worth a warning
_MOST_NAMES = 100_000
_NAMES_SHOWN = 50  # of the columns, where one is missing
_DISTINCT = 1000  # values of a `where` column that are remembered for a message


@dataclass
class Stage:
    """Rows on their way from sources to Examples: Parquet files, and what is known of them.

    The columns are `order` (int64, the row's place among all), `file`, `line`, `split` (int8, its
    place in `CLAIMS`, null where that is open), `text`, `pair` and `label` ("" in every row that
    needs none), `reason` (null where the row is good) and, under `EXTRA` + name, the other columns
    of the source.

    Attributes:
        folder: Where the files go.
        text: Column of the source with the text.
        pair: Column of the source with the second text, or None.
        label: Column of the source with the label, or None.
        labels: What a label is.
        separator: Between several names.
        split_column: Column of the source with the split, or None.
        where: Column -> value that a row must have to count at all.
        files: The files so far.
        types: Kept column -> Arrow type.
        read: Rows so far, the rejected ones counted.
        left_out: Rows that `where` left out.
        said: The splits that the split column names.
        names: Name of a label -> rows, of good rows; none where they are too many to be labels.
    """

    folder: Path
    text: str
    label: str | None
    pair: str | None = None
    labels: LabelKind = "one"
    separator: str = "|"
    split_column: str | None = None
    where: Mapping[str, str] = field(default_factory=dict)
    files: list[Path] = field(default_factory=list)
    types: dict[str, pa.DataType] = field(default_factory=dict)
    read: int = 0
    left_out: int = 0
    said: set[str] = field(default_factory=set)
    names: Counter[str] = field(default_factory=Counter)
    _many: bool = False
    _listed: dict[str, bool] = field(default_factory=dict)
    _unheeded: UnheededSplits = field(default_factory=UnheededSplits)
    _reached: set[str] = field(default_factory=set)
    _values: dict[str, Counter[str]] = field(default_factory=dict)
    _dropped: dict[str, str] = field(default_factory=dict)

    def columns(self) -> list[str]:
        """Returns the names of the staged columns."""
        kept = (EXTRA + name for name in self.types)
        return ["order", "file", "line", "split", "text", "pair", "label", "reason", *kept]

    def add(self, source: Source, split: str | None = None) -> None:
        """Stages the rows of `source`.

        Args:
            source: The source.
            split: The split that all its rows belong to; None where that is open.

        Raises:
            UserError: A column is missing or holds no text, a split has an unknown name, two files
                disagree about the type of a column, or there is no row.
        """
        import pyarrow.parquet as pq

        before = self.read
        writer: pq.ParquetWriter | None = None
        try:
            for batch in source.batches():
                table = self._table(batch, split, str(source))
                if writer is None or writer.schema != table.schema:
                    if writer is not None:
                        writer.close()
                    self.files.append(self.folder / f"{len(self.files):05d}.parquet")
                    writer = pq.ParquetWriter(self.files[-1], table.schema)
                writer.write_table(table)
                self.read += table.num_rows
                advance(self.read, None, "rows read")
        finally:
            if writer is not None:
                writer.close()
        if self.read == before:
            raise self._no_rows(str(source))
        self._unheeded.tell()
        if self._dropped:
            kinds = ", ".join(f"{name!r} ({kind})" for name, kind in self._dropped.items())
            warn(f"{source}: left out columns of types that tables here do not carry: {kinds}")
            self._dropped.clear()

    def _table(self, batch: Batch, split: str | None, source: str) -> pa.Table:
        """Returns the rows of a batch, the rejected ones in their places, as staged columns."""
        import pyarrow as pa
        import pyarrow.compute as pc

        names = batch.rows.schema.names
        if not names and not len(batch.file):  # nothing but rejected rows, or none at all
            return _ordered(_rejected(batch.rejected), self.read)
        picked = self._picked(batch, split, source)
        text, no_text = self._texts(picked, self.text)
        pair, no_pair = pa.repeat("", len(text)), pa.nulls(len(text), pa.string())
        missing = _missing(text)
        if self.pair is not None:
            pair, no_pair = self._texts(picked, self.pair)
            missing = pc.or_(missing, _missing(pair))
        label, unlabelled = pa.repeat("", len(text)), pa.nulls(len(text), pa.string())
        if self.label is not None:
            column = picked[self.label]
            label, unlabelled = read_labels(column, self.label, self.labels, self.separator, text)
        missing = pc.case_when(pc.make_struct(missing), "missing text")
        ours = (self.text, self.pair, self.label)
        rows = {name: batch.rows[name] for name in names if name not in ours}
        table = {
            "file": batch.file,
            "line": batch.line,
            "split": pa.nulls(len(text), pa.int8()),
            "text": text,
            "pair": pair,
            "label": label,
            "reason": pc.coalesce(no_text, no_pair, missing, unlabelled),
        }
        if split is not None:
            table["split"] = pa.repeat(pa.scalar(CLAIMS.index(split), pa.int8()), len(text))
        elif self.split_column is not None:
            table["split"], missing = places_of(
                picked[self.split_column], self.split_column, table["reason"]
            )
            self.said |= {
                CLAIMS[place] for place in pc.unique(table["split"].drop_null()).to_pylist()
            }
            table["reason"] = pc.if_else(missing, "missing split", table["reason"])
        for name, column in rows.items():
            kept = carried(column, name)
            if kept is None:
                self._dropped[name] = shorten(str(column.type), 60)
            else:
                self._note_type(name, kept.type, source)
                table[EXTRA + name] = kept
        good = pa.table(table).filter(self._matching(picked, len(text)))
        self._count(good)
        if split is None and self.split_column is None and COLUMN in rows.keys() - self.where:
            self._unheeded.add(rows[COLUMN])
        rejected = _rejected(batch.rejected)
        return _ordered(pa.concat_tables([good, rejected], promote_options="default"), self.read)

    def _texts(self, picked: Mapping[str, pa.Array], name: str) -> tuple[pa.Array, pa.Array]:
        """Returns a column with texts, and why there is none.

        Where the first rows are all printed lists of one text, as a table has them that was made of
        lists, so are the others, and the text is what is in the list.
        """
        import pyarrow as pa

        found, faults = as_text(picked[name], name)
        if name not in self._listed:
            share = listed_share(found.to_pylist())
            self._listed[name] = share == 1 and len(found) >= _ENOUGH
            if share > _SOME:
                done = "taken out of them" if self._listed[name] else "left as they are"
                warn(f"{share:.0%} of {name!r} are lists of one text in brackets, and {done}")
        if self._listed[name]:
            found = pa.array([out_of_list(text) for text in found.to_pylist()], pa.string())
        return found, faults

    def _count(self, rows: pa.Table) -> None:
        """Counts the names of labels."""
        import pyarrow.compute as pc

        if self.label is None or self.labels == "number" or self._many:
            return
        labels = rows["label"].filter(rows["reason"].is_null())
        for count in pc.value_counts(labels).to_pylist():
            for name in names_in(self.labels, count["values"], self.separator):
                self.names[name] += count["counts"]
        if len(self.names) > _MOST_NAMES:  # a column of texts
            self.names.clear()
            self._many = True

    def _picked(self, batch: Batch, split: str | None, source: str) -> dict[str, pa.Array]:
        """Returns the columns of a batch that were asked for.

        Raises:
            UserError: One of them isn't there.
        """
        import pyarrow as pa

        found: dict[str, pa.Array] = {}
        for option, name in self._wanted(split):
            column = pick(batch.rows, name)
            if column is None and name in self._reached:  # no row of this batch has the key
                column = pa.nulls(batch.rows.num_rows)
            if column is None:
                file = batch.file[0].as_py() if len(batch.file) else source
                raise _no_column(file, names_inside(batch.rows), option, name)
            self._reached.add(name)
            found[name] = column
        return found

    def _wanted(self, split: str | None) -> Iterator[tuple[str, str]]:
        """Yields the options that name a column, and the names."""
        yield "text", self.text
        if self.pair is not None:
            yield "pair", self.pair
        if self.label is not None:
            yield "label", self.label
        if self.split_column is not None and split is None:
            yield "split_column", self.split_column
        for name in self.where:
            yield "where", name

    def _matching(self, columns: Mapping[str, pa.Array], rows: int) -> pa.Array:
        """Returns which rows have the values that `where` asks for."""
        import pyarrow as pa
        import pyarrow.compute as pc

        mask = pa.repeat(True, rows)
        for name, wanted in self.where.items():
            found = as_text(columns[name], name)[0]
            values = self._values.setdefault(name, Counter())
            if len(values) < _DISTINCT:
                values.update(value for value in found.unique().to_pylist() if value)
            mask = pc.and_(mask, pc.fill_null(pc.equal(found, wanted), False))
        self.left_out += rows - pc.sum(mask, min_count=0).as_py()
        return mask

    def _note_type(self, name: str, kind: pa.DataType, source: str) -> None:
        """Remembers the type of a column that is only kept."""
        import pyarrow as pa

        before = self.types.get(name, pa.null())
        try:
            both = pa.unify_schemas(
                [pa.schema([(name, before)]), pa.schema([(name, kind)])],
                promote_options="permissive",
            )
            found = both.field(name).type
        except pa.ArrowTypeError:
            found = None
        if found is None or not is_carried(found):
            raise UserError(
                f"{source}: column {name!r} has two types",
                expected=f"{before}, as in the files before",
                received=str(kind),
                fix="write the column with one type, or leave it out of the files",
            )
        self.types[name] = found

    def _no_rows(self, source: str) -> UserError:
        for name, wanted in self.where.items():
            if self._values.get(name) and wanted not in self._values[name]:
                close = nearest(wanted, self._values[name])
                return UserError(
                    f"{source}: no row where {name} is {wanted!r}",
                    expected=one_of(list(self._values[name])[:20]),
                    received=repr(wanted),
                    fix=f'set where.{name} = "{close}"' if close else "correct where",
                )
        return UserError(
            f"{source}: no rows",
            expected="rows with a text and a label" if self.label else "rows with a text",
            received=f"{self.left_out} rows that `where` leaves out" if self.left_out else "none",
            fix="correct where" if self.left_out else "name data with rows in it",
        )


def _no_column(file: str, names: Sequence[str], option: str, name: str) -> UserError:
    """Returns what is to be said where a column that was asked for isn't there."""
    close = nearest(name, names)
    fix = f'set {option} = "{close}"' if close else f"set {option} to one of these"
    if option == "pair":  # in a config the second of the texts
        fix = f'name "{close}" in data.text' if close else "name two of these in data.text"
    for sign in ";\t|,":
        if len(names) == 1 and sign in names[0]:
            fix = f"set delimiter = {sign!r}: it seems to stand between the fields"
    if len(names) > _NAMES_SHOWN:
        names = [*sorted(names)[:_NAMES_SHOWN], "…"]
    return UserError(
        f"{file}: no column {name!r}", expected=one_of(names), received=repr(name), fix=fix
    )


def _missing(column: pa.Array) -> pa.Array:
    import pyarrow.compute as pc

    return pc.fill_null(pc.equal(column, ""), True)


def _rejected(rows: Sequence[Rejected]) -> pa.Table:
    import pyarrow as pa

    return pa.table(
        {
            "file": pa.array([row.file for row in rows], pa.string()),
            "line": pa.array([row.line for row in rows], pa.int64()),
            "split": pa.nulls(len(rows), pa.int8()),
            "text": pa.array([row.text for row in rows], pa.string()),
            "pair": pa.nulls(len(rows), pa.string()),
            "label": pa.nulls(len(rows), pa.string()),
            "reason": pa.array([row.reason for row in rows], pa.string()),
        }
    )


def _ordered(table: pa.Table, start: int) -> pa.Table:
    """Returns the rows of a batch sorted by file and line, with the column `order`."""
    import numpy as np
    import pyarrow as pa

    files = table["file"].combine_chunks().dictionary_encode().indices
    table = table.take(np.lexsort((table["line"], files)))
    return table.add_column(0, "order", pa.array(range(start, start + len(table)), pa.int64()))
