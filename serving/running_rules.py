"""Rules of the serving contract that need the model to run, as TensorFlow Serving runs it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from textmill.artifact import LabelKind
from textmill.serving.answers import answer_rows, apart, distance, unit_of
from textmill.serving.fresh_process import ask, one_line
from textmill.serving.heads import EXPLAIN, REGRESS, TOKENS, Form
from textmill.serving.questions import (
    ALONE,
    DEFAULT,
    EACH,
    ELSEWHERE,
    EQUAL,
    RUNS,
    Questions,
    Subject,
    questions_for,
)
from textmill.serving.rows import Row, judge
from textmill.serving.warmup_rules import WARM, replayed

ELSEWHERE_TOLERANCE = 1e-4  # of two TensorFlows, whose kernels add up in another order
MEASURED = ["load_seconds", "latency_ms", "memory_bytes"]


def answers(subject: Subject, python: Path | None = None) -> tuple[list[Row], dict[str, Any]]:
    """Loads the model in a fresh process, once, and judges what it answers there.

    What is loaded is a copy: a model must work wherever it is moved.

    Args:
        subject: The model.
        python: Another interpreter, in which it must answer too.

    Returns:
        The rows of `RULES`, and what was measured.
    """
    questions = questions_for(subject)
    job = questions.job(subject)
    found = ask(subject.folder, job)
    said = questions.answered(found.get("answers", []))
    broken = _error(found, [*said[EACH], *said[ALONE], *said[EQUAL]], subject.folder)
    warm = None if "error" in found else said[WARM]
    rows = [
        _runs(questions, found, broken),
        _elsewhere(subject, python, job, found.get("answers", [])),
        *_of_answers(subject, questions, said, broken),
        replayed(questions.warmup, warm, subject.folder),
    ]
    return rows, {name: found[name] for name in MEASURED if name in found}


def _runs(questions: Questions, found: dict[str, Any], broken: str) -> Row:
    what = " and ".join(questions.usable) or "no signature, for none takes text"
    return judge(
        RUNS,
        broken,
        f"V1 Session, XLA {found.get('xla')}; ran {what}",
        "export core operations and plain variables; see the error",
    )


def _of_answers(
    subject: Subject, questions: Questions, said: dict[str, list[dict[str, Any]]], broken: str
) -> list[Row]:
    """Judges what the model answered: the rules EACH, EQUAL and ALONE."""
    if broken or DEFAULT not in questions.answering:
        why = "the model did not run" if broken else f"{DEFAULT} does not answer text"
        return [Row(rule, "skipped", why, "") for rule in (EACH, EQUAL, ALONE)]
    kind, golden = subject.kind, subject.manifest.get("golden", [])
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
        _each(questions.usable, said[EACH], len(questions.texts)),
        _equal(whole, golden, near),
        _alone(together, [row for one in alone for row in one], near),
    ]


def _each(usable: list[str], said: list[dict[str, Any]], count: int) -> Row:
    """Judges whether every output has a row for each text; REST refuses it otherwise."""
    wrong = [
        f"{name}: {key} has {len(value) if isinstance(value, list) else 'no'} rows for {texts}"
        for i, name in enumerate(usable)
        for answer, texts in ((said[2 * i], 0), (said[2 * i + 1], count))
        for key, value in answer.items()
        if not isinstance(value, list) or len(value) != texts
    ]
    return judge(
        EACH,
        "; ".join(wrong),
        "every output has a row for each text, and none for no text",
        "keep the batch as the first dimension of every output",
    )


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


def _elsewhere(
    subject: Subject, python: Path | None, job: dict[str, Any], said: list[dict[str, Any]]
) -> Row:
    """Judges whether another TensorFlow answers all that this one did, and the same."""
    if python is None:
        return Row(ELSEWHERE, "skipped", "no other interpreter was named: --python PATH", "")
    found = ask(subject.folder, {"requests": job["requests"]}, python)
    there = found.get("answers", [])
    broken, far = _error(found, there, subject.folder), 0.0
    for ours, theirs in zip(said, there, strict=False):
        if "error" not in ours and not broken:
            far = max(far, *(apart(ours[name], theirs.get(name)) for name in ours))
    if not broken and far > max(ELSEWHERE_TOLERANCE, subject.tolerance):
        broken = f"TensorFlow {found.get('tensorflow')} answers otherwise, by up to {far:.3g}"
    return judge(
        ELSEWHERE,
        broken,
        f"TensorFlow {found.get('tensorflow')} of {python} answers {len(there)} requests as here",
        "export operations that this TensorFlow has; see the error",
    )


def _error(found: dict[str, Any], said: list[dict[str, Any]], folder: Path) -> str:
    """Returns the first thing that went wrong, in a line; "" if nothing did."""
    errors = [found["error"]] if "error" in found else [a["error"] for a in said if "error" in a]
    return one_line(errors[0], folder) if errors else ""
