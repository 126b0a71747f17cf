"""Rules of the serving contract for labels, numbers and spans that a model answers."""

from __future__ import annotations

from typing import Any

from textmill.artifact import LabelKind
from textmill.serving.answers import answer_rows, distance, unit_of
from textmill.serving.heads import EXPLAIN, REGRESS, TOKENS, Form
from textmill.serving.questions import ALONE, EACH, EQUAL, Questions, Subject
from textmill.serving.rows import Row, judge


def label_rows(
    subject: Subject, questions: Questions, said: dict[str, list[dict[str, Any]]]
) -> list[Row]:
    """Judges what a model answered to `label_questions`: the rules EQUAL and ALONE."""
    kind, golden = subject.kind, subject.golden
    whole = {
        name: _said(kind, subject.wanted[name], said[EACH][2 * i + 1])
        for i, name in enumerate(questions.usable)
        if name != EXPLAIN and name in questions.answering
    }
    if said[EQUAL]:
        whole[TOKENS] = answer_rows(kind, said[EQUAL][0])
    together, *alone = (answer_rows(kind, outputs) for outputs in said[ALONE])
    near = unit_of(kind, golden) * subject.tolerance
    return [
        _equal(whole, golden, near),
        _alone(together, [row for one in alone for row in one], near),
    ]


def _said(kind: LabelKind, form: Form, outputs: dict[str, Any]) -> list[Any]:
    """Returns what a signature says of each text, whatever its method calls it."""
    return list(outputs["outputs"]) if form.method == REGRESS else answer_rows(kind, outputs)


def _equal(found: dict[str, list[Any]], golden: list[dict[str, Any]], near: float) -> Row:
    if not golden:
        return Row(EQUAL, "skipped", "no manifest with rows of the trained model", "")
    wanted = [row["answer"] for row in golden]
    far = {name: distance(rows, wanted) for name, rows in found.items()}
    wrong = [f"answers of {name} differ by up to {d:.3g}" for name, d in far.items() if d > near]
    return judge(
        EQUAL,
        "; ".join(wrong),
        f"{len(golden)} rows of the manifest within {near:.2g}: {', '.join(far)}",
        "export the model again; what is served is not what was trained",
    )


def _alone(together: list[Any], alone: list[Any], near: float) -> Row:
    far = distance(together, alone)
    return judge(
        ALONE,
        "" if far <= near else f"answers differ by up to {far:.3g} alone and in a batch",
        f"{len(together)} texts, alone and together, within {near:.2g}",
        "mask the padding in every layer, and take no statistics over the batch",
    )
