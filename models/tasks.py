"""The tasks that Textmill has, by name."""

from __future__ import annotations

from textmill.errors import UserError, nearest, one_of
from textmill.models import (
    multi_label_classification,
    text_classification,
    text_regression,
    token_classification,
)
from textmill.models.task import Task

TASKS: dict[str, Task] = {
    text_classification.NAME: text_classification,
    multi_label_classification.NAME: multi_label_classification,
    text_regression.NAME: text_regression,
    token_classification.NAME: token_classification,
}


def task_named(name: str) -> Task:
    """Returns a task by its name.

    Raises:
        UserError: There is none.

    Example:
        >>> task_named("text_regression").LABELS
        'number'
    """
    if name not in TASKS:
        near = nearest(name, TASKS)
        raise UserError(
            f"no task {name!r}",
            expected=one_of(TASKS),
            received=repr(name),
            fix=f"did you mean {near!r}?" if near else "take one of these",
        )
    return TASKS[name]
