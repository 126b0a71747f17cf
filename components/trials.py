"""The trials of a search: run, or found done by an earlier search."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from textmill.artifact import Examples, Tokens, read_json
from textmill.components.tokenized import Tokenized
from textmill.components.trial import Trial, trial
from textmill.errors import UserError
from textmill.models.objective import Objective
from textmill.models.search_job import Hypermodel, Job, Result
from textmill.models.search_point import Point
from textmill.models.search_process import Interrupted, Nursery
from textmill.models.search_space import Space, Values
from textmill.plan import DryRun
from textmill.progress import Listener
from textmill.run import Run, Runner

if TYPE_CHECKING:
    import keras_tuner


@dataclass(frozen=True)
class Trials:
    """The trials that values stand for, each kept in a workspace that searches share.

    Attributes:
        place: The workspace.
        listener: Hears how a trial goes.
        nursery: Where trials run.
        examples: What they learn from.
        point: What they train with, where the values say nothing.
        tokenized: Makes token ids of them.
        space: What the values are about.
        task: What is learned.
        objective: What the search makes good.
        hypermodel: Makes the models instead of the task.
        tuner: Trains them instead of Textmill.
    """

    place: Path
    listener: Listener
    nursery: Nursery
    examples: Examples
    point: Point
    tokenized: Tokenized
    space: Space
    task: Any
    objective: Objective
    hypermodel: Hypermodel | None
    tuner: type[Any] | None

    def result(self, values: Values, *, anew: bool = False) -> Result:
        """Returns what comes of training with these values.

        Args:
            values: As KerasTuner drew them.
            anew: Whether to run the trial though its result is there.
        """
        run = Run(self.place, listener=self.listener, force=["trial"] if anew else [])
        try:
            tokens = self._tokens(run, values)
        except UserError as error:  # such as more tokens than a preset has positions for
            return Result("failed", [], f"{error.what}: {error.received}")
        try:
            return self._trial(run, tokens, values).result()
        except Interrupted as error:
            return error.result

    def known(self) -> Iterator[Values]:
        """Yields values in the space with which another search trained to the end."""
        for file in sorted((self.place / "trial").glob("*/result.json")):
            stored = read_json(file)
            completed = stored["result"]["status"] == "completed"
            values = self.space.point(stored["point"])
            if values is None or not completed or stored["search"] == self.nursery.search:
                continue
            # All else must be equal too: the data, the code, the values outside the space.
            plan = DryRun(self.place)
            self._trial(plan, self._tokens(plan, values), values)
            if plan.steps[-1].hit:
                yield values

    def hyperparameters(self, folder: Path) -> keras_tuner.HyperParameters:
        """Returns the space, with what the hypermodel adds to it.

        Args:
            folder: For what the hypermodel's process writes.

        Raises:
            UserError: The hypermodel fails.
        """
        import keras_tuner

        found = self.space.hyperparameters()
        if self.hypermodel is None:
            return found
        tokens = self._tokens(Run(self.place, listener=self.listener), {})
        job = Job(
            tokens,
            self.point,
            self.task,
            folder,
            objective=self.objective,
            hypermodel=self.hypermodel,
            values=found.get_config(),
        )
        return keras_tuner.HyperParameters.from_config(self.nursery.explore(job))

    def _tokens(self, run: Runner, values: Values) -> Tokens:
        point = self.point.changed(self.space.tidy(values))
        return self.tokenized(run, self.examples, point)

    def _trial(self, run: Runner, tokens: Tokens, values: Values) -> Trial:
        values = self.space.tidy(values)
        point = self.point.changed(values)
        code: dict[str, Any] = {}
        if self.hypermodel or self.tuner:
            code = {"hypermodel": self.hypermodel, "tuner": self.tuner}
            code |= {"objective": self.objective, "values": values}
        return run(
            trial,
            tokens,
            preset=point.preset,
            task=self.task,
            dropout=point.dropout,
            settings=point.settings,
            process=self.nursery,
            **code,
        )
