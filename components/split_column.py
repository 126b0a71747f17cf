"""A column that says which split a row belongs to, heeded or not."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from textmill.components.columns import as_text, is_string
from textmill.errors import UserError, one_of
from textmill.progress import warn

if TYPE_CHECKING:
    import pyarrow as pa

# The splits in the order in which they claim a text that more than one of them holds.
CLAIMS = ("test", "validation", "train")
COLUMN = "split"  # its name, in the data sets that have one

PLACES = {name: place for place, name in enumerate(CLAIMS)}
PLACES |= dict.fromkeys(("valid", "val", "dev"), CLAIMS.index("validation"))


def places_of(column: pa.Array, name: str, reason: pa.Array) -> tuple[pa.Array, pa.Array]:
    """Returns the places in `CLAIMS` of the splits that a column names, and where it names none."""
    import pyarrow as pa
    import pyarrow.compute as pc

    names = pc.utf8_lower(pc.utf8_trim_whitespace(as_text(column, name)[0]))
    places = pc.index_in(names, pa.array(PLACES, pa.string()))
    places = pc.take(pa.array(PLACES.values(), pa.int8()), places)
    missing = pc.and_(reason.is_null(), pc.fill_null(pc.equal(names, ""), True))
    unknown = pc.and_(pc.and_(reason.is_null(), places.is_null()), pc.invert(missing))
    if pc.any(unknown).as_py():
        raise UserError(
            "split_column holds names of no split",
            expected=one_of(PLACES),
            received=", ".join(map(repr, names.filter(unknown).unique().to_pylist()[:10])),
            fix="rename them, or take another column",
        )
    return places, missing


@dataclass
class UnheededSplits:
    """The splits that a column names which nobody said to heed.

    Attributes:
        rows: Its value -> rows.
    """

    rows: Counter[str] = field(default_factory=Counter)

    def add(self, column: pa.Array) -> None:
        """Counts the values of a column."""
        if is_string(column.type) and len(self.rows) <= len(PLACES):
            self.rows.update(filter(None, as_text(column, COLUMN)[0].to_pylist()))

    def tell(self) -> None:
        """Warns if they are splits."""
        if len(self.rows) > 1 and all(name.strip().lower() in PLACES for name in self.rows):
            told = ", ".join(f"{name} ({rows})" for name, rows in self.rows.items())
            warn(f"the column 'split' is not heeded: {told}; data.split_column = 'split' does that")
