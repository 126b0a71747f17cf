"""From pairs of texts to a model that reads one and writes the other: translation, summaries.

textmill run CONFIG.toml
python -m textmill.pipelines.seq2seq CONFIG.toml
"""

from __future__ import annotations

import dataclasses
import sys
from dataclasses import field
from typing import Annotated

from annotated_types import Ge, Interval
from pydantic.dataclasses import dataclass

from textmill.artifact import Evaluation, Pushed
from textmill.components.best import best
from textmill.components.cleaning import Cleaning
from textmill.components.evaluate_seq2seq import evaluate_seq2seq
from textmill.components.ingest import ingest
from textmill.components.sources.by_name import open_aligned
from textmill.components.sources.source import Source
from textmill.components.tokenize_seq2seq import tokenize_seq2seq
from textmill.components.tokenized import PairTokens
from textmill.components.train_seq2seq import train_seq2seq
from textmill.components.tune import tune
from textmill.components.validate import validate
from textmill.config import STRICT
from textmill.errors import UserError
from textmill.models.pair_learner import TargetTokens
from textmill.models.settings import Settings
from textmill.pipelines.data import Clean, Files, Share
from textmill.pipelines.sections import Check, Condition, Export, Push, Tune
from textmill.pipelines.writing import Beginning, Generate, Samples, written
from textmill.run import Runner


@dataclass(frozen=True, config=STRICT)
class PairClean(Clean):
    """`[data.clean]`: as for labels, but that markup stays where nothing is said."""

    html: bool = False


@dataclass(frozen=True, config=STRICT)
class Pairs(Files):
    """`[data]`: two columns of a table, or two aligned files; and the keys of `Files`.

    Attributes:
        source: A file, a glob, a folder, or `tfds:NAME`; relative to the current folder. With
            `target_source` plain text of any suffix.
        target_source: A text file of as many lines as `source`: line i belongs to line i. Then
            there are no columns.
        text: Column with what is read.
        target: Column with what is to be written.
        split: Split -> share of the pairs; those with equal texts stay together.
        split_column: Column that says train, validation or test, instead of shares; what it never
            says of the last two is drawn from train.
        test_source: A separate source for the test split.
        test_target_source: What belongs to it, where the source has a `target_source`.
        clean: See `PairClean`.
    """

    source: str
    target_source: str | None = None
    text: str = "text"
    target: str = "target"
    split: dict[str, Share] = field(
        default_factory=lambda: {"train": 0.9, "validation": 0.05, "test": 0.05}
    )
    split_column: str | None = None
    test_source: str | None = None
    test_target_source: str | None = None
    clean: PairClean = field(default_factory=PairClean)

    def pairs(self, name: str, target_name: str | None) -> Source:
        """Returns the source that a name, or two, stand for, read as this section says.

        Raises:
            UserError: A file is missing, or one of two aligned ones is.
        """
        if bool(target_name) != bool(self.target_source):
            raise UserError(
                "data: test_source and test_target_source go together with target_source",
                expected="a target_source and a test_target_source, or two tables",
                received=f"target_source = {self.target_source!r}, "
                f"test_target_source = {self.test_target_source!r}",
                fix="name the file with the targets of the test split in data.test_target_source",
            )
        if target_name:
            return open_aligned(name, target_name, encoding=self.encoding)
        return self.open(name)

    def test(self) -> Source | None:
        """Returns the source of the test split, None where it has none of its own."""
        if self.test_source is None:
            return None
        return self.pairs(self.test_source, self.test_target_source)

    def names(self) -> tuple[str, str]:
        """Returns the columns with the text and the target."""
        return ("text", "target") if self.target_source else (self.text, self.target)

    def cleaning(self) -> Cleaning:
        """Returns how texts are cleaned."""
        return Cleaning(**dataclasses.asdict(self.clean))


