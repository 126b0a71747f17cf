"""The section `[data]`: where examples come from, how they are read, divided and cleaned."""

from __future__ import annotations

import dataclasses
from dataclasses import field
from typing import Annotated, Literal

from annotated_types import Ge, Interval
from pydantic import StringConstraints
from pydantic.dataclasses import dataclass

from textmill.artifact import LabelKind
from textmill.components.cleaning import UNTOUCHED, Cleaning
from textmill.components.conflicts import Conflicts
from textmill.components.sources.by_name import open_source
from textmill.components.sources.dialect import Quoting
from textmill.components.sources.documents import Separation
from textmill.components.sources.source import Source
from textmill.components.spelling import Merging
from textmill.config import STRICT
from textmill.errors import UserError

Share = Annotated[float, Interval(gt=0, lt=1)]


@dataclass(frozen=True, config=STRICT)
class Clean:
    """`[data.clean]`: what happens to a text before anything else, in training and when served.

    Attributes:
        html: Turn entities into characters and tags into a space.
        control: Remove control characters.
        unicode: Normalization form, or "none".
        whitespace: Turn runs of white space into one space, and strip.
        lowercase: Lower-case the text.
    """

    html: bool = True
    control: bool = True
    unicode: Literal["NFC", "NFKC", "none"] = "NFC"
    whitespace: bool = True
    lowercase: bool = False


@dataclass(frozen=True, config=STRICT, kw_only=True)
class Files:
    """The keys of `[data]` in every pipeline: how files are read, and which of their rows taken.

    Attributes:
        where: Column -> value; only rows with these values are taken.
        encoding: Encoding of text files.
        delimiter: Between columns; None: what a first line such as `sep=;` says, else a comma in
            .csv and a tab in .tsv and .tab.
        quote: The character around fields; "" is short for quoting = "none".
        quoting: What a quote is: "standard", around a field that may hold the delimiter and line
            ends, as in RFC 4180; "none", a character like any other; or "auto", as in RFC 4180,
            but a character where it would take rows into one field, and that is said.
        columns: Names of the columns, for a file without a header line; of tagged words, "text"
            and "label" among them.
        skip_rows_after_header: Lines to pass over below the header line.
        data_dir: Folder of prepared TensorFlow Datasets.
    """

    where: dict[str, str] = field(default_factory=dict)
    encoding: str = "utf-8"
    delimiter: str | None = None
    quote: str = '"'
    quoting: Quoting = "auto"
    columns: tuple[str, ...] = ()
    skip_rows_after_header: Annotated[int, Ge(0)] = 0
    data_dir: str | None = None

    def open(self, name: str, documents: Separation | None = None) -> Source:
        """Returns the source that `name` stands for, read as this section says.

        Args:
            name: A file, a glob, a folder, or `tfds:NAME`.
            documents: What parts the documents of plain text; None: text is `<label>.txt`.
        """
        return open_source(
            name,
            documents=documents,
            encoding=self.encoding,
            delimiter=self.delimiter,
            quote=self.quote or '"',
            quoting=self.quoting if self.quote else "none",
            columns=self.columns,
            skip_rows_after_header=self.skip_rows_after_header,
            data_dir=self.data_dir,
        )


@dataclass(frozen=True, config=STRICT)
class Data(Files):
    """`[data]`: where examples come from and how they are divided; and the keys of `Files`.

    Attributes:
        source: A file, a glob, a folder, or `tfds:NAME`; relative to the current folder.
        text: Column with the text, or a list of two columns where rows are of two texts.
        label: Column with the label: a name; a number; or spans, a list of [start, end, name].
        multi_label: Whether a row may have any number of labels.
        label_separator: Between them.
        split: Split -> share of the rows.
        split_column: Column that says train, validation or test, instead of shares; what it never
            says of the last two is drawn from train.
        test_source: A separate source for the test split.
        conflicts: What a text gets that comes with different labels: the "majority" label, the
            "mean" of numbers, the "union" of any number of labels or of spans; or "reject" it.
            None: the mean of numbers, the union of any number of labels, or else the majority.
        merge_labels: Which spellings of a label are one, the commonest: "values", of a number or a
            truth value, 1 and 1.0, true and True; "spelling": also those that differ only in
            Unicode's normal form, white space or invisible characters; "case": also in upper and
            lower case, or in width; "none".
        clean: See `Clean`.
    """

    source: str
    text: str | tuple[str, ...] = "text"
    label: str = "label"
    multi_label: bool = False
    label_separator: Annotated[str, StringConstraints(min_length=1)] = "|"
    split: dict[str, Share] = field(
        default_factory=lambda: {"train": 0.8, "validation": 0.1, "test": 0.1}
    )
    split_column: str | None = None
    test_source: str | None = None
    conflicts: Conflicts | None = None
    merge_labels: Merging = "values"
    clean: Clean = field(default_factory=Clean)

    def texts(self) -> tuple[str, ...]:
        """Returns the columns with texts: one, or two.

        Raises:
            UserError: They are none, or more than two.
        """
        return text_columns("data.text", self.text)

    def cleaning(self, labels: LabelKind) -> Cleaning:
        """Returns how texts are cleaned; with spans not at all.

        Raises:
            UserError: Texts with spans are to be cleaned.
        """
        if labels != "spans":
            return Cleaning(**dataclasses.asdict(self.clean))
        if self.clean != Clean():
            raise UserError(
                "[data.clean] would move the spans of a text",
                expected="nothing in [data.clean]",
                received=str(self.clean),
                fix="remove [data.clean]; texts with spans are taken as they are",
            )
        return UNTOUCHED


def text_columns(key: str, given: str | tuple[str, ...]) -> tuple[str, ...]:
    """Returns the columns with texts that a key names."""
    names = (given,) if isinstance(given, str) else given
    if not 1 <= len(names) <= 2:
        raise UserError(
            f"{key} names {len(names)} columns",
            expected="one column, or a list of two for pairs of texts",
            received=str(list(names)),
            fix='write text = "…", or text = ["…", "…"]',
        )
    return names
