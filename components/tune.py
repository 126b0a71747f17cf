"""The search for the parameters that train best."""

from __future__ import annotations

import contextvars
import hashlib
import json
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from textmill.artifact import Examples, Tuned, read_json, write_json
from textmill.components.sample import sample
from textmill.components.tokenized import LabelledTokens, Tokenized
from textmill.components.trials import Trials
from textmill.errors import UserError, nearest, one_of
from textmill.fingerprint import plain
from textmill.models import text_classification
from textmill.models.causal_learner import NextToken
from textmill.models.objective import Direction, Objective, objective_of
from textmill.models.pair_learner import TargetTokens
from textmill.models.preset import Preset, Scratch
from textmill.models.search import Algorithm, Search, Values
from textmill.models.search_job import SPENT, Figures, Hypermodel, Result
from textmill.models.search_point import Point
from textmill.models.search_process import Nursery, check_portable
from textmill.models.search_report import write_report
from textmill.models.search_space import Space
from textmill.models.settings import Duration, Settings, seconds
from textmill.models.task import Task
from textmill.progress import Silent, warn
from textmill.quiet import import_tensorflow
from textmill.run import Run

TRIALS = "trials"  # a workspace beside the artifacts of this step, which all its searches share


def tune(
    out: Tuned,
    examples: Examples,
    *,
    preset: Preset | Scratch,
    space: Space,
    task: Task | NextToken | TargetTokens = text_classification,
    tokenized: Tokenized = LabelledTokens(),
    max_length: int = 256,
    dropout: float = 0.1,
    settings: Settings = Settings(),
    algorithm: Algorithm = "bayesian",
    objective: str | Objective | None = None,
    direction: Direction | None = None,
    trials: int = 20,
    budget: Duration | None = None,
    rows: int | None = None,
    seed: int = 0,
    hypermodel: Hypermodel | None = None,
    tuner: type[Any] | None = None,
) -> None:
    """Searches `space` for the parameters that train best, and writes them to `out`.

    Each trial trains as `train` would, in a process of its own, and is kept in `trials/` beside
    the artifacts of this step: a search that was killed, or is repeated with more trials, more time
    or another space, finds there what was done, and goes on inside the trial that was killed. With
    "bayesian", trials of other searches that lie in the space are taken in first, beside `trials`.

    Hyperband deals out the epochs, `settings.epochs` to the best. A trial that it promotes is
    trained from the start, because the learning rate falls over the epochs that a trial has.

    Args:
        out: `best.json`, `trials.csv`, `objective.png`, `parallel_coordinates.png`, `logs/`.
        examples: What to learn from, and validation rows to compare by.
        preset: The weights to begin with, where the space says nothing about them. So with
            `max_length`, `dropout` and `settings`.
        space: What is searched, as `read_space` returns it.
        task: What is learned.
        tokenized: Makes token ids of `examples`.
        max_length: Tokens a row at most, where `tokenized` asks for it.
        dropout: Share of activations to drop.
        settings: How to train.
        algorithm: How KerasTuner proposes values; "grid" takes all of them, one after the other.
        objective: A column of the history, of which a trial's best epoch counts; an `Objective` has
            a direction, as KerasTuner's has. None: the task's first figure on validation.
        direction: "min" or "max", whether less or more of it is better. None: as its name tells,
            see `direction_of`.
        trials: How many at most.
        budget: How long the search may take. The trial that runs then ends with its epoch.
        rows: Training rows that the trials see, drawn at random; None: all.
        seed: Decides the proposals.
        hypermodel: Makes the models instead of the task; it may add entries to the space.
        tuner: A subclass of `keras_tuner.Tuner`, whose `run_trial` trains instead of Textmill.

    Raises:
        UserError: The space, the objective or the examples do not fit, the objective's name does
            not tell what is better, or every trial failed.

    Source: https://keras.io/keras_tuner; https://arxiv.org/abs/1603.06560 (Hyperband).
    """
    columns = _columns(task)
    name = columns[0] if objective is None else _name(objective)
    _check(examples, space, task, algorithm, name, columns, settings, hypermodel, tuner)
    aim = objective_of(name, direction or getattr(objective, "direction", None))
    import_tensorflow()
    place, relay, folder = out.path.parent / TRIALS, _Relay(lambda: search), out.unfinished
    clock = _Clock(folder / "spent.json")
    if rows is not None:
        examples = Run(place, listener=relay)(sample, examples, rows=rows)
    # What a search proposes tells it from others, so that it knows its own trials again.
    identity = json.dumps(plain([space, algorithm, aim, seed, hypermodel, tuner]))
    known_as = hashlib.sha256(identity.encode()).hexdigest()[:16]

    def attempt(values: Values) -> Result:
        result = made.result(values)
        given_up = result.status == "stopped" and result.reason != SPENT
        if given_up and not search.hopeless(result.history):  # beside better ones than are here
            result = made.result(values, anew=True)
        clock.write()
        return result

    with Nursery(relay.verdict, search=known_as) as nursery:
        made = Trials(
            place,
            relay,
            nursery,
            examples,
            Point(preset, max_length, dropout, settings),
            tokenized,
            space,
            task,
            aim,
            hypermodel,
            tuner,
        )
        hyperparameters = made.hyperparameters(folder)
        if not hyperparameters.space:
            raise UserError(
                "tune.space is empty",
                expected="a key of [train] or [model] with values to try",
                received="nothing",
                fix="add learning_rate = {min = 1e-5, max = 1e-3, log = true} to [tune.space]",
            )
        search = Search(
            hyperparameters,
            attempt,
            algorithm=algorithm,
            objective=aim,
            trials=trials,
            epochs=settings.epochs,
            seed=seed,
            folder=folder,
            budget=None if budget is None else seconds(budget) - clock.before,
            # The others propose the same again, and find it done.
            known=list(made.known()) if algorithm == "bayesian" and not hypermodel else (),
            tuner=tuner,
        )
        attempts = [replace(a, values=space.tidy(a.values)) for a in search.run()]
    if search.best() is None:
        raise UserError(
            f"tune: none of {len(attempts)} trials came to an end",
            expected="a trial that trains",
            received=attempts[0].result.reason if attempts else f"a budget of {budget}",
            fix=f"mend it, and delete {place} to try again" if attempts else "raise tune.budget",
        )
    write_report(out.path, attempts, hyperparameters, aim)