@dataclass(frozen=True, config=STRICT)
class Translator(Beginning):
    """`[model]`: what is trained. Exactly one of `preset` and `scratch` is given.

    Attributes:
        preset: BART: a KerasHub preset, `hf://…`, or a local KerasHub or Hugging Face folder; or a
            model of this pipeline.
        scratch: Size of a new Transformer, with as many layers in its decoder as in its encoder,
            and a tokenizer made from both sides of the data.
        vocabulary_size: Entries of the new tokenizer; only with `scratch`.
        max_source_length: Tokens that are read at a time; a longer text loses its end.
        max_target_length: Tokens that are written at most; in training a longer one is cut off.
        dropout: Share of activations that training drops.
    """

    max_source_length: Annotated[int, Ge(4)] = 128
    max_target_length: Annotated[int, Ge(4)] = 128
    dropout: Annotated[float, Interval(ge=0, lt=1)] = 0.1


@dataclass(frozen=True, config=STRICT)
class Train(Settings):
    """`[train]`: as `Settings`, with the smoothing that translation is trained with.

    Attributes:
        label_smoothing: Share of each token that goes to all tokens alike.
    """

    label_smoothing: Annotated[float, Interval(ge=0, lt=1)] = 0.1


@dataclass(frozen=True, config=STRICT)
class Config:
    """The whole TOML file of a translation or of summaries.

    Attributes:
        pipeline: "seq2seq".
        workspace: Folder for artifacts, cache and lineage.
        data: See `Pairs`.
        model: See `Translator`.
        push: See `Push`; without it a model is trained and measured, and not exported.
        train: See `Settings`; label_smoothing is 0.1 where nothing is said.
        tune: See `Tune`; without it the values of `train` and `model` are taken as they are.
        evaluate: See `Samples`; 500 texts are written where nothing is said.
        generate: See `Generate`.
        export: See `Export`.
        check: See `Check`.
        gate: Metric -> condition such as "<= 1.5"; a model that fails one is not pushed.
        lineage: SQLAlchemy URL of the lineage store, default SQLite in the workspace.
    """

    pipeline: str
    workspace: str
    data: Pairs
    model: Translator
    push: Push | None = None
    train: Train = field(default_factory=Train)
    tune: Tune | None = None
    evaluate: Samples = field(default_factory=lambda: Samples(samples=500))
    generate: Generate = field(default_factory=Generate)
    export: Export = field(default_factory=Export)
    check: Check = field(default_factory=Check)
    gate: dict[str, Condition] = field(default_factory=dict)
    lineage: str | None = None


def seq2seq(run: Runner, config: Config) -> Pushed | Evaluation:
    """Trains, proves and pushes an encoder-decoder; returns the pushed version.

    Where nothing is to be pushed it returns how well the model writes the targets of the test
    split.
    """
    data, model = config.data, config.model
    proof = config.check.arguments()
    defaults = config.generate.defaults(model.max_target_length, alone=True)
    preset = model.start()
    text, target = data.names()
    examples = run(
        ingest,
        data.pairs(data.source, data.target_source),
        text=text,
        pair=target,
        label=None,
        split=data.split,
        split_column=data.split_column,
        test_source=data.test(),
        where=data.where,
        cleaning=data.cleaning(),
        split_by="text",
    )
    run(validate, examples, test=True)
    parameters = None
    if config.tune:
        tuned = run(
            tune,
            examples,
            task=TargetTokens(),
            tokenized=PairTokens(model.max_source_length, model.max_target_length),
            preset=preset,
            dropout=model.dropout,
            settings=config.train,
            **config.tune.arguments(),
        )
        parameters = run(best, tuned)
    tokens = run(
        tokenize_seq2seq,
        examples,
        preset=preset,
        max_source_length=model.max_source_length,
        max_target_length=model.max_target_length,
        parameters=parameters,
    )
    trained = run(
        train_seq2seq,
        tokens,
        preset=preset,
        dropout=model.dropout,
        settings=config.train,
        parameters=parameters,
    )
    evaluation = run(
        evaluate_seq2seq,
        trained,
        tokens,
        examples,
        samples=config.evaluate.samples,
        how=defaults,
        stop=config.generate.stop,
        words=config.evaluate.words,
    )
    return written(run, config, trained, examples, evaluation, defaults=defaults, proof=proof)


if __name__ == "__main__":
    from textmill.cli import main

    main(["run", *sys.argv[1:]])
