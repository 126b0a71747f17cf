"""Rules of the serving contract for what a model writes."""

from __future__ import annotations

import math
from typing import Any

from textmill.serving.questions import ALONE, EQUAL, Questions, Subject
from textmill.serving.rows import Row, judge
from textmill.serving.text_questions import by_length

SHOWN = 60  # characters of a text that differs


def text_rows(subject: Subject, _: Questions, said: dict[str, list[dict[str, Any]]]) -> list[Row]:
    """Judges what a model answered to `text_questions`: the rules EQUAL and ALONE."""
    return [_equal(by_length(subject.golden), said[EQUAL], subject.tolerance), _alone(said[ALONE])]


def _equal(golden: list[dict[str, Any]], said: list[dict[str, Any]], near: float) -> Row:
    if not said:
        return Row(EQUAL, "skipped", "no manifest with rows of the trained model", "")
    texts = [text for answer in said[::2] for text in answer["text"]]
    likely, tokens = (
        [value for answer in said[1::2] for value in answer[name]]
        for name in ("log_probability", "tokens")
    )
    wrong = [
        f"{ours[:SHOWN]!r} for {row['answer'][:SHOWN]!r}"
        for ours, row in zip(texts, golden, strict=True)
        if ours != row["answer"]
    ]
    apart = [
        abs(ours - row["log_probability"]) / max(1, count)
        for ours, count, row in zip(likely, tokens, golden, strict=True)
    ]
    far = max(each if each == each else math.inf for each in apart)  # NaN is as far as can be
    if far > near:
        wrong.append(f"log-probabilities differ by up to {far:.3g} a token")
    return judge(
        EQUAL,
        "; ".join(wrong[:3]),
        f"{len(golden)} rows of the manifest: the same texts, and log-probabilities within "
        f"{near:.2g} a token",
        "export the model again; what is served is not what was trained",
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
