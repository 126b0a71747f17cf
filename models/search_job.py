"""One trial: what its process is told, and what comes of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from textmill.artifact import Tokens
from textmill.models.objective import Objective
from textmill.models.search_point import Point

if TYPE_CHECKING:
    import keras
    import keras_tuner

SPENT = "the time of the search was over"
Figures = dict[str, float]
# Asked after each epoch with the history so far: why the trial is to stop, or "".
Verdict = Callable[[list[Figures]], str]


class Hypermodel(Protocol):
    """A function that makes the model of a trial, in place of the task's classifier."""

    def __call__(self, hp: keras_tuner.HyperParameters, tokens: Tokens) -> keras.Model:
        """Returns a compiled model.

        Args:
            hp: `hp.get("learning_rate")` is the trial's value for that entry of the space;
                `hp.Int("units", 32, 256)` and its like add entries, as in KerasTuner.
            tokens: The rows; `tokens.info()` knows the labels.

        Returns:
            A Keras model that takes a dict with "token_ids", int32 [batch, tokens], and, if it
            wants, "padding_mask" and "segment_ids" of the same shape; compiled with a loss for
            label ids, int32 [batch].
        """


@dataclass(frozen=True)
class Job:
    """A trial to run.

    Attributes:
        tokens: What to learn from.
        point: What to train with.
        task: What is learned; see `models.learners`.
        folder: Where the process keeps what its next attempt goes on from.
        objective: What the search makes good.
        hypermodel: Makes the model instead of the task.
        tuner: A subclass of `keras_tuner.Tuner` whose `run_trial` trains it.
        values: The trial's values for these two.
        explore: Rather than train, find the entries that the hypermodel asks for.
    """

    tokens: Tokens
    point: Point
    task: Any
    folder: Path
    objective: Objective | None = None
    hypermodel: Hypermodel | None = None
    tuner: type[keras_tuner.Tuner] | None = None
    values: dict[str, Any] = field(default_factory=dict)
    explore: bool = False


@dataclass(frozen=True)
class Result:
    """What came of a trial.

    Attributes:
        status: "completed"; "stopped" before its last epoch; or "failed".
        history: A row of figures for each epoch.
        reason: Why it stopped or failed.
    """

    status: Literal["completed", "stopped", "failed"]
    history: list[Figures]
    reason: str = ""
