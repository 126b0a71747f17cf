"""Spans that tags mark, and their figures, beside the rules of the script of CoNLL-2000.

`chunks` and `evaluate` are written from `conlleval`, whose rules `seqeval` follows; seqeval 1.2.2
itself no longer builds.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from textmill.models.labels import label_names
from textmill.models.spans import span_figures, spans_of, tags_of

NAMES = ["LOC", "PER", "a-b"]
TAGS = ["O", *(f"{part}-{name}" for name in NAMES for part in "BI")]

Chunk = tuple[int, int, int, str]


def chunks(sentences: list[list[str]]) -> set[Chunk]:
    """Returns (sentence, first word, last word, name), one word after the other as conlleval."""
    found = set()
    for number, tags in enumerate(sentences):
        begin, last_part, last_name = 0, "O", ""
        for place, tag in enumerate([*tags, "O"]):
            part, _, name = tag.partition("-")
            ends = (
                (last_part in "BI" and part in "BO")
                or (last_part != "O" and last_name != name)
            )  # fmt: skip
            if ends and last_part != "O":
                found.add((number, begin, place - 1, last_name))
            starts = (
                part == "B" or (last_part == "O" and part == "I")
                or (part != "O" and last_name != name)
            )  # fmt: skip
            if starts:
                begin = place
            last_part, last_name = part, name
    return found


def evaluate(true: set[Chunk], said: set[Chunk], name: str | None = None) -> tuple[float, ...]:
    true, said = (
        {chunk for chunk in each if name is None or chunk[3] == name} for each in (true, said)
    )
    right = len(true & said)
    precision = right / len(said) if said else 0.0
    recall = right / len(true) if true else 0.0
    return precision, recall, 2 * precision * recall / (precision + recall) if right else 0.0


def as_ids(sentences: list[list[str]]) -> tuple[Any, Any]:
    texts = np.repeat(np.arange(len(sentences)), [len(tags) for tags in sentences])
    return texts, np.array([TAGS.index(tag) for tags in sentences for tag in tags], np.int64)


def ours(sentences: list[list[str]]) -> set[Chunk]:
    starts = np.concatenate([[0], np.cumsum([len(tags) for tags in sentences])])
    found = spans_of(*as_ids(sentences))
    rows = zip(*(column.tolist() for column in found), strict=True)
    return {(t, first - starts[t], last - starts[t], NAMES[n]) for t, first, last, n in rows}


SENTENCE = st.lists(st.tuples(st.sampled_from(TAGS), st.sampled_from(TAGS)), max_size=7)


@settings(max_examples=600, deadline=None)
@given(st.lists(SENTENCE, max_size=4))
def test_equal_to_conlleval(pairs: list[list[tuple[str, str]]]) -> None:
    true, said = ([[pair[i] for pair in sentence] for sentence in pairs] for i in (0, 1))
    assert ours(true) == chunks(true)
    assert len(spans_of(*as_ids(true)).texts) == len(chunks(true))
    found = span_figures(spans_of(*as_ids(true)), spans_of(*as_ids(said)), NAMES)
    kinds = ("precision", "recall", "f1")
    expected = evaluate(chunks(true), chunks(said))
    assert [found[f"{kind}_micro"] for kind in kinds] == pytest.approx(expected)
    for name in NAMES:
        figures = found["per_class"][name]
        expected = evaluate(chunks(true), chunks(said), name)
        assert [figures[kind] for kind in kinds] == pytest.approx(expected)
        assert figures["support"] == sum(chunk[3] == name for chunk in chunks(true))
    there = sorted({chunk[3] for chunk in chunks(true) | chunks(said)})
    mean = (
        np.mean([evaluate(chunks(true), chunks(said), name) for name in there], axis=0)
        if there
        else [0.0] * 3
    )
    assert [found[f"{kind}_macro"] for kind in kinds] == pytest.approx(mean)


def test_figures_that_seqeval_gives() -> None:
    """The example of seqeval's own documentation: https://github.com/chakki-works/seqeval."""
    names = ["MISC", "PER"]
    tags = label_names("spans", [], "")[:1] + [f"{part}-{n}" for n in names for part in "BI"]
    true = [["O", "O", "O", "B-MISC", "I-MISC", "I-MISC", "O"], ["B-PER", "I-PER", "O"]]
    said = [["O", "O", "B-MISC", "I-MISC", "I-MISC", "I-MISC", "O"], ["B-PER", "I-PER", "O"]]
    texts = np.repeat([0, 1], [7, 3])
    spans = (
        spans_of(texts, np.array([tags.index(tag) for sentence in each for tag in sentence]))
        for each in (true, said)
    )
    found = span_figures(*spans, names)
    assert (found["f1_micro"], found["f1_macro"]) == (0.5, 0.5)
    assert found["per_class"]["PER"] == {"precision": 1, "recall": 1, "f1": 1, "support": 1}
    assert found["per_class"]["MISC"] == {"precision": 0, "recall": 0, "f1": 0, "support": 1}


