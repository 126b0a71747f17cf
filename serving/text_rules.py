"""Rules of the serving contract for what a model writes."""

from __future__ import annotations

import math
from typing import Any

from textmill.serving.generator import SCORE
from textmill.serving.questions import ALONE, EQUAL, Questions, Subject
from textmill.serving.rows import Row, judge
from textmill.serving.text_questions import by_length

SHOWN = 60  # characters of a text that differs
ROUNDED = (  # of weights like 3 * N(0, 1), torch's float32 and float64 are 1e-3 a token apart
    "; or its weights are so large that its numbers, added up in another order, are rounded to "
    "others"
)


def text_rows(
    subject: Subject, questions: Questions, said: dict[str, list[dict[str, Any]]]
) -> list[Row]:
    """Judges what a model answered to `text_questions`: the rules EQUAL and ALONE."""
    found: dict[str, dict[str, list[Any]]] = {}
    for request, answer in zip(questions.requests[EQUAL], said[EQUAL], strict=True):
        of = found.setdefault(request["signature"], {})
        for name, values in answer.items():
            of.setdefault(name, []).extend(values)
    return [_equal(by_length(subject.golden), found, subject.tolerance), _alone(said[ALONE])]


def _equal(
    golden: list[dict[str, Any]], found: dict[str, dict[str, list[Any]]], near: float
) -> Row:
    if not found:
        return Row(EQUAL, "skipped", "no manifest with rows of the trained model", "")
    likely = found.pop(SCORE)
    wrong = [
        f"{name}: {ours[:SHOWN]!r} for {row['answer'][:SHOWN]!r}"
        for name, answers in found.items()
        for ours, row in zip(answers["text"], golden, strict=True)
        if ours != row["answer"]
    ]
    apart = [
        abs(ours - row["log_probability"]) / max(1, count)
        for ours, count, row in zip(
            likely["log_probability"], likely["tokens"], golden, strict=True
        )
    ]
    far = max(each if each == each else math.inf for each in apart)  # NaN is as far as can be
    if far > near:
        wrong.append(f"log-probabilities differ by up to {far:.3g} a token")
    return judge(
        EQUAL,
        "; ".join(wrong[:3]),
        f"{len(golden)} rows of the manifest: the same texts, and log-probabilities within "
        f"{near:.2g} a token",
        "export the model again; what is served is not what was trained"
        + ROUNDED * (len(wrong) == 1 and near < far < 100 * near),
    )


def _alone(said: list[dict[str, Any]]) -> Row:
    if not said:
        return Row(ALONE, "skipped", "the model does not write greedily", "")
    together, *alone = said
    wrong = [
        f"{one['text'][0][:SHOWN]!r} alone, and {both[:SHOWN]!r} in a batch"
        for both, one in zip(together["text"], alone, strict=True)
        if one["text"] != [both]
    ]
    return judge(
        ALONE,
        "; ".join(wrong[:3]),
        f"{len(alone)} prompts, alone and together, the same texts",
        "mask the padding in every layer, and take no statistics over the batch",
    )
