"""Rules of the serving contract that need the model to run, as TensorFlow Serving runs it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from textmill.serving.answers import apart
from textmill.serving.fresh_process import ask, one_line
from textmill.serving.label_questions import label_questions
from textmill.serving.label_rules import label_rows
from textmill.serving.questions import (
    ALONE,
    DEFAULT,
    EACH,
    ELSEWHERE,
    EQUAL,
    RUNS,
    Questions,
    Subject,
)
from textmill.serving.rows import Row, judge
from textmill.serving.signatures import WRITES
from textmill.serving.text_questions import text_questions
from textmill.serving.text_rules import text_rows
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
    writes = subject.manifest.get("kind") == WRITES
    questions = text_questions(subject) if writes else label_questions(subject)
    job = questions.job(subject)
    found = ask(subject.folder, job)
    said = questions.answered(found.get("answers", []))
    broken = _error(found, [*said[EACH], *said[ALONE], *said[EQUAL]], subject.folder)
    warm = None if "error" in found else said[WARM]
    if broken or DEFAULT not in questions.answering:
        why = "the model did not run" if broken else f"{DEFAULT} does not answer text"
        judged = [Row(rule, "skipped", why, "") for rule in (EACH, EQUAL, ALONE)]
    else:
        of_answers = (text_rows if writes else label_rows)(subject, questions, said)
        judged = [_each(questions, said[EACH]), *of_answers]
    rows = [
        _runs(questions, found, broken),
        _elsewhere(subject, python, job, found.get("answers", []), questions.by_chance),
        *judged,
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


def _each(questions: Questions, said: list[dict[str, Any]]) -> Row:
    """Judges whether every output has a row for each text; REST refuses it otherwise."""
    wrong = []
    for request, answer in zip(questions.requests[EACH], said, strict=True):
        asked = request.get("rows", next(iter(request.get("inputs", {}).values()), []))
        wrong += [
            f"{request['signature']}: {key} has "
            f"{len(value) if isinstance(value, list) else 'no'} rows for {len(asked)}"
            for key, value in answer.items()
            if not isinstance(value, list) or len(value) != len(asked)
        ]
    return judge(
        EACH,
        "; ".join(wrong),
        "every output has a row for each text, and none for no text",
        "keep the batch as the first dimension of every output",
    )


def _elsewhere(
    subject: Subject,
    python: Path | None,
    job: dict[str, Any],
    said: list[dict[str, Any]],
    by_chance: tuple[str, ...],
) -> Row:
    """Judges whether another TensorFlow answers all that this one did, and the same."""
    if python is None:
        return Row(ELSEWHERE, "skipped", "no other interpreter was named: --python PATH", "")
    found = ask(subject.folder, {"requests": job["requests"]}, python)
    there = found.get("answers", [])
    broken, far = _error(found, there, subject.folder), 0.0
    for request, ours, theirs in zip(job["requests"], said, there, strict=False):
        if "error" not in ours and not broken and request["signature"] not in by_chance:
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
