"""From plain text or conversations to a model that writes and that TensorFlow Serving can load.

textmill run CONFIG.toml
python -m textmill.pipelines.text_generation CONFIG.toml
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
from textmill.components.cleaning import UNTOUCHED, Cleaning
from textmill.components.evaluate_generation import evaluate_generation
from textmill.components.ingest import ingest
from textmill.components.sources.conversations import Conversations
from textmill.components.sources.documents import Separation
from textmill.components.sources.source import Source
from textmill.components.tokenize_generation import tokenize_generation
from textmill.components.tokenized import WritingTokens
from textmill.components.train_generation import train_generation
from textmill.components.tune import tune
from textmill.components.validate import validate
from textmill.config import STRICT
from textmill.errors import UserError
from textmill.models.causal_learner import NextToken
from textmill.models.decoder_serving_weights import check_served
from textmill.models.preset import Preset, Scratch
from textmill.models.settings import Settings
from textmill.pipelines.data import Clean, Files, Share
from textmill.pipelines.sections import Check, Condition, Export, Push, Tune
from textmill.pipelines.writing import Beginning, Generate, Samples, written
from textmill.run import Runner


@dataclass(frozen=True, config=STRICT)
class TextClean(Clean):
    """`[data.clean]`: as for labels, but that markup and line breaks stay where nothing is said."""

    html: bool = False
    whitespace: bool = False


@dataclass(frozen=True, config=STRICT)
class Texts(Files):
    """`[data]`: what the model learns to write: documents, or responses; and the keys of `Files`.

    Attributes:
        source: A file, a glob, a folder, or `tfds:NAME`; relative to the current folder. `*.txt`
            and `*.txt.gz` are plain text.
        text: Column with documents.
        prompt: Column with what is asked, instead of `text`; then `response` is a column too.
        response: Column with what the model learns to answer.
        messages: Column with whole conversations, instead of these: a list of {"role": …,
            "content": …} with the roles system, user and assistant.
        documents: What parts the documents of plain text: a "blank line", or the end of a "line".
        split: Split -> share of the documents.
        split_column: Column that says train, validation or test, instead of shares; what it never
            says of the last two is drawn from train.
        test_source: A separate source for the test split.
        clean: See `TextClean`; documents alone are cleaned.
    """

    source: str
    text: str = "text"
    prompt: str | None = None
    response: str | None = None
    messages: str | None = None
    documents: Separation = "blank line"
    split: dict[str, Share] = field(
        default_factory=lambda: {"train": 0.9, "validation": 0.05, "test": 0.05}
    )
    split_column: str | None = None
    test_source: str | None = None
    clean: TextClean = field(default_factory=TextClean)

    @property
    def conversations(self) -> bool:
        """Whether rows are conversations."""
        return bool(self.messages or self.prompt or self.response)

    def texts(self, name: str, preset: Preset | Scratch | None = None) -> Source:
        """Returns the source that `name` stands for, read as this section says.

        Args:
            name: A file, a glob, a folder, or `tfds:NAME`.
            preset: The model whose chat template must take each conversation.

        Raises:
            UserError: The columns of conversations are not those of one way to have them; or their
                columns decide what only those of documents can.
        """
        found = self.open(name, self.documents)
        if not self.conversations:
            return found
        pair = bool(self.prompt and self.response)
        if pair == bool(self.messages) or bool(self.prompt) != bool(self.response):
            raise UserError(
                "data: prompt and response, or messages",
                expected="the columns prompt and response, or the column messages",
                received=f"prompt = {self.prompt!r}, response = {self.response!r}, "
                f"messages = {self.messages!r}",
                fix='write prompt = "…" and response = "…", or messages = "…"',
            )
        for key, given in (
            ("where", self.where),
            ("split_column", self.split_column),
            ("clean", self.clean != TextClean()),
        ):
            if given:
                raise UserError(
                    f"data.{key} is for documents",
                    expected=f"conversations without {key}",
                    received=f"data.{key}",
                    fix=f"remove data.{key}; use data.test_source to name what is tested on",
                )
        return Conversations(
            found, self.messages or "", self.prompt or "", self.response or "", preset
        )

    def cleaning(self) -> Cleaning:
        """Returns how texts are cleaned."""
        if self.conversations:
            return UNTOUCHED
        return Cleaning(**dataclasses.asdict(self.clean))


@dataclass(frozen=True, config=STRICT)
class Writer(Beginning):
    """`[model]`: what is trained. Exactly one of `preset` and `scratch` is given.

    Attributes:
        preset: A causal language model: a KerasHub preset, `hf://…`, a local KerasHub or Hugging
            Face folder, or a GGUF file.
        scratch: Size of a new model of GPT-2's kind, trained with a tokenizer made from the data.
        vocabulary_size: Entries of the new tokenizer; only with `scratch`.
        max_length: Tokens that the model reads at a time; documents are packed into rows of them.
        dropout: Share of activations that training drops.
    """

    max_length: Annotated[int, Ge(2)] = 512
    dropout: Annotated[float, Interval(ge=0, lt=1)] = 0.0


@dataclass(frozen=True, config=STRICT)
class Config:
    """The whole TOML file of a text generation.

    Attributes:
        pipeline: "text_generation".
        workspace: Folder for artifacts, cache and lineage.
        data: See `Texts`.
        model: See `Writer`.
        push: See `Push`; without it a model is trained and measured, and not exported.
        train: See `Settings`.
        tune: See `Tune`; without it the values of `train` and `model` are taken as they are.
        evaluate: See `Samples`.
        generate: See `Generate`.
        export: See `Export`.
        check: See `Check`.
        gate: Metric -> condition such as "<= 1.5"; a model that fails one is not pushed.
        lineage: SQLAlchemy URL of the lineage store, default SQLite in the workspace.
    """

    pipeline: str
    workspace: str
    data: Texts
    model: Writer
    push: Push | None = None
    train: Settings = field(default_factory=Settings)
    tune: Tune | None = None
    evaluate: Samples = field(default_factory=Samples)
    generate: Generate = field(default_factory=Generate)
    export: Export = field(default_factory=Export)
    check: Check = field(default_factory=Check)
    gate: dict[str, Condition] = field(default_factory=dict)
    lineage: str | None = None


def text_generation(run: Runner, config: Config) -> Pushed | Evaluation:
    """Trains, proves and pushes a causal language model; returns the pushed version.

    Where nothing is to be pushed it returns how well the model guesses the texts of the test split.
    """
    data, model, generate = config.data, config.model, config.generate
    proof = config.check.arguments()
    defaults = generate.defaults(model.max_length)
    preset = model.start()
    if config.push:
        check_served(preset)
    examples = run(
        ingest,
        data.texts(data.source, preset),
        text="text" if data.conversations else data.text,
        label=None,
        split=data.split,
        split_column=data.split_column,
        test_source=data.texts(data.test_source, preset) if data.test_source else None,
        where=data.where,
        cleaning=data.cleaning(),
    )
    run(validate, examples, test=True)
    parameters = None
    if config.tune:
        tuned = run(
            tune,
            examples,
            task=NextToken(),
            tokenized=WritingTokens(data.conversations),
            preset=preset,
            max_length=model.max_length,
            dropout=model.dropout,
            settings=config.train,
            **config.tune.arguments(),
        )
        parameters = run(best, tuned)
    tokens = run(
        tokenize_generation,
        examples,
        preset=preset,
        max_length=model.max_length,
        conversations=data.conversations,
        parameters=parameters,
    )
    trained = run(
        train_generation,
        tokens,
        preset=preset,
        dropout=model.dropout,
        settings=config.train,
        parameters=parameters,
    )
    evaluation = run(
        evaluate_generation,
        trained,
        tokens,
        examples,
        samples=config.evaluate.samples,
        how=defaults,
        stop=generate.stop,
        words=config.evaluate.words,
    )
    return written(run, config, trained, examples, evaluation, defaults=defaults, proof=proof)


if __name__ == "__main__":
    from textmill.cli import main

    main(["run", *sys.argv[1:]])
