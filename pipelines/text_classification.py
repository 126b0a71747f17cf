"""From a table of labelled texts to a model that TensorFlow Serving can load.

textmill run CONFIG.toml
python -m textmill.pipelines.text_classification CONFIG.toml
"""

from __future__ import annotations

import sys
from dataclasses import field

from pydantic.dataclasses import dataclass

from textmill.artifact import Examples, Pushed, Tokens
from textmill.components.best import best
from textmill.components.check import check
from textmill.components.distill import distill
from textmill.components.evaluate import evaluate
from textmill.components.export import export
from textmill.components.ingest import ingest
from textmill.components.push import push
from textmill.components.tokenize import tokenize
from textmill.components.tokenize_unlabelled import tokenize_unlabelled
from textmill.components.tokenized import LabelledTokens
from textmill.components.train import train
from textmill.components.tune import tune
from textmill.components.validate import validate
from textmill.config import STRICT
from textmill.errors import UserError
from textmill.models import multi_label_classification
from textmill.models import text_classification as one_label
from textmill.models.metrics import Metric
from textmill.models.settings import Settings
from textmill.models.task import Task
from textmill.pipelines.data import Data
from textmill.pipelines.optimized import optimized
from textmill.pipelines.sections import (
    Check,
    Condition,
    Distill,
    Export,
    Model,
    Optimize,
    Push,
    Tune,
)
from textmill.run import Runner


@dataclass(frozen=True, config=STRICT)
class Config:
    """The whole TOML file.

    Attributes:
        pipeline: "text_classification".
        workspace: Folder for artifacts, cache and lineage.
        data: See `Data`.
        model: See `Model`.
        push: See `Push`.
        train: See `Settings`.
        tune: See `Tune`; without it the values of `train` and `model` are taken as they are.
        distill: See `Distill`; without it the model that `train` makes is served.
        export: See `Export`.
        optimize: See `Optimize`; without it `export` says how the model is served.
        check: See `Check`.
        gate: Metric -> condition such as ">= 0.8"; a model that fails one is not pushed.
        lineage: SQLAlchemy URL of the lineage store, default SQLite in the workspace.
    """

    pipeline: str
    workspace: str
    data: Data
    model: Model
    push: Push
    train: Settings = field(default_factory=Settings)
    tune: Tune | None = None
    distill: Distill | None = None
    export: Export = field(default_factory=Export)
    optimize: Optimize | None = None
    check: Check = field(default_factory=Check)
    gate: dict[str, Condition] = field(default_factory=dict)
    lineage: str | None = None


def text_classification(run: Runner, config: Config) -> Pushed:
    """Trains, proves and pushes a text classifier; returns the pushed version."""
    task: Task = multi_label_classification if config.data.multi_label else one_label
    return supervised(run, config, task)


def supervised(
    run: Runner, config: Config, task: Task, *, metrics: tuple[Metric, ...] = ()
) -> Pushed:
    """Trains, proves and pushes a model that learns any task from labels.

    `metrics` are figures of one's own, as `evaluate` takes them.
    """
    data, model = config.data, config.model
    if data.multi_label and task.LABELS != "many":
        raise UserError(
            "data.multi_label is for names of labels",
            expected=f'pipeline = "text_classification", or no multi_label for {task.NAME}',
            received=f'pipeline = "{config.pipeline}", and multi_label = true',
            fix="remove data.multi_label, or change the pipeline",
        )
    preset, texts, proof = model.start(), data.texts(), config.check.arguments()
    if config.distill:
        config.distill.check(preset)
    if config.optimize:
        config.optimize.check(
            config.export,
            kind=task.LABELS,
            gate=config.gate,
            student=config.distill is not None,
        )

    examples = run(
        ingest,
        data.open(data.source),
        text=texts[0],
        pair=texts[1] if len(texts) > 1 else None,
        label=data.label,
        labels=task.LABELS,
        separator=data.label_separator,
        test_source=data.open(data.test_source) if data.test_source else None,
        split=data.split,
        split_column=data.split_column,
        where=data.where,
        cleaning=data.cleaning(task.LABELS),
        conflicts=data.conflicts,
        merge_labels=data.merge_labels,
    )
    run(validate, examples)
    parameters = None
    if config.tune:
        tuned = run(
            tune,
            examples,
            task=task,
            preset=preset,
            max_length=model.max_length,
            tokenized=LabelledTokens(model.overlap, model.windows),
            dropout=model.dropout,
            settings=config.train,
            **config.tune.arguments(),
        )
        parameters = run(best, tuned)
    tokens = run(
        tokenize,
        examples,
        preset=preset,
        max_length=model.max_length,
        overlap=model.overlap,
        windows=model.windows,
        parameters=parameters,
    )
    # Before the training: what is wrong with these texts should not be told hours later.
    unlabelled = _unlabelled(run, config, task, examples, tokens)
    trained = run(
        train,
        tokens,
        task=task,
        preset=preset,
        dropout=model.dropout,
        settings=config.train,
        parameters=parameters,
    )
    evaluation = run(evaluate, trained, tokens, examples, task=task, metrics=metrics)
    served, student, teacher = trained, None, None
    if config.distill:
        teacher = evaluation
        settings = config.distill.train
        student = served = run(
            distill,
            tokens,
            trained,
            lesson=config.distill.lesson(),
            unlabelled=unlabelled,
            task=task,
            dropout=model.dropout,
            settings=settings or config.train,
            parameters=None if settings else parameters,
        )
        evaluation = run(
            evaluate, student, tokens, examples, task=task, metrics=metrics, teacher=teacher
        )
    if config.optimize:
        saved, evaluation = optimized(
            run,
            config.optimize,
            # A smaller model that is a candidate is yet to show that it should be served.
            trained if config.optimize.distills else served,
            tokens,
            examples,
            task=task,
            student=student,
            teacher=teacher,
            metrics=metrics,
        )
    else:
        saved = run(export, served, examples, task=task, precision=config.export.precision)
    blessing = run(check, saved, **proof)
    return run(push, saved, blessing, evaluation, to=config.push.to, gate=config.gate)


def _unlabelled(
    run: Runner, config: Config, task: Task, examples: Examples, tokens: Tokens
) -> Tokens | None:
    """Returns the rows without labels that a smaller model learns from, if there are any."""
    data, distillation = config.data, config.distill
    if distillation is None or distillation.unlabelled is None:
        return None
    texts = distillation.texts(data.texts())
    found = run(
        ingest,
        data.open(distillation.unlabelled, distillation.documents),
        text=texts[0],
        pair=texts[1] if len(texts) > 1 else None,
        label=None,
        split={"train": 1.0},
        cleaning=data.cleaning(task.LABELS),
    )
    return run(tokenize_unlabelled, found, examples, tokens)


if __name__ == "__main__":
    from textmill.cli import main

    main(["run", *sys.argv[1:]])
