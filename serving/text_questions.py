"""What a model that writes is asked before a server may be given it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from textmill.serving.defaults import GREEDY
from textmill.serving.generator import DEFAULT, GENERATE, OF_BEAMS, PROMPT, SCORE
from textmill.serving.graph_rules import fits, gives
from textmill.serving.heads import BEAMS, CONVERSATION
from textmill.serving.questions import ALONE, EACH, EQUAL, SAMPLES, Questions, Subject
from textmill.serving.warmup_rules import WARM, read

Rows = list[dict[str, Any]]  # as a manifest has them

TOGETHER = 8  # golden rows that are asked at once
FEW = 3  # texts that are answered as the model does by default, which may take long
AFTER = "continuation"


def text_questions(subject: Subject) -> Questions:
    """Returns what a model is asked: of what a rule can't ask, nothing.

    Each golden row is asked for as many tokens as it has, greedily, together and some alone; and
    for how likely its answer is.
    """
    asked = Inputs(subject.manifest.get("asks", PROMPT))
    golden = subject.golden
    rows = golden or [
        {PROMPT: text, "max_new_tokens": 8, "answer": "", "log_probability": 0.0}
        for text in SAMPLES
    ]
    inputs: dict[str, Callable[[Rows], dict[str, list[Any]]]] = {
        DEFAULT: asked.prompts,
        GENERATE: asked.greedily,
        CONVERSATION: asked.conversations,
        BEAMS: asked.by_beams,
        SCORE: asked.answers,
    }
    usable = [name for name in inputs if _asks(subject, name)]
    if not golden and CONVERSATION in usable:
        usable.remove(CONVERSATION)  # without rows it is not known how one looks
    answering = [name for name in usable if gives(subject.meta, name, subject.wanted[name])]
    batch = rows[:: max(1, len(rows) // TOGETHER)]  # short, long and strange, some of each
    few = rows[:: max(1, len(rows) // FEW)][:FEW]
    warmup = read(subject.folder, subject.meta)
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
            {"signature": GENERATE, "inputs": asked.greedily(some)}
            for some in (batch, *([row] for row in batch))
        ]
        # Some at a time: beside a long prompt, short ones take as much memory.
        ordered = by_length(golden)
        requests[EQUAL] = [
            {"signature": name, "inputs": inputs[name](ordered[first : first + TOGETHER])}
            for first in range(0, len(ordered), TOGETHER)
            for name in (GENERATE, SCORE, CONVERSATION)
            if name in answering
        ]
    texts = [{"text": row[PROMPT]} for row in rows]
    # By default it may draw at random, or go on for long enough that rounding decides.
    return Questions(usable, answering, texts, requests, warmup, by_chance=(DEFAULT,))


def by_length(rows: Rows) -> Rows:
    """Returns golden rows in the order in which they are asked."""
    return sorted(rows, key=lambda row: len(row[PROMPT]))


@dataclass(frozen=True)
class Inputs:
    """What the signatures of a model are given for golden rows.

    Attributes:
        asks: The name of what a model is given.
    """

    asks: str

    def prompts(self, rows: Rows) -> dict[str, list[Any]]:
        """Returns the inputs of `serving_default`."""
        return {self.asks: [row[PROMPT] for row in rows]}

    def greedily(self, rows: Rows) -> dict[str, list[Any]]:
        """Returns the inputs of `generate`: the likeliest tokens, as many as rows have."""
        return self.prompts(rows) | _wishes(rows)

    def conversations(self, rows: Rows) -> dict[str, list[Any]]:
        """Returns the inputs of `conversation`."""
        return {CONVERSATION: [row[CONVERSATION] for row in rows]} | _wishes(rows)

    def by_beams(self, rows: Rows) -> dict[str, list[Any]]:
        """Returns the inputs of `beams`."""
        given = self.greedily(rows) | {"length_penalty": [GREEDY.length_penalty] * len(rows)}
        return {name: given[name] for name in (self.asks, *OF_BEAMS)}

    def answers(self, rows: Rows) -> dict[str, list[Any]]:
        """Returns the inputs of `score`."""
        return self.prompts(rows) | {AFTER: [row["answer"] for row in rows]}


def _wishes(rows: Rows) -> dict[str, list[Any]]:
    wishes = GREEDY.wishes() | {"seed": 0}
    given: dict[str, list[Any]] = {name: [value] * len(rows) for name, value in wishes.items()}
    return given | {"max_new_tokens": [row["max_new_tokens"] for row in rows]}


def _asks(subject: Subject, name: str) -> bool:
    """Says whether a signature takes what it should."""
    if name not in subject.meta.signature_def or name not in subject.wanted:
        return False
    given, known = subject.meta.signature_def[name].inputs, subject.wanted[name].inputs
    return set(given) == set(known) and all(fits(given[key], known[key]) for key in known)
