"""A trained model to a smaller one that says what it says."""

from __future__ import annotations

from functools import partial

from textmill.artifact import Model, Parameters, Tokens, write_json
from textmill.components.training_record import write_task, write_training
from textmill.errors import UserError
from textmill.models import text_classification
from textmill.models.distillation import Lesson
from textmill.models.preset import Preset
from textmill.models.search_point import Point, chosen
from textmill.models.settings import Settings
from textmill.models.student import check_layers
from textmill.models.task import Task
from textmill.quiet import import_tensorflow


def distill(
    out: Model,
    tokens: Tokens,
    teacher: Model,
    *,
    lesson: Lesson,
    unlabelled: Tokens | None = None,
    task: Task = text_classification,
    dropout: float = 0.1,
    settings: Settings = Settings(),
    parameters: Parameters | None = None,
) -> None:
    """Trains a student, the teacher with fewer layers, and writes the best epoch's weights.

    It begins with the teacher's embeddings, some of its layers (see `textmill.models.student`) and
    its head. The teacher reads every training row once, with or without a label; the student then
    learns from its logits, and from the labels. The best epoch is picked as `train` picks it. A
    training that was killed goes on from its last step checkpoint.

    Args:
        out: As `train` leaves it, and `textmill/distillation.json`: the digest of the teacher, how
            many layers it has, and the lesson. "agreement" in `history.csv` is how much of the
            training rows the student decided as its teacher does.
        tokens: Rows with labels, made as those that the teacher learned from.
        teacher: What `train` wrote.
        lesson: What the student is, and how it learns from the teacher.
        unlabelled: Rows without labels, as `tokenize_unlabelled` writes them.
        task: What the teacher learned, as `train` was told.
        dropout: Share of activations to drop, 0 to 1.
        settings: How to train.
        parameters: What a search found best for the teacher, in place of the two values above.

    Raises:
        UserError: The student would not be smaller, the teacher is not made of layers, or learned
            from other rows than these; the loss became NaN, or memory does not suffice.

    Source: https://arxiv.org/abs/1503.02531 (distillation), https://arxiv.org/abs/1910.01108
    (DistilBERT).
    """
    import_tensorflow()

    from textmill.models.distilled_learner import DistilledLearner
    from textmill.models.training import Training

    _check(tokens, teacher, task)
    if unlabelled is not None:
        _check_unlabelled(unlabelled, tokens)
    preset = Preset(str(teacher.path))
    layers = preset.layers()
    if layers is not None:
        check_layers(lesson.layers, layers)
    point = chosen(Point(preset, tokens.info()["max_length"], dropout, settings), parameters)
    training = Training(
        tokens,
        preset=preset,
        task=task,
        dropout=point.dropout,
        settings=point.settings,
        folder=out.unfinished,
        learner=partial(
            DistilledLearner, lesson=lesson, unlabelled=unlabelled, folder=out.unfinished
        ),
    )
    learned = training.run()
    write_task(out, learned, tokens, task)
    about = {"teacher": teacher.digest, "teacher_layers": layers, **vars(lesson)}
    write_json(out.path / "textmill" / "distillation.json", about)
    write_training(out, learned, tokens)


def _check(tokens: Tokens, teacher: Model, task: Task) -> None:
    """Raises where the rows are not like those that the teacher learned from."""
    info, about = tokens.info(), teacher.task()
    if about["task"] != task.NAME:
        raise UserError(
            f"the teacher has not learned {task.NAME}",
            expected=f"a model of {task.NAME}",
            received=about["task"],
            fix="give distill the task that train was given",
        )
    for key in ("kind", "labels", "pair", "cleaning"):  # lengths and windows may be others
        if info[key] != about[key]:
            raise UserError(
                f"the teacher has learned from rows of other {key}",
                expected=f"{key} = {about[key]!r}",
                received=f"{info[key]!r}",
                fix="distill with the tokens that the teacher was trained on",
            )
    _check_tokenizer(tokens, teacher)


def _check_unlabelled(unlabelled: Tokens, tokens: Tokens) -> None:
    ours, theirs = unlabelled.info(), tokens.info()
    for key in ("kind", "pair", "max_length", "overlap", "windows", "cleaning"):
        if ours[key] != theirs[key]:
            raise UserError(
                f"the rows without labels have another {key} than those with labels",
                expected=f"{key} = {theirs[key]!r}",
                received=f"{ours[key]!r}",
                fix="make them with tokenize_unlabelled",
            )
    _check_tokenizer(unlabelled, tokens)


def _check_tokenizer(tokens: Tokens, of: Tokens | Model) -> None:
    if tokens.tokenizer_file.read_bytes() != of.tokenizer_file.read_bytes():
        raise UserError(
            "the token ids are not the teacher's",
            expected=f"ids of {of.tokenizer_file}",
            received=f"ids of {tokens.tokenizer_file}",
            fix="make rows with the tokenizer of the teacher",
        )