def test_names_that_neither_side_has_are_in_no_mean() -> None:
    """Figures by seqeval 1.2.2 itself: `precision_recall_fscore_support` of
    `seqeval.metrics.sequence_labeling` with `zero_division=0`, run once on these tags.
    """
    names = ["LOC", "MISC", "ORG", "PER"]
    true = [["B-LOC", "I-LOC", "O", "B-PER"], ["O", "B-LOC", "O"], ["I-LOC", "O", "O", "O"]]
    said = [["B-LOC", "I-LOC", "O", "O"], ["B-PER", "B-LOC", "O"], ["B-LOC", "I-LOC", "O", "B-ORG"]]
    tags = ["O", *(f"{part}-{name}" for name in names for part in "BI")]
    texts = np.repeat([0, 1, 2], [4, 3, 4])
    ids = (np.array([tags.index(tag) for row in each for tag in row]) for each in (true, said))
    found = span_figures(*(spans_of(texts, each) for each in ids), names)
    micro, macro = (
        [found[f"{kind}_{mean}"] for kind in ("precision", "recall", "f1")]
        for mean in ("micro", "macro")
    )
    assert micro == pytest.approx([0.4, 0.5, 0.4444444444444445])
    assert macro == pytest.approx([0.2222222222222222] * 3)
    assert found["per_class"]["MISC"] == {"precision": 0, "recall": 0, "f1": 0, "support": 0}


def test_no_words_at_all() -> None:
    nothing = spans_of(np.zeros(0, np.int64), np.zeros(0, np.int64))
    assert [len(column) for column in nothing] == [0] * 4
    assert span_figures(nothing, nothing, [])["f1_macro"] == 0


WORDS = np.array([0, 4, 9, 12]), np.array([3, 8, 10, 15])


@pytest.mark.parametrize(
    ("span", "expected", "cut"),
    [
        ((0, 3), [1, 0, 0, 0], 0),
        ((0, 8), [1, 2, 0, 0], 0),
        ((1, 5), [1, 2, 0, 0], 1),  # words that are in it in part are in it
        ((4, 9), [0, 1, 0, 0], 1),  # it ends with a space
        ((3, 4), [0, 0, 0, 0], 1),  # nothing but a space
        ((9, 15), [0, 0, 1, 2], 0),
        ((0, 15), [1, 2, 2, 2], 0),
        ((15, 20), [0, 0, 0, 0], 1),
    ],
)
def test_tags_of_spans(span: tuple[int, int], expected: list[int], cut: int) -> None:
    tags, missed = tags_of([(*span, "x")], *WORDS, ["O", "B-x", "I-x"])
    assert (tags.tolist(), missed) == (expected, cut)


@settings(max_examples=200, deadline=None)
@given(SENTENCE)
def test_tags_of_the_spans_of_tags_mark_the_same(pairs: list[tuple[str, str]]) -> None:
    tags = [pair[0] for pair in pairs]
    begins = np.arange(len(tags)) * 4
    spans = [(4 * a, 4 * b + 3, name) for _, a, b, name in sorted(ours([tags]))]
    again, cut = tags_of(spans, begins, begins + 3, TAGS)
    assert cut == 0
    assert ours([[TAGS[i] for i in again]]) == ours([tags])
