"""Texts to token ids, many at once: every distinct word is tokenized once."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from textmill.models.cuts import Cuts

if TYPE_CHECKING:
    import numpy.typing as npt
    import pyarrow as pa
    from tokenizers import Tokenizer

    Ints = npt.NDArray[np.int64]

KNOWN_WORDS = 1 << 17  # remembered at most, some 30 MB; then it begins anew
LONG = 64  # characters of a word


class Pieces(NamedTuple):
    """The token ids of some texts, special tokens left out and nothing cut off.

    Attributes:
        ids: int64 [tokens], all texts one behind the other.
        starts: int64 [texts + 1]; text i is `ids[starts[i]:starts[i + 1]]`.
    """

    ids: Ints
    starts: Ints


class TokenIds:
    """Makes of texts the ids that the `tokenizers` library makes of them, several times as fast.

    `Cuts` cuts the texts with Arrow; the library tokenizes the parts that are new, which in running
    text are few.

    Args:
        tokenizer: Text kept apart from special tokens, as `load_tokenizer` and `train_tokenizer`
            return it.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._cuts = Cuts(tokenizer)
        self._known: dict[str, list[int]] = {}

    def pieces(self, texts: pa.Array) -> Pieces:
        """Returns the ids of texts without special tokens, whole.

        Args:
            texts: string [texts].
        """
        import pyarrow.compute as pc

        words = self._cuts(texts)
        coded = pc.dictionary_encode(words.values)
        of_word = self._words(coded.dictionary.to_pylist())
        ids = np.fromiter(chain.from_iterable(of_word), np.int64)
        sizes = np.fromiter(map(len, of_word), np.int64, len(of_word))
        word = coded.indices.to_numpy()
        ids = take(ids, (np.cumsum(sizes) - sizes)[word], sizes[word])
        starts = np.concatenate([[0], np.cumsum(sizes[word])])[words.offsets.to_numpy()]
        return Pieces(ids, starts)

    def _words(self, words: list[str]) -> list[list[int]]:
        if len(self._known) > KNOWN_WORDS:
            self._known.clear()
        new = [word for word in words if word not in self._known]
        found = self._tokenizer.encode_batch_fast(new, add_special_tokens=False)
        ids = {word: each.ids for word, each in zip(new, found, strict=True)}
        # What is long is a text that was not cut, and will hardly come again.
        self._known.update((word, its) for word, its in ids.items() if len(word) < LONG)
        return [ids[word] if word in ids else self._known[word] for word in words]


def take(values: Ints, starts: Ints, sizes: Ints) -> Ints:
    """Returns `values[starts[i]:starts[i] + sizes[i]]` for every i, one behind the other."""
    ends = np.cumsum(sizes)
    taken: Ints = values[np.repeat(starts - (ends - sizes), sizes) + np.arange(sizes.sum())]
    return taken
