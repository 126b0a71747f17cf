"""What pipelines share whose models write: sections, and the steps behind the evaluation."""

from __future__ import annotations

import dataclasses
from typing import Annotated, Any, Literal, Protocol

from annotated_types import Ge, Gt, Le
from pydantic import StringConstraints
from pydantic.dataclasses import dataclass

from textmill.artifact import Evaluation, Examples, Model, Pushed
from textmill.components.check import check
from textmill.components.export_generation import export_generation
from textmill.components.push import push
from textmill.config import STRICT
from textmill.models.preset import Preset, Scratch
from textmill.models.text_metrics import Words
from textmill.pipelines.sections import Export, Push, start
from textmill.run import Runner
from textmill.serving.defaults import Defaults, check_defaults, most_new


@dataclass(frozen=True, config=STRICT)
class Beginning:
    """The keys of `[model]` where one writes: exactly one of `preset` and `scratch` is given.

    Attributes:
        preset: Weights to begin with.
        scratch: Size of a new model; its tokenizer is trained on the data.
        vocabulary_size: Entries of the new tokenizer; only with `scratch`.
    """

    preset: str | None = None
    scratch: Literal["tiny", "mini", "small", "base"] | None = None
    vocabulary_size: Annotated[int, Ge(300)] = 8192

    def start(self) -> Preset | Scratch:
        """Returns where the first weights come from.

        Raises:
            UserError: Not exactly one of `preset` and `scratch` is given.
        """
        new = self.scratch and Scratch(
            self.scratch, self.vocabulary_size, lowercase=False, tokenizer="bpe"
        )
        return start(self.preset, new or None)


@dataclass(frozen=True, config=STRICT)
class Samples:
    """`[evaluate]`: the texts that a model writes to be compared with those of the test split.

    They are decoded as `[generate]` says.

    Attributes:
        samples: How many; 0: none.
        words: How texts are taken apart, by sacrebleu's names: "13a" for languages that space their
            words, "zh", "ja-mecab" and "ko-mecab" for theirs, "intl" for any script with spaces,
            "char" for single characters, "none" for texts that are taken apart already.
    """

    samples: Annotated[int, Ge(0)] = 100
    words: Words = "13a"


@dataclass(frozen=True, config=STRICT)
class Generate:
    """`[generate]`: how a served model decodes where a request says nothing.

    Attributes:
        temperature: What logits are divided by; 0 takes the likeliest token.
        top_k: How many of the likeliest tokens may be drawn; 0 for all.
        top_p: Of the likeliest tokens as few may be drawn as have this share of the probability.
        repetition_penalty: By what the logits of tokens that were there before are made smaller.
        min_new_tokens: Before which no text ends.
        max_new_tokens: With which a text ends; None: 128, or half of what the model reads at a time
            if that is less; where one text is read and another written, max_target_length.
        seed: Equal seeds give equal texts; below 0 each request has its own.
        num_beams: How many beginnings of a text beam search keeps, which takes the likeliest whole
            text that it finds; 1: a token after the other.
        length_penalty: Of beam search: the larger, the longer its texts.
        stop: Strings with which a text ends, beside the tokens of the model.
    """

    temperature: Annotated[float, Ge(0)] = 0.0
    top_k: Annotated[int, Ge(0)] = 0
    top_p: Annotated[float, Gt(0), Le(1)] = 1.0
    repetition_penalty: Annotated[float, Gt(0)] = 1.0
    min_new_tokens: Annotated[int, Ge(0)] = 0
    max_new_tokens: Annotated[int, Ge(1)] | None = None
    seed: int = -1
    num_beams: Annotated[int, Ge(1)] = 1
    length_penalty: float = 1.0
    stop: tuple[Annotated[str, StringConstraints(min_length=1)], ...] = ()

    def defaults(self, longest: int, *, alone: bool = False) -> Defaults:
        """Returns the section as `export_generation` takes it.

        Args:
            longest: Tokens that the model, or its decoder, reads at a time.
            alone: Whether what is written has all of them, and shares them with no prompt.

        Raises:
            UserError: More tokens are to come than it reads.
        """
        numbers = dataclasses.asdict(self)
        del numbers["stop"]
        if self.max_new_tokens is None:
            numbers["max_new_tokens"] = most_new(longest, alone=alone)
        found = Defaults(**numbers)
        check_defaults(found, longest=longest)
        return found


class Serves(Protocol):
    """A config that says how a model that writes is served."""

    @property
    def push(self) -> Push | None:
        """Where a model goes that passed."""

    @property
    def generate(self) -> Generate:
        """How texts are decoded."""

    @property
    def export(self) -> Export:
        """In what numbers."""

    @property
    def gate(self) -> dict[str, str]:
        """What metrics must be."""


def written(
    run: Runner,
    config: Serves,
    model: Model,
    examples: Examples,
    evaluation: Evaluation,
    *,
    defaults: Defaults,
    proof: dict[str, Any],
) -> Pushed | Evaluation:
    """Exports, proves and pushes a model that writes; returns the pushed version.

    Args:
        run: Carries the steps.
        config: How it is served; without a `push` nothing is done, and `evaluation` returned.
        model: The trained model.
        examples: What it learned from.
        evaluation: Its metrics.
        defaults: How texts are decoded where a request says nothing.
        proof: What `check` is told beside the model.
    """
    if config.push is None:
        return evaluation
    saved = run(
        export_generation,
        model,
        examples,
        precision=config.export.precision,
        defaults=defaults,
        stop=config.generate.stop,
    )
    blessing = run(check, saved, **proof)
    return run(push, saved, blessing, evaluation, to=config.push.to, gate=config.gate)
