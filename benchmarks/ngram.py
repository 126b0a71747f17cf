"""An n-gram model with interpolated modified Kneser-Ney smoothing, over tokens of any kind."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
KENLM = (0.5, 1.0, 1.5)  # its discounts where counts give none, as those of bytes alone


class _Grams:
    """What is counted of the n-grams of one length.

    Args:
        keys: Of each n-gram, the number of what stands before its last token, times the vocabulary,
            plus that token; sorted.
        counts: How often each comes; of those shorter than the longest, behind how many tokens.
        contexts: How many n-grams one token shorter there are.
        words: Tokens of the vocabulary.
    """

    def __init__(self, keys: Ints, counts: Ints, contexts: int, words: int) -> None:
        self.keys, self.words = keys, words
        rare = [int((counts == n).sum()) for n in range(1, 5)]
        discounts = list(KENLM)
        if all(rare):
            share = rare[0] / (rare[0] + 2 * rare[1])
            discounts = [n - (n + 1) * share * rare[n] / rare[n - 1] for n in (1, 2, 3)]
        taken = np.array([0.0, *discounts])[np.minimum(counts, 3)]
        self.left = counts - taken
        self.total = np.bincount(keys // words, counts, contexts)
        self.taken = np.bincount(keys // words, taken, contexts)

    def find(self, contexts: Ints, tokens: Ints) -> Ints:
        """Returns the number of each n-gram, or -1 where it was never seen."""
        keys = contexts * self.words + tokens
        at = np.minimum(np.searchsorted(self.keys, keys), len(self.keys) - 1)
        return np.where((contexts >= 0) & (self.keys[at] == keys), at, -1)


class Ngrams:
    """How likely each token is after those before it.

    Args:
        tokens: What is learned from: documents one behind another, each with a token for its end.
        words: Tokens of the vocabulary; what is left of probability goes to all of them alike.
        longest: Tokens of an n-gram at most.

    Source: Chen and Goodman (1999), https://doi.org/10.1006/csla.1999.0128, section 3.
    """

    def __init__(self, tokens: Ints, words: int, longest: int) -> None:
        self.words = words
        ends, keys = [np.zeros(len(tokens), np.int64)], [np.zeros(1, np.int64)]
        for n in range(1, longest + 1):
            before = np.roll(ends[-1], 1)[n - 1 :]
            found, numbers = np.unique(before * words + tokens[n - 1 :], return_inverse=True)
            ends.append(np.concatenate([np.full(n - 1, -1), numbers]))
            keys.append(found)
        self.levels = []
        for n in range(1, longest + 1):
            counts = np.bincount(ends[n][n - 1 :])
            if n < longest:
                # Each longer n-gram that ends in this one is one more token that it comes behind.
                longer, first = np.unique(ends[n + 1], return_index=True)
                counts = np.bincount(ends[n][first[longer >= 0]], minlength=len(keys[n]))
            self.levels.append(_Grams(keys[n], counts, len(keys[n - 1]), words))

    def contexts(self, tokens: Ints) -> list[Ints]:
        """Returns what stands before each token: numbers of n-grams of 0, 1, … tokens, or -1."""
        found = [np.zeros(len(tokens), np.int64)]
        for level in self.levels[:-1]:
            ends = level.find(found[-1], tokens)
            found.append(np.concatenate([[-1], ends[:-1]]))
        return found

    def probabilities(self, contexts: list[Ints], tokens: Ints) -> Floats:
        """Returns how likely each token is behind its context, float64 [tokens]."""
        found = np.full(len(tokens), 1 / self.words)
        for level, context in zip(self.levels, contexts, strict=True):
            gram = level.find(context, tokens)
            own = np.where(gram >= 0, level.left[gram], 0.0)
            total, taken = level.total[context], level.taken[context]
            better = (own + taken * found) / np.maximum(total, 1)
            found = np.where((context >= 0) & (total > 0), better, found)
        return found

    def bits(self, tokens: Ints) -> float:
        """Returns what it takes to write down all tokens but the first.

        Raises:
            AssertionError: Behind one of a hundred contexts probabilities do not sum to 1.
        """
        contexts = self.contexts(tokens)
        every = np.arange(self.words)
        for place in np.random.default_rng(0).integers(1, len(tokens), 100):
            one = [np.full(self.words, context[place]) for context in contexts]
            assert abs(self.probabilities(one, every).sum() - 1) < 1e-9
        return float(-np.log2(self.probabilities(contexts, tokens)[1:]).sum())
