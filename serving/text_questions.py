"""What a model that writes is asked before a server may be given it."""

from __future__ import annotations

from typing import Any

from textmill.serving.defaults import GREEDY
from textmill.serving.generator import DEFAULT, GENERATE, OF_BEAMS, PROMPT, SCORE
from textmill.serving.graph_rules import fits, gives
from textmill.serving.heads import BEAMS
from textmill.serving.questions import ALONE, EACH, EQUAL, SAMPLES, Questions, Subject
from textmill.serving.warmup_rules import WARM, read

TOGETHER = 8  # golden rows that are asked at once
FEW = 3  # texts that are answered as the model does by default, which may take long
AFTER = "continuation"


def text_questions(subject: Subject) -> Questions:
    """Returns what a model is asked: of what a rule can't ask, nothing.

    Each golden row is asked for as many tokens as it has, greedily, together and some alone; and
    for how likely its answer is.
    """
    golden = subject.golden
    rows = golden or [
        {PROMPT: text, "max_new_tokens": 8, "answer": "", "log_probability": 0.0}
        for text in SAMPLES
    ]
    usable = [name for name in (DEFAULT, GENERATE, BEAMS, SCORE) if _asks(subject, name)]
    answering = [name for name in usable if gives(subject.meta, name, subject.wanted[name])]
    batch = rows[:: max(1, len(rows) // TOGETHER)]  # short, long and strange, some of each
    few = rows[:: max(1, len(rows) // FEW)][:FEW]
    warmup = read(subject.folder, subject.meta)
    inputs = {DEFAULT: _prompts, GENERATE: greedily, BEAMS: _by_beams, SCORE: _answers}
    requests: dict[str, list[dict[str, Any]]] = {
        EACH: [
            {"signature": name, "inputs": inputs[name](some)}
            for name in usable
            for some in ([], few)
        ],
        ALONE: [],
        EQUAL: [],
        WARM: warmup.requests,
    }
    if set(answering) >= {GENERATE, SCORE}:
        requests[ALONE] = [
            {"signature": GENERATE, "inputs": greedily(some)}
            for some in (batch, *([row] for row in batch))
        ]
        # Some at a time: beside a long prompt, short ones take as much memory.
        ordered = by_length(golden)
        requests[EQUAL] = [
            {"signature": name, "inputs": inputs[name](ordered[first : first + TOGETHER])}
            for first in range(0, len(ordered), TOGETHER)
            for name in (GENERATE, SCORE)
        ]
    texts = [{"text": row[PROMPT]} for row in rows]
    # By default it may draw at random, or go on for long enough that rounding decides.
    return Questions(usable, answering, texts, requests, warmup, by_chance=(DEFAULT,))


def by_length(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Returns golden rows in the order in which they are asked."""
    return sorted(rows, key=lambda row: len(row[PROMPT]))


def greedily(rows: list[dict[str, Any]]) -> dict[str, list[Any]]:
    """Returns the inputs of `generate` for rows that say how many tokens are wanted."""
    wishes = GREEDY.wishes() | {"seed": 0}
    given: dict[str, list[Any]] = {name: [value] * len(rows) for name, value in wishes.items()}
    return given | _prompts(rows) | {"max_new_tokens": [row["max_new_tokens"] for row in rows]}


def _by_beams(rows: list[dict[str, Any]]) -> dict[str, list[Any]]:
    given = greedily(rows) | {"length_penalty": [GREEDY.length_penalty] * len(rows)}
    return {name: given[name] for name in (PROMPT, *OF_BEAMS)}


def _prompts(rows: list[dict[str, Any]]) -> dict[str, list[Any]]:
    return {PROMPT: [row[PROMPT] for row in rows]}


def _answers(rows: list[dict[str, Any]]) -> dict[str, list[Any]]:
    return _prompts(rows) | {AFTER: [row["answer"] for row in rows]}


def _asks(subject: Subject, name: str) -> bool:
    """Says whether a signature takes what it should."""
    if name not in subject.meta.signature_def or name not in subject.wanted:
        return False
    given, known = subject.meta.signature_def[name].inputs, subject.wanted[name].inputs
    return set(given) == set(known) and all(fits(given[key], known[key]) for key in known)
