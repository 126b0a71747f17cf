"""A dry run: which steps of a pipeline would run, and why."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

from textmill.artifact import RECORD, Artifact, read_json
from textmill.fingerprint import PENDING, Recipe, recipe_of
from textmill.run import output_type, unusable
from textmill.workspace import Workspace

A = TypeVar("A", bound=Artifact)
P = ParamSpec("P")


@dataclass(frozen=True)
class Planned:
    """What a run would do with one step.

    Attributes:
        step: The step's name.
        hit: Whether its artifact would come from the cache.
        reasons: Why it would run; nothing for a hit.
    """

    step: str
    hit: bool
    reasons: tuple[str, ...]


class DryRun:
    """Stands in for a `Run`, calls nothing, and notes in `steps` what a run would do.

    Args:
        workspace: Folder that the real run would use; it is only read.
        force: Names of steps that would run although nothing changed.
    """

    def __init__(self, workspace: Path, *, force: Collection[str] = ()) -> None:
        self.workspace = Workspace(workspace)
        self.force = frozenset(force)
        self.steps: list[Planned] = []

    def __call__(
        self, component: Callable[Concatenate[A, P], None], *args: P.args, **kwargs: P.kwargs
    ) -> A:
        """Returns the artifact if it is there, else one with a digest that nobody knows yet."""
        step, kind = component.__name__, output_type(component)
        recipe = recipe_of(component, *args, **kwargs)
        done = self.workspace.folder(step, recipe.fingerprint())
        reasons = tuple(self._reasons(step, kind, recipe, done))
        self.steps.append(Planned(step, not reasons, reasons))
        return kind(done, PENDING if reasons else read_json(done / RECORD)["digest"])

    def _reasons(self, step: str, kind: type[Artifact], recipe: Recipe, done: Path) -> list[str]:
        if step in self.force:
            return ["forced"]
        if (done / RECORD).is_file():
            damage = unusable(kind, done)
            return [damage] if damage else []
        before = self._newest_record(step)
        if before is None:
            return ["never ran"]
        pending = [name for name, digest in recipe.inputs.items() if digest == PENDING]
        known = recipe.inputs | {name: before["inputs"].get(name, "") for name in pending}
        reasons = list(replace(recipe, inputs=known).differences(before))
        return [*reasons, *(f"input {name} would be made anew" for name in pending)]

    def _newest_record(self, step: str) -> dict[str, Any] | None:
        """Returns the recipe of the step's last execution, whatever it was given."""
        records = [read_json(f) for f in (self.workspace.path / step).glob(f"*/{RECORD}")]
        newest = max(records, key=lambda record: record["started"], default=None)
        if newest is not None:
            newest["inputs"] = {name: i["digest"] for name, i in newest["inputs"].items()}
        return newest
