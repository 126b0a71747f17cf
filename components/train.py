"""Token ids to a trained model."""

from __future__ import annotations

from textmill.artifact import Model, Parameters, Tokens
from textmill.components.training_record import write_task, write_training
from textmill.errors import UserError
from textmill.models import text_classification
from textmill.models.preset import Preset, Scratch
from textmill.models.search_point import Point, chosen
from textmill.models.settings import Settings
from textmill.models.task import Task
from textmill.quiet import import_tensorflow


def train(
    out: Model,
    tokens: Tokens,
    *,
    preset: Preset | Scratch,
    task: Task = text_classification,
    dropout: float = 0.1,
    settings: Settings = Settings(),
    parameters: Parameters | None = None,
) -> None:
    """Trains a model on `tokens` and writes the best epoch's weights to `out`.

    The best epoch has the highest first metric of the task (accuracy) on the validation split, of
    equals the lowest loss; without validation rows it is the last one. A training that was killed
    goes on from its last step checkpoint.

    Args:
        out: A KerasHub preset folder; `history.csv` and `learning_curve.png`, of every epoch;
            `task.json`, `training.json` and `tokenizer.json` in `textmill/`; and TensorBoard's
            files in `logs/`.
        tokens: What to learn from.
        preset: The weights to begin with.
        task: What is learned: a module, or any object, that says what `Task` asks.
        dropout: Share of activations to drop, 0 to 1.
        settings: How to train.
        parameters: What a search found best, in place of the values above.

    Raises:
        UserError: The preset can't be loaded, the loss became NaN, or memory does not suffice.
    """
    import_tensorflow()

    from textmill.models.training import Training

    info = tokens.info()
    if info["kind"] != task.LABELS:
        raise UserError(
            f"{task.NAME} learns from labels of kind {task.LABELS}",
            expected=f"examples with labels = {task.LABELS!r}",
            received=f"labels = {info['kind']!r}",
            fix="give ingest and train the same kind of label",
        )
    point = chosen(Point(preset, info["max_length"], dropout, settings), parameters)
    learned = Training(
        tokens,
        preset=point.preset,
        task=task,
        dropout=point.dropout,
        settings=point.settings,
        folder=out.unfinished,
    ).run()
    write_task(out, learned, tokens, task)
    write_training(out, learned, tokens)
