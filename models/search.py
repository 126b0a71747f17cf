"""A search: KerasTuner proposes values, each is tried, and the best is known in the end."""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from textmill.errors import UserError, nearest, one_of
from textmill.models.objective import Objective
from textmill.models.search_job import SPENT, Figures, Result
from textmill.progress import advance

if TYPE_CHECKING:
    import keras_tuner

Algorithm = Literal["bayesian", "hyperband", "random", "grid"]
Values = dict[str, Any]

# A trial is given up when twice the best improvement that was ever seen would not help it.
SAFETY = 2.0
EVIDENCE = 2  # trials that must have gone to their end before
DRAWS = 100  # to find values that are new


@dataclass(frozen=True)
class Attempt:
    """A trial that is over.

    Attributes:
        values: What was tried, by name.
        result: What came of it.
        value: The objective at the best epoch; None if the trial failed.
        best_epoch: That epoch, from 1; 0 if the trial failed.
        seconds: How long it took; next to nothing where it was found done.
    """

    values: Values
    result: Result
    value: float | None
    best_epoch: int
    seconds: float


class Search:
    """Tries values until the trials, the time or the space are used up.

    Args:
        hyperparameters: The space.
        attempt: Runs a trial with the values given.
        algorithm: How values are proposed.
        objective: Column of the history to make good, and in which direction.
        trials: How many at most, beside those known.
        epochs: Of a trial whose values do not say; Hyperband gives as many to the best.
        seed: Decides the proposals.
        folder: For what KerasTuner writes.
        budget: Seconds that the search may take; None: any.
        known: Values whose trial is done, to be taken in first; for "bayesian" and "random".
        tuner: A subclass of `keras_tuner.Tuner` whose hooks are called.

    Attributes:
        attempts: The trials that are over, in their order.
    """

    def __init__(
        self,
        hyperparameters: keras_tuner.HyperParameters,
        attempt: Callable[[Values], Result],
        *,
        algorithm: Algorithm,
        objective: Objective,
        trials: int,
        epochs: int,
        seed: int,
        folder: Path,
        budget: float | None = None,
        known: Sequence[Values] = (),
        tuner: type[keras_tuner.Tuner] | None = None,
    ) -> None:
        self.attempts: list[Attempt] = []
        self.hyperparameters, self.algorithm, self.objective = hyperparameters, algorithm, objective
        self._attempt, self._tuner, self._folder = attempt, tuner, folder
        self._epochs, self._seed, self._known = epochs, seed, list(known)
        self._trials = trials + len(known)
        self._planned = epochs  # of the trial that runs
        self._sign = objective.sign
        self._began, self._budget = time.monotonic(), math.inf if budget is None else budget

    def run(self) -> list[Attempt]:
        """Searches; returns the trials.

        Raises:
            UserError: The objective is no column of the history.
        """
        import keras_tuner
        from sklearn.exceptions import ConvergenceWarning

        def run_trial(tuner: Any, trial: Any, *args: Any, **kwargs: Any) -> dict[str, float]:
            return self._run_trial(trial.hyperparameters.values)

        base = self._tuner or keras_tuner.Tuner
        kind = type(base.__name__, (base,), {"run_trial": run_trial})
        with warnings.catch_warnings():
            # Of KerasTuner about itself and failed trials, of a Gaussian process about few points.
            warnings.simplefilter("ignore", DeprecationWarning)
            warnings.filterwarnings("ignore", "All-NaN", RuntimeWarning)
            warnings.simplefilter("ignore", ConvergenceWarning)
            tuner = kind(
                oracle=self._oracle(),
                directory=str(self._folder),
                project_name="keras_tuner",
                overwrite=True,
            )
            try:
                tuner.search(verbose=0)
            except keras_tuner.errors.FatalError as error:
                raise error.__cause__ or error from None
        return self.attempts

    def best(self) -> Attempt | None:
        """Returns the attempt with the best value, of equals the first."""
        found = [(self._sign * a.value, a) for a in self.attempts if a.value is not None]
        return max(found, key=lambda pair: pair[0])[1] if found else None

    def verdict(self, history: list[Figures]) -> str:
        """Returns why the trial that runs is to stop after these epochs, or "".

        Raises:
            UserError: The objective is no column of the history.
        """
        columns = [name for name in history[-1] if name != "epoch"]
        name = self.objective.name
        if name not in columns:
            close = nearest(name, columns)
            raise UserError(
                f"tune.objective: no column {name!r} in the history",
                expected=one_of(columns),
                received=repr(name),
                fix=f"did you mean {close}?" if close else "take one of these",
            )
        note = f"epoch {len(history)}/{self._planned} {history[-1][name]:.4f}"
        self.progress(len(history) / self._planned, note)
        if self._left() <= 0:
            return SPENT
        return self.hopeless(history)

    def hopeless(self, history: list[Figures]) -> str:
        """Returns why the trial that runs, with this history, can't win, or "".

        It can't if twice the largest improvement that a trial of at least as many epochs made from
        here to its end would not bring it to the best. Hyperband gives up trials by itself.
        """
        best, gains = self.best(), []
        if self.algorithm == "hyperband" or best is None or best.value is None:
            return ""
        for attempt in self.attempts:
            merits = self._merits(attempt.result.history)
            whole = attempt.result.status == "completed" and len(merits) > len(history)
            if whole and attempt.values.get("epochs", self._epochs) >= self._planned:
                gains.append(max(merits) - max(merits[: len(history)]))
        if len(gains) < EVIDENCE:
            return ""
        reach = max(self._merits(history), default=-math.inf) + SAFETY * max(gains)
        return "" if reach >= self._sign * best.value else "it could not have won"

    def progress(self, share: float, note: str) -> None:
        """Says how far the search is, of its trials or of its time.

        Args:
            share: How much of the trial that runs is done, 0 to 1.
            note: More about it.
        """
        done = (len(self.attempts) + min(share, 1.0)) / self._trials
        if self._budget < math.inf:
            done = max(done, 1 - self._left() / max(self._budget, 1e-9))
        best = self.best()
        found = f"best {best.value:.4f}" if best else ""
        words = f"trial {len(self.attempts) + 1}/{self._trials} {note}".rstrip()
        advance(min(done, 1.0), 1.0, " · ".join(filter(None, [words, found])))

    def _merits(self, history: list[Figures]) -> list[float]:
        """Returns the objective of each epoch, such that more is better."""
        values = [row.get(self.objective.name, math.nan) for row in history]
        return [-math.inf if math.isnan(value) else self._sign * value for value in values]

    def _run_trial(self, drawn: Values) -> dict[str, float]:
        """Runs what KerasTuner proposes; returns its objective."""
        import keras_tuner

        values = {name: x for name, x in drawn.items() if not name.startswith("tuner/")}
        if "tuner/epochs" in drawn:
            values["epochs"] = int(drawn["tuner/epochs"])
        self._planned = values.get("epochs", self._epochs)
        self.progress(0.0, "")
        began = time.monotonic()
        try:
            result = self._attempt(values)
        except Exception as error:
            # KerasTuner takes any other error for a failed trial.
            raise keras_tuner.errors.FatalError(str(error)) from error
        merits = self._merits(result.history)
        top = max(merits, default=-math.inf)
        if result.status != "failed" and top == -math.inf:
            result = Result("failed", result.history, f"{self.objective.name} is not a number")
        failed = result.status == "failed"
        value, best_epoch = (None, 0) if failed else (self._sign * top, merits.index(top) + 1)
        seconds = time.monotonic() - began
        self.attempts.append(Attempt(values, result, value, best_epoch, seconds))
        # It marks a trial without a number as failed; of an error it would print the traceback.
        return {self.objective.name: math.nan if value is None else value}

    def _left(self) -> float:
        return self._budget - (time.monotonic() - self._began)

    def _oracle(self) -> keras_tuner.Oracle:
        """Returns KerasTuner's oracle, which here begins with what is known and minds the time."""
        import keras_tuner

        kinds = {
            "bayesian": keras_tuner.oracles.BayesianOptimizationOracle,
            "random": keras_tuner.oracles.RandomSearchOracle,
            "grid": keras_tuner.oracles.GridSearchOracle,
            "hyperband": keras_tuner.oracles.HyperbandOracle,
        }
        given: dict[str, Any] = {"max_trials": self._trials}
        if self.algorithm == "hyperband":
            # Bracket after bracket, until something else ends the search.
            given = {"max_epochs": self._epochs, "hyperband_iterations": None}
        oracle = kinds[self.algorithm](
            objective=keras_tuner.Objective(self.objective.name, self.objective.direction),
            hyperparameters=self.hyperparameters,
            seed=self._seed + 1,  # it takes 0 for "any"
            max_consecutive_failed_trials=self._trials + 1,
            **given,
        )
        oracle.max_trials = self._trials
        propose = oracle.populate_space

        def populate_space(trial_id: str) -> dict[str, Any]:
            if self._left() <= 0:
                return {"status": "STOPPED"}
            if self._known:
                return {"status": "RUNNING", "values": self._known.pop(0)}
            proposed: dict[str, Any] = propose(trial_id)
            if self.algorithm == "bayesian" and proposed.get("values"):
                # Where values are few, the Gaussian process proposes the best ones again.
                new = self._new(proposed["values"])
                proposed = {"status": "RUNNING" if new else "STOPPED", "values": new}
            return proposed

        oracle.populate_space = populate_space
        return oracle

    def _new(self, values: Values) -> Values | None:
        """Returns these values if they were not tried, else others at random; None: all were."""
        import keras_tuner
        import numpy as np

        random = np.random.default_rng([self._seed, len(self.attempts)])
        for _ in range(DRAWS):
            if all(values != attempt.values for attempt in self.attempts):
                return values
            drawn = keras_tuner.HyperParameters()
            for each in self.hyperparameters.space:
                drawn.merge([each])
                if drawn.is_active(each):
                    drawn.values[each.name] = each.random_sample(int(random.integers(2**31)))
            values = drawn.values
        return None
