"""One trial of a search: trains as `train` does, in a process of its own, and keeps the figures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from textmill.artifact import LOGS, Artifact, Tokens, read_json, write_json
from textmill.models.objective import Objective
from textmill.models.preset import Preset, Scratch
from textmill.models.search_job import SPENT, Hypermodel, Job, Result
from textmill.models.search_point import Point
from textmill.models.search_process import Interrupted, Nursery
from textmill.models.settings import Settings


class Trial(Artifact):
    """`result.json`: how a trial went, and what it was made with."""

    def result(self) -> Result:
        """Returns how it went."""
        return Result(**read_json(self.path / "result.json")["result"])


def trial(
    out: Trial,
    tokens: Tokens,
    *,
    preset: Preset | Scratch,
    task: Any,
    dropout: float,
    settings: Settings,
    process: Nursery,
    objective: Objective | None = None,
    hypermodel: Hypermodel | None = None,
    tuner: type[Any] | None = None,
    values: Mapping[str, Any] | None = None,
) -> None:
    """Writes the history of a training to `out`, or why it failed.

    A trial that was killed goes on from its last step checkpoint.

    Args:
        out: `result.json`; and in `logs/times.json` how long it trained.
        tokens: What to learn from.
        preset: The weights to begin with.
        task: What is learned.
        dropout: Share of activations to drop, 0 to 1.
        settings: How to train.
        process: Where to run.
        objective: What the tuner or the hypermodel is to make good; else nothing.
        hypermodel: Makes the model instead of the task.
        tuner: A subclass of `keras_tuner.Tuner` that trains it instead of Textmill.
        values: What these two are given.

    Raises:
        Interrupted: The process was killed, or the search was out of time.
    """
    point = Point(preset, tokens.info()["max_length"], dropout, settings)
    job = Job(
        tokens,
        point,
        task,
        out.unfinished,
        objective=objective,
        hypermodel=hypermodel,
        tuner=tuner,
        values=dict(values or {}),
    )
    result = process.run(job)
    if result.reason == SPENT:
        raise Interrupted(result)
    made = {"search": process.search, "point": point.values()}
    write_json(out.path / "result.json", {"result": vars(result), **made})
    write_json(out.path / LOGS / "times.json", {"training": process.training_seconds})