class _Clock:
    """The time that a search took, over all its attempts."""

    def __init__(self, file: Path) -> None:
        self._file, self._began = file, time.monotonic()
        self.before: float = read_json(file) if file.is_file() else 0.0

    def write(self) -> None:
        """Keeps the time, in case that the search is killed."""
        write_json(self._file, self.before + time.monotonic() - self._began)


class _Relay(Silent):
    """Hears how the trials go, in the context of the search."""

    def __init__(self, search: Callable[[], Search]) -> None:
        self._context, self._search = contextvars.copy_context(), search

    def advanced(self, step: str, done: float, total: float | None, note: str) -> None:
        """Makes a trial's progress the search's."""
        if step == "trial" and total:
            self._context.run(self._search().progress, done / total, note)

    def warned(self, step: str, text: str) -> None:
        """Passes on a warning."""
        self._context.run(warn, text)

    def verdict(self, history: list[Figures]) -> str:
        """Asks the search whether a trial is to go on."""
        verdict: str = self._context.run(self._search().verdict, history)
        return verdict


def _name(objective: Any) -> str:
    """Returns the column that is to be made good, however it is given."""
    name = getattr(objective, "name", objective)
    if not isinstance(name, str):
        raise UserError(
            "tune.objective: a search makes one figure good",
            expected="a column of the history, or an Objective of one",
            received=repr(objective),
            fix='give a name, such as "val_accuracy"',
        )
    return name


def _columns(task: Task | NextToken | TargetTokens) -> list[str]:
    """Returns the columns of a training's history, those of the validation first."""
    import numpy as np

    if isinstance(task, NextToken | TargetTokens):
        return [f"{split}{name}" for split in ("val_", "") for name in WRITING]
    two = np.eye(2, dtype=np.float32)
    labels, logits, names = {
        "one": (np.array([0, 1], np.int32), two, ["0", "1"]),
        "many": (two, two, ["0", "1"]),
        "number": (np.array([0, 1], np.float32), two[:, :1], []),
        "spans": (np.array([[0, 0], [0, 1]], np.int32), np.eye(2, 3, dtype=np.float32), TAGS),
    }[task.LABELS]
    figures = task.metrics(labels, logits, names)
    return [*(f"val_{name}" for name in figures), "loss", "accuracy"]


WRITING = ("loss", "perplexity", "bits_per_byte")  # figures of a training without labels
TAGS = ["O", "B-name", "I-name"]


def _check(
    examples: Examples,
    space: Space,
    task: Task | NextToken | TargetTokens,
    algorithm: Algorithm,
    objective: str,
    columns: list[str],
    settings: Settings,
    hypermodel: Hypermodel | None,
    tuner: type[Any] | None,
) -> None:
    """Says before any work what can't go well."""
    if isinstance(task, NextToken | TargetTokens) and (hypermodel or tuner):
        raise UserError(
            "tune: a hypermodel and a tuner of yours are for tasks with labels",
            expected=f"a space of [train] and [model] for {task.NAME}",
            received="hypermodel" if hypermodel else "tuner",
            fix="remove it from [tune]",
        )
    for what, given in (("task", task), ("hypermodel", hypermodel), ("tuner", tuner)):
        check_portable(what, given)
    held_out = examples.schema()["rows"]["validation"]
    if objective.startswith("val_") and not held_out:
        raise UserError(
            "tune: there are no validation rows",
            expected=f"a validation split, for {objective}",
            received="none",
            fix="set data.split = {train = 0.8, validation = 0.1, test = 0.1}",
        )
    # The columns of one's own code nobody knows before the first epoch.
    if not (hypermodel or tuner) and objective not in columns:
        close = nearest(objective, columns)
        raise UserError(
            f"tune.objective: no column {objective!r}",
            expected=one_of(columns),
            received=repr(objective),
            fix=f"did you mean {close}?" if close else "take one of these",
        )
    for entry in space.entries:
        if algorithm == "grid" and not entry.countable:
            raise UserError(
                f"tune.space.{entry.name}: a grid needs values that can be counted",
                expected="a step, or choice",
                received=f"any value from {entry.low} to {entry.high}",
                fix=f"add step to tune.space.{entry.name}, or take another algorithm",
            )
        if algorithm == "hyperband" and entry.name == "epochs":
            raise UserError(
                "tune.space.epochs: Hyperband itself deals out the epochs",
                expected=f"train.epochs, now {settings.epochs}, as the most that a trial gets",
                received="a range of epochs",
                fix="remove epochs from tune.space, or take another algorithm",
            )
