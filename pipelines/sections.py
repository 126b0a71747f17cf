"""The sections of a config that pipelines share: fields are the keys of the TOML file."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import field
from typing import Annotated, Any, Literal

from annotated_types import Ge, Gt, Interval
from pydantic import StringConstraints
from pydantic.dataclasses import dataclass

from textmill.artifact import LabelKind
from textmill.components.candidates import WHOLE, read_candidates
from textmill.components.sources.documents import Separation
from textmill.config import STRICT
from textmill.errors import UserError
from textmill.models.distillation import Lesson
from textmill.models.objective import Direction
from textmill.models.preset import Preset, Scratch, TokenizerKind
from textmill.models.search import Algorithm
from textmill.models.search_code import find_code
from textmill.models.search_space import read_space
from textmill.models.settings import Duration, Settings
from textmill.models.student import check_layers
from textmill.pipelines.data import text_columns
from textmill.serving.budget import Budget, Latency, Memory
from textmill.serving.precision import Name
from textmill.serving.servers import read_release

# Read again by `push`; a typo should not wait until the model is trained.
Condition = Annotated[
    str, StringConstraints(pattern=r"^\s*(>=|<=|>|<)\s*[-+]?[0-9.]+(e[-+]?\d+)?\s*$")
]


@dataclass(frozen=True, config=STRICT)
class Model:
    """`[model]`: what is trained. Exactly one of `preset` and `scratch` is given.

    Attributes:
        preset: A KerasHub preset, `hf://…`, or a local KerasHub or Hugging Face folder.
        scratch: Size of a new model, trained with a tokenizer made from the data.
        vocabulary_size: Entries of the new tokenizer; only with `scratch`.
        tokenizer: Its kind, and with it the model's: "wordpiece" (BERT), "bpe" on bytes (RoBERTa)
            or "unigram" (XLM-RoBERTa); only with `scratch`.
        max_length: Tokens that the model reads of a text at a time.
        overlap: Tokens that a window over a longer text shares with the one before. The text has
            the mean of the windows' scores, or with any number of labels the highest of each. None:
            what is behind `max_length` is cut off.
        windows: How many windows a text has at most.
        dropout: Dropout before the classifier.
    """

    preset: str | None = None
    scratch: Literal["tiny", "mini", "small", "base"] | None = None
    vocabulary_size: Annotated[int, Ge(100)] = 8000
    tokenizer: TokenizerKind = "wordpiece"
    max_length: Annotated[int, Ge(3)] = 256
    overlap: Annotated[int, Ge(0)] | None = None
    windows: Annotated[int, Ge(1)] = 8
    dropout: Annotated[float, Interval(ge=0, lt=1)] = 0.1

    def start(self) -> Preset | Scratch:
        """Returns where the first weights come from.

        Raises:
            UserError: Not exactly one of `preset` and `scratch` is given.
        """
        new = self.scratch and Scratch(self.scratch, self.vocabulary_size, tokenizer=self.tokenizer)
        return start(self.preset, new or None)


def start(preset: str | None, scratch: Scratch | None) -> Preset | Scratch:
    """Returns where a model's first weights come from.

    Args:
        preset: A name, if there is one.
        scratch: A new model, if there is one.

    Raises:
        UserError: They are both, or neither.
    """
    if scratch and not preset:
        return scratch
    if preset and not scratch:
        return Preset(preset)
    raise UserError(
        "model: preset or scratch",
        expected="exactly one of model.preset and model.scratch",
        received="both" if preset else "neither",
        fix='write scratch = "mini" for a new model, or preset = "…" for trained weights',
    )


@dataclass(frozen=True, config=STRICT)
class Tune:
    """`[tune]`: a search for better values of `[train]` and `[model]` before the training.

    Attributes:
        space: Key of `[train]` or `[model]` -> the values to try.
        algorithm: "bayesian", "random", "grid", or "hyperband", which deals out the epochs itself.
        objective: What to make good: a column of `history.csv`, such as val_accuracy, val_loss or
            val_f1_macro. None: the task's first figure on validation.
        direction: "min" or "max", whether less or more of it is better. None: as its name tells;
            what Keras and scikit-learn call their metrics is known.
        trials: How many at most.
        budget: How long the search may take, such as "30m"; the trial that runs then ends with its
            epoch.
        rows: Training rows that a trial sees, drawn at random; None: all.
        seed: Decides what is proposed.
        hypermodel: A function of yours that makes the models, as "file.py:name" or
            "package.module:name".
        tuner: A subclass of `keras_tuner.Tuner` of yours, named likewise.
    """

    space: dict[str, dict[str, Any]] = field(default_factory=dict)
    algorithm: Algorithm = "bayesian"
    objective: str | None = None
    direction: Direction | None = None
    trials: Annotated[int, Ge(1)] = 20
    budget: Duration | None = None
    rows: Annotated[int, Ge(1)] | None = None
    seed: Annotated[int, Ge(0)] = 0
    hypermodel: str | None = None
    tuner: str | None = None

    def arguments(self) -> dict[str, Any]:
        """Returns the section as `tune` takes it.

        Raises:
            UserError: A key or a value of the space, or the name of your code, is not right.
        """
        names = {"hypermodel": self.hypermodel, "tuner": self.tuner}
        code = {key: find_code(n, key=f"tune.{key}") for key, n in names.items() if n is not None}
        given = {key: getattr(self, key) for key in _SEARCH}
        return {
            "space": read_space(self.space, own_names=self.hypermodel is not None),
            **given,
            **code,
        }


_SEARCH = ("algorithm", "objective", "direction", "trials", "budget", "rows", "seed")


@dataclass(frozen=True, config=STRICT)
class Export:
    """`[export]`: how the model is served.

    Attributes:
        precision: "float32"; "bfloat16" for weights and products, half the size and quicker where
            the processor multiplies it; "bfloat16_weights" or "int8_weights" to store weights in a
            half or a quarter of the size and compute in float32, which is slower.
    """

    precision: Name = "float32"


@dataclass(frozen=True, config=STRICT)
class Distill:
    """`[distill]`: a smaller model learns from the trained one, and is served in its place.

    Attributes:
        layers: How many the smaller model has; it begins with as many of the trained one's.
        temperature: What logits are divided by before they are compared.
        label_share: Share of a labelled row's loss that its label has; what the trained model says
            of the row has the rest.
        unlabelled: More texts to learn from, of any kind that `data.source` may be; labels are
            passed over. None: none.
        text: Its column with the text, or a list of two; None: as `data.text` says.
        documents: What parts the documents of plain text, where `unlabelled` is that: a
            "blank line", or the end of a "line".
        train: As `[train]`, whose values are taken where there is no `[distill.train]`.
    """

    layers: Annotated[int, Ge(1)]
    temperature: Annotated[float, Gt(0)] = 2.0
    label_share: Annotated[float, Interval(ge=0, le=1)] = 0.5
    unlabelled: str | None = None
    text: str | tuple[str, ...] | None = None
    documents: Separation = "line"
    train: Settings | None = None

    def texts(self, labelled: tuple[str, ...]) -> tuple[str, ...]:
        """Returns the columns with texts: as many as the labelled rows have.

        Args:
            labelled: Theirs.

        Raises:
            UserError: They are more, or fewer.
        """
        names = labelled if self.text is None else text_columns("distill.text", self.text)
        if len(names) != len(labelled):
            raise UserError(
                f"distill.text names {len(names)} columns, and data.text {len(labelled)}",
                expected="as many texts a row",
                received=str(list(names)),
                fix="name a column for each of data.text",
            )
        return names

    def lesson(self) -> Lesson:
        """Returns how to learn."""
        return Lesson(self.layers, self.temperature, self.label_share)

    def check(self, teacher: Preset | Scratch) -> None:
        """Raises before the training what would be found out after it.

        Args:
            teacher: What the trained model begins with.

        Raises:
            UserError: It has not more layers, or there is no such lesson.
        """
        self.lesson()
        of = None
        if isinstance(teacher, Scratch):
            of = teacher.dimensions()["num_layers"]
        elif teacher.local:
            of = teacher.layers()
        if of is not None:
            check_layers(self.layers, of)


@dataclass(frozen=True, config=STRICT)
class Optimize:
    """`[optimize]`: ways to serve the model, of which the fastest that is good enough is pushed.

    Each is exported, timed beside the others on this machine, and asked the whole test split.

    Attributes:
        candidates: "bfloat16", "bfloat16_weights" and "int8_weights" as `export.precision` has
            them; "pruned_vocabulary": embeddings of tokens that the training rows never had are
            left out, and the unknown token is read in their place; "distilled": the smaller model
            of `[distill]`; "int8": refused for now, the table says why. Several in one have +
            between them, as in "pruned_vocabulary+bfloat16". "float32" is one always, and what the
            others are compared with.
        max_loss: By how much the main figure on the test split (accuracy; of spans f1_micro; of
            numbers r2) may be below that of float32.
        rounds: How often the candidates take turns when they are timed.
    """

    candidates: tuple[str, ...] = ("bfloat16", "pruned_vocabulary+bfloat16")
    max_loss: Annotated[float, Ge(0)] = 0.005
    rounds: Annotated[int, Ge(3)] = 7

    @property
    def distills(self) -> bool:
        """Whether the smaller model is a candidate, and so not yet settled to be served."""
        return any(candidate.distilled for candidate in read_candidates(self.candidates))

    def check(
        self, export: Export, *, kind: LabelKind, gate: Collection[str] = (), student: bool = False
    ) -> None:
        """Raises before the training what would be found out after it.

        Args:
            export: The section `[export]`.
            kind: What labels are.
            gate: The figures that `[gate]` asks for.
            student: Whether a smaller model learns from the trained one.

        Raises:
            UserError: A candidate is unknown, or `[export]` says how to serve, too; or there is no
                smaller model, and it is a candidate; or the gate asks for what answers do not tell.
        """
        for candidate in read_candidates(self.candidates):
            if candidate.distilled and not student:
                raise UserError(
                    f"optimize.candidates: {candidate.name!r} needs a smaller model",
                    expected="a section [distill], which makes one",
                    received="none",
                    fix=f"write [distill] with layers = 3, or leave {candidate.name} out",
                )
        if kind == "spans" and "loss" in gate:
            raise UserError(
                "gate.loss is not known of what [optimize] serves",
                expected="a figure of the spans that are answered, such as f1_micro",
                received="loss, which takes the score of every word",
                fix='write f1_micro = ">= 0.8" under [gate]',
            )
        if export.precision != WHOLE:
            raise UserError(
                "[optimize] and export.precision both say in what numbers to serve",
                expected="one of them",
                received=f'precision = "{export.precision}"',
                fix=f'add "{export.precision}" to optimize.candidates, and remove [export]',
            )


@dataclass(frozen=True, config=STRICT)
class Check:
    """`[check]`: what a server must be able to do with the model, beside the serving contract.

    Attributes:
        server: The oldest release of TensorFlow Serving that must load it, such as "2.14"; None:
            2.12, the oldest that is known.
        latency: What 19 of 20 texts must keep, each asked alone on this machine: "50ms"; None: any.
        memory: The most that the model may take beside TensorFlow itself: "500MB"; None: any.
    """

    server: str | None = None
    latency: Latency | None = None
    memory: Memory | None = None

    def arguments(self) -> dict[str, Any]:
        """Returns the section as `check` takes it.

        Raises:
            UserError: There is no such release.
        """
        if self.server is not None:
            read_release(self.server)
        return {"server": self.server, "budget": Budget(self.latency, self.memory)}


@dataclass(frozen=True, config=STRICT)
class Push:
    """`[push]`: where a model goes that passed.

    Attributes:
        to: Base folder that TensorFlow Serving watches; versions are made in it.
    """

    to: str
