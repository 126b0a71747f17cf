"""The sections of a config that pipelines share: fields are the keys of the TOML file."""

from __future__ import annotations

from dataclasses import field
from typing import Annotated, Literal

from annotated_types import Ge, Interval
from pydantic import StringConstraints
from pydantic.dataclasses import dataclass

from textmill.components.sources.by_name import open_source
from textmill.components.sources.source import Source
from textmill.config import STRICT
from textmill.errors import UserError
from textmill.models.preset import Preset, Scratch

Share = Annotated[float, Interval(gt=0, lt=1)]
# Read again by `push`; a typo should not wait until the model is trained.
Condition = Annotated[
    str, StringConstraints(pattern=r"^\s*(>=|<=|>|<)\s*[-+]?[0-9.]+(e[-+]?\d+)?\s*$")
]


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


@dataclass(frozen=True, config=STRICT)
class Data:
    """`[data]`: where examples come from and how they are divided.

    Attributes:
        source: A file, a glob, a folder, or `tfds:NAME`; relative to the current folder.
        text: Column with the text.
        label: Column with the label.
        where: Column -> value; only rows with these values are taken.
        split: Split -> share of the rows.
        split_column: Column that says train, validation or test, instead of shares.
        test_source: A separate source for the test split.
        conflicts: What to do with a text that has two labels: the "majority" label wins, or
            "reject" it.
        encoding: Encoding of text files.
        delimiter: Between columns; None: a comma in .csv, else a tab.
        quote: Around fields; "": a quote is a character like any other.
        columns: Names of the columns, for a file without a header line.
        skip_rows_after_header: Lines to pass over below the header line.
        data_dir: Folder of prepared TensorFlow Datasets.
        clean: See `Clean`.
    """

    source: str
    text: str = "text"
    label: str = "label"
    where: dict[str, str] = field(default_factory=dict)
    split: dict[str, Share] = field(
        default_factory=lambda: {"train": 0.8, "validation": 0.1, "test": 0.1}
    )
    split_column: str | None = None
    test_source: str | None = None
    conflicts: Literal["majority", "reject"] = "majority"
    encoding: str = "utf-8"
    delimiter: str | None = None
    quote: str = '"'
    columns: tuple[str, ...] = ()
    skip_rows_after_header: Annotated[int, Ge(0)] = 0
    data_dir: str | None = None
    clean: Clean = field(default_factory=Clean)

    def open(self, name: str) -> Source:
        """Returns the source that `name` stands for, read as this section says."""
        return open_source(
            name,
            encoding=self.encoding,
            delimiter=self.delimiter,
            quote=self.quote or None,
            columns=self.columns,
            skip_rows_after_header=self.skip_rows_after_header,
            data_dir=self.data_dir,
        )


@dataclass(frozen=True, config=STRICT)
class Model:
    """`[model]`: what is trained. Exactly one of `preset` and `scratch` is given.

    Attributes:
        preset: A KerasHub preset, `hf://…`, or a local KerasHub or Hugging Face folder.
        scratch: Size of a new model, trained with a tokenizer made from the data.
        vocabulary_size: Entries of the new tokenizer; only with `scratch`.
        max_length: Tokens that the model reads of a text; the rest is cut off.
        dropout: Dropout before the classifier.
    """

    preset: str | None = None
    scratch: Literal["tiny", "mini", "small", "base"] | None = None
    vocabulary_size: Annotated[int, Ge(100)] = 8000
    max_length: Annotated[int, Ge(3)] = 256
    dropout: Annotated[float, Interval(ge=0, lt=1)] = 0.1

    def start(self) -> Preset | Scratch:
        """Returns where the first weights come from.

        Raises:
            UserError: Not exactly one of `preset` and `scratch` is given.
        """
        if self.scratch and not self.preset:
            return Scratch(self.scratch, self.vocabulary_size)
        if self.preset and not self.scratch:
            return Preset(self.preset)
        raise UserError(
            "model: preset or scratch",
            expected="exactly one of model.preset and model.scratch",
            received="both" if self.preset else "neither",
            fix='write scratch = "mini" for a new model, or preset = "…" for trained weights',
        )


@dataclass(frozen=True, config=STRICT)
class Push:
    """`[push]`: where a model goes that passed.

    Attributes:
        to: Base folder that TensorFlow Serving watches; versions are made in it.
    """

    to: str
