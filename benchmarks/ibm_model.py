"""A dictionary learnt from pairs of sentences, and translation word for word with it."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

WORD = re.compile(r"\w+|[^\w\s]")
ROUNDS = 10
NOTHING = ""  # a word of every source, for words of targets that come from none


class Dictionary:
    """IBM model 1: how likely each word of a target is, given a word of its source.

    Args:
        sources: Texts; the case of their words does not count.
        targets: Their translations.

    Source: Brown et al., The Mathematics of Statistical Machine Translation, 1993, section 4.1
    (https://aclanthology.org/J93-2003).

    Example:
        >>> made = Dictionary(["the house", "the book"], ["das Haus", "das Buch"])
        >>> made.translate("Book house")
        'Buch Haus'
    """

    def __init__(self, sources: Sequence[str], targets: Sequence[str]) -> None:
        self._known, self._words = {NOTHING: 0}, list[str]()
        ids: dict[str, int] = {}
        firsts, seconds, sentences = [], [], []
        groups = 0
        for source, target in zip(sources, targets, strict=True):
            read = [
                0,
                *(self._known.setdefault(w, len(self._known)) for w in split(source.lower())),
            ]
            written = [ids.setdefault(w, len(ids)) for w in split(target)]
            firsts.append(np.tile(read, len(written)))
            seconds.append(np.repeat(written, len(read)))
            sentences.append(groups + np.repeat(np.arange(len(written)), len(read)))
            groups += len(written)
        self._words = list(ids)
        first, second, token = (np.concatenate(each) for each in (firsts, seconds, sentences))
        pairs, pair = np.unique(first.astype(np.int64) * len(ids) + second, return_inverse=True)
        word = pairs // len(ids)
        likely = np.ones(len(pairs))
        for _ in range(ROUNDS):
            each = likely[pair]
            each /= np.bincount(token, each, groups)[token]
            counts = np.bincount(pair, each, len(pairs))
            likely = counts / np.bincount(word, counts)[word]
        order = np.lexsort((likely, word))
        last = np.flatnonzero(np.diff(word[order], append=-1))
        self._best = dict(
            zip(word[order][last].tolist(), (pairs % len(ids))[order][last], strict=True)
        )

    def translate(self, text: str) -> str:
        """Returns the likeliest word for each word; one that it does not know stays."""
        words = [self._word(word) for word in split(text)]
        found = re.sub(r" ([.,;:!?)\]»”])", r"\1", " ".join(words))
        found = re.sub(r"([¿¡(\[«“]) ", r"\1", found)
        return found[:1].upper() + found[1:]

    def _word(self, word: str) -> str:
        known = self._known.get(word.lower())
        return word if known is None else self._words[int(self._best[known])]


def split(text: str) -> list[str]:
    """Returns words and marks."""
    return WORD.findall(text)
