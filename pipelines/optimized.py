"""From a trained model to the variant of it that is served."""

from __future__ import annotations

from textmill.artifact import Evaluation, Examples, Model, Saved, Tokens
from textmill.components.candidates import read_candidates
from textmill.components.choose import choose
from textmill.components.export import export
from textmill.components.measure import measure
from textmill.components.served import served
from textmill.components.variant import variant
from textmill.models.metrics import Metric
from textmill.models.task import Task
from textmill.pipelines.sections import Optimize
from textmill.run import Runner


def optimized(
    run: Runner,
    optimize: Optimize,
    model: Model,
    tokens: Tokens,
    examples: Examples,
    *,
    task: Task,
    student: Model | None = None,
    teacher: Evaluation | None = None,
    metrics: tuple[Metric, ...] = (),
) -> tuple[Saved, Evaluation]:
    """Exports every candidate, measures them, and returns the chosen one and its figures.

    Args:
        run: What the steps are called through.
        optimize: Which candidates, and what they may lose.
        model: What was trained.
        tokens: What it learned from.
        examples: The test split's texts.
        task: What it learned.
        student: A smaller model that learned from it, where "distilled" is a candidate.
        teacher: Figures of the model that the smaller one learned from, for the gate.
        metrics: Figures of one's own, as `evaluate` takes them.
    """
    whole, *others = read_candidates(optimize.candidates)
    # Without the model as it was trained there is nothing to compare with, and nothing to serve.
    candidates = {whole.name: run(export, model, examples, task=task)}
    refused: dict[str, str] = {}
    for candidate in others:
        if candidate.refused:
            refused[candidate.name] = candidate.refused
            continue
        candidates[candidate.name] = run(
            variant,
            student if candidate.distilled and student else model,
            examples,
            task=task,
            precision=candidate.precision,
            seen=tokens if candidate.pruned else None,
        )
    measured = run(
        measure,
        candidates,
        tokens,
        examples,
        task=task,
        refused=refused,
        metrics=metrics,
        rounds=optimize.rounds,
    )
    saved = run(choose, measured, candidates, max_loss=optimize.max_loss)
    return saved, run(served, measured, saved, teacher=teacher)
