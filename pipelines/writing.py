"""What pipelines share whose models write: from a trained and measured model to a pushed one."""

from __future__ import annotations

from typing import Any, Protocol

from textmill.artifact import Evaluation, Examples, Model, Pushed
from textmill.components.check import check
from textmill.components.export_generation import export_generation
from textmill.components.push import push
from textmill.pipelines.sections import Export, Generate, Push
from textmill.run import Runner
from textmill.serving.defaults import Defaults


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
