"""From plain text to a preset folder whose encoder knows the language of the domain.

textmill run CONFIG.toml
python -m textmill.pipelines.pretraining CONFIG.toml
"""

from __future__ import annotations

import dataclasses
import sys
from dataclasses import field

from pydantic.dataclasses import dataclass

from textmill.artifact import Kept
from textmill.components.cleaning import Cleaning
from textmill.components.ingest import ingest
from textmill.components.keep import keep
from textmill.components.pretrain import pretrain
from textmill.components.sources.documents import Separation
from textmill.components.tokenize_documents import tokenize_documents
from textmill.components.validate import validate
from textmill.config import STRICT
from textmill.models.masked_batches import Masking
from textmill.models.settings import Settings
from textmill.pipelines.data import Clean, Files, Share
from textmill.pipelines.sections import Model
from textmill.run import Runner


@dataclass(frozen=True, config=STRICT)
class Corpus(Files):
    """`[data]`: where texts come from, how they are divided; and the keys of `Files`.

    Attributes:
        source: A file, a glob, a folder, or `tfds:NAME`; relative to the current folder. `*.txt`
            and `*.txt.gz` are plain text.
        text: Column with the text.
        documents: What parts the documents of plain text: a "blank line", or the end of a "line".
        split: Split -> share of the documents.
        split_column: Column that says train or validation, instead of shares.
        clean: See `Clean`.
    """

    source: str
    text: str = "text"
    documents: Separation = "blank line"
    split: dict[str, Share] = field(default_factory=lambda: {"train": 0.95, "validation": 0.05})
    split_column: str | None = None
    clean: Clean = field(default_factory=Clean)


@dataclass(frozen=True, config=STRICT)
class Save:
    """`[save]`: where the pretrained model goes.

    Attributes:
        to: A folder, which `model.preset` of other configs then names.
    """

    to: str


@dataclass(frozen=True, config=STRICT)
class Config:
    """The whole TOML file of a pretraining.

    Attributes:
        pipeline: "pretraining".
        workspace: Folder for artifacts, cache and lineage.
        data: See `Corpus`.
        model: See `Model`; `max_length` is the length of the rows that documents are packed into.
        save: See `Save`.
        masking: See `Masking`.
        train: See `Settings`.
        lineage: SQLAlchemy URL of the lineage store, default SQLite in the workspace.
    """

    pipeline: str
    workspace: str
    data: Corpus
    model: Model
    save: Save
    masking: Masking = field(default_factory=Masking)
    train: Settings = field(default_factory=Settings)
    lineage: str | None = None


def pretraining(run: Runner, config: Config) -> Kept:
    """Trains a masked language model on plain text; returns the folder that it was saved to."""
    data, model = config.data, config.model
    preset = model.start()

    examples = run(
        ingest,
        data.open(data.source, data.documents),
        text=data.text,
        label=None,
        split=data.split,
        split_column=data.split_column,
        where=data.where,
        cleaning=Cleaning(**dataclasses.asdict(data.clean)),
    )
    run(validate, examples)
    tokens = run(tokenize_documents, examples, preset=preset, max_length=model.max_length)
    pretrained = run(
        pretrain,
        tokens,
        preset=preset,
        dropout=model.dropout,
        settings=config.train,
        masking=config.masking,
    )
    return run(keep, pretrained, to=config.save.to)


if __name__ == "__main__":
    from textmill.cli import main

    main(["run", *sys.argv[1:]])
