"""How good a served model is: its answers to texts, read as what a task predicts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from textmill.models.batches import by_length
from textmill.models.scoring import of_texts
from textmill.models.spans import tags_of
from textmill.models.task import Predictions, Task

if TYPE_CHECKING:
    import numpy.typing as npt

    from textmill.models.rows import Rows

    Array = npt.NDArray[Any]
    Floats = npt.NDArray[np.float32]

SURE = 99.0  # the logit of a tag that was answered; others have 0


def labels_of(rows: Rows, names: int) -> Array:
    """Returns the label of each text, as tasks take it; of spans the examples know more than rows.

    Args:
        rows: Of the texts.
        names: How many labels there are.
    """
    batches = by_length(rows.lengths, 64)
    labels, _ = of_texts(rows, batches, (np.zeros((len(b), names), np.float32) for b in batches))
    return labels


def predictions_of(
    task: Task, answers: list[Any], labels: Any, about: Mapping[str, Any], texts: list[str]
) -> tuple[Predictions, str]:
    """Returns what answers say of texts, and the name of the figure that counts most.

    Args:
        task: What the model learned.
        answers: Of each text, as golden rows have them: the scores of the labels, a number, or the
            spans as [start, end, label, score].
        labels: As `Task.predictions` takes them.
        about: `task.json`.
        texts: What was asked.

    Returns:
        Predictions as `Task.predictions` makes them of logits; of spans, whose words' scores no
        answer tells, without a loss.
    """
    kind, names = about["kind"], about["labels"]
    if kind == "spans":
        logits = _tags(answers, names, texts)
    else:
        # Softmax and sigmoid take nothing away but what all logits of a row have in common.
        scores = np.array(answers, np.float64).reshape(len(answers), -1)
        tiny = np.finfo(np.float32).tiny
        if kind == "one":
            scores = np.log(np.maximum(scores, tiny))
        elif kind == "many":
            scores = np.clip(scores, tiny, 1 - np.finfo(np.float64).eps)
            scores = np.log(scores) - np.log1p(-scores)
        logits = scores.astype(np.float32)
    found = task.predictions(labels, logits, about, texts)
    if kind == "spans":
        found.figures.pop("loss", None)
        labels = np.zeros((len(logits), 2), np.int32)  # any: figures are asked for their names
    return found, next(iter(task.metrics(labels, logits, names)))


def _tags(answers: list[Any], names: list[str], texts: list[str]) -> Floats:
    """Returns logits that say the tags of answered spans: float32 [words, tags]."""
    import pyarrow as pa

    from textmill.words import words_of

    words = words_of(pa.array(texts, pa.string()))
    starts = np.searchsorted(words.texts, np.arange(len(texts) + 1))
    found = []
    for text, spans in enumerate(answers):
        held = slice(starts[text], starts[text + 1])
        given = [(start, end, label) for start, end, label, _ in spans]
        tags, _ = tags_of(given, words.begins[held], words.ends[held], names)
        found.append(tags)
    flat = np.concatenate(found) if found else np.zeros(0, np.int64)
    return np.eye(len(names), dtype=np.float32)[flat] * np.float32(SURE)
