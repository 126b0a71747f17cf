"""Spans of words, and the tags that say where they begin."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    Ints = npt.NDArray[np.int64]


class Spans(NamedTuple):
    """Spans of some texts, in their order.

    Attributes:
        texts: int64 [spans], the text that a span is in.
        firsts: int64 [spans], the number of its first word among all words, or where it begins in
            its text, in characters.
        lasts: int64 [spans], the number of its last word, or where it ends.
        names: int64 [spans], its name's place among the names.
    """

    texts: Ints
    firsts: Ints
    lasts: Ints
    names: Ints


def spans_of(texts: Ints, tags: Ints) -> Spans:
    """Returns the spans that tags mark.

    A tag's id is 0 for "O", and for the name n it is 2 n + 1 for "B-" and 2 n + 2 for "I-". A span
    begins at a "B-", and at an "I-" behind another text, "O", or another name; it goes on over
    each "I-" of its name: as the script `conlleval` of CoNLL-2000 reads tags, and `seqeval`.

    Args:
        texts: The text of each word, ascending: [words].
        tags: The tag's id of each word: [words].

    Example:
        >>> found = spans_of(np.array([0, 0, 0, 0, 1]), np.array([1, 2, 4, 0, 2]))
        >>> list(zip(found.firsts.tolist(), found.lasts.tolist(), found.names.tolist()))
        [(0, 1, 0), (2, 2, 1), (4, 4, 0)]
    """
    names = (tags - 1) // 2
    inside = tags > 0
    before = np.concatenate([[-1], names[:-1]])
    before = np.where(np.concatenate([[False], inside[:-1]]), before, -1)
    before = np.where(np.concatenate([[True], texts[1:] != texts[:-1]])[: len(texts)], -1, before)
    begins = inside & ((tags % 2 == 1) | (before != names))
    firsts = np.flatnonzero(begins)
    # A word that begins nothing belongs to the span before it, if it belongs to any.
    number = np.cumsum(begins) - 1
    lasts = np.zeros(len(firsts), np.int64)
    np.maximum.at(lasts, number[inside], np.flatnonzero(inside))
    return Spans(texts[firsts], firsts, lasts, names[firsts])


def named_spans(spans: Sequence[Sequence[tuple[int, int, str]]], names: Sequence[str]) -> Spans:
    """Returns the spans of texts, each given by where it begins and ends, and its name.

    Args:
        spans: Of each text.
        names: What spans are called.

    Example:
        >>> [column.tolist() for column in named_spans([[], [(0, 3, "who")]], ["who"])]
        [[1], [0], [3], [0]]
    """
    rows = [(i, a, b, names.index(name)) for i, each in enumerate(spans) for a, b, name in each]
    return Spans(*np.array(rows, np.int64).reshape(-1, 4).T)


def tags_of(
    spans: Sequence[tuple[int, int, str]], begins: Ints, ends: Ints, names: Sequence[str]
) -> tuple[Ints, int]:
    """Returns the tags that mark the spans of a text, and how many spans do not end with words.

    Args:
        spans: Where each begins and ends, in characters, and its name; they do not overlap.
        begins: Where each word begins, int64 [words].
        ends: Where it ends.
        names: The tags, "O" first, as `label_names` returns them.

    Returns:
        Ids of tags, int64 [words]; a word of which a part is in a span is in it. And the number of
        spans that begin or end within a word, or hold none.

    Example:
        >>> words = np.array([0, 4, 9]), np.array([3, 8, 10])
        >>> tags_of([(0, 8, "who")], *words, ["O", "B-who", "I-who"])
        (array([1, 2, 0]), 0)
    """
    tags = np.zeros(len(begins), np.int64)
    cut = 0
    for start, end, name in spans:
        first, last = np.searchsorted(ends, start, "right"), np.searchsorted(begins, end, "left")
        if first >= last:
            cut += 1
            continue
        cut += bool(begins[first] != start or ends[last - 1] != end)
        begin = names.index(f"B-{name}")
        tags[first:last] = begin + 1
        tags[first] = begin
    return tags, cut


def span_figures(true: Spans, said: Spans, names: Sequence[str]) -> dict[str, Any]:
    """Returns precision, recall and f1 of spans: right where text, both ends and the name are.

    Args:
        true: The spans that are there.
        said: The spans that a model found.
        names: What spans are called.

    Returns:
        `precision_micro`, `recall_micro`, `f1_micro` over all spans, the means of the names'
        figures as `_macro`, without the names that neither side has, and `per_class`; a share of
        nothing is 0.

    Source: https://aclanthology.org/W00-0726 (CoNLL-2000), as `seqeval` 1.2.2 computes it.
    """
    there, found = (
        set(zip(*(column.tolist() for column in spans), strict=True)) for spans in (true, said)
    )
    hits = there & found

    def figures(name: int | None) -> dict[str, Any]:
        right, given, wanted = (
            sum(name is None or span[3] == name for span in each) for each in (hits, found, there)
        )
        precision, recall = right / given if given else 0.0, right / wanted if wanted else 0.0
        f1 = 2 * precision * recall / (precision + recall) if right else 0.0
        return {"precision": precision, "recall": recall, "f1": f1, "support": wanted}

    per_class = {name: figures(i) for i, name in enumerate(names)}
    named = [per_class[names[i]] for i in sorted({span[3] for span in there | found})]
    total = figures(None)
    kinds = ("precision", "recall", "f1")
    return {
        **{f"{kind}_micro": total[kind] for kind in kinds},
        **{
            f"{kind}_macro": float(np.mean([each[kind] for each in named])) if named else 0.0
            for kind in kinds
        },
        "per_class": per_class,
    }
