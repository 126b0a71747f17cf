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


class Encoded(NamedTuple):
    """The token ids of some texts.

    Attributes:
        ids: int64 [tokens], all texts one behind the other.
        starts: int64 [texts + 1]; text i is `ids[starts[i]:starts[i + 1]]`.
        truncated: Texts of which the end is missing.
    """

    ids: Ints
    starts: Ints
    truncated: int


class TokenIds:
    """Makes of texts the ids that the `tokenizers` library makes of them, several times as fast.

    `Cuts` cuts the texts with Arrow; the library tokenizes the parts that are new, which in running
    text are few.

    Args:
        tokenizer: Text kept apart from special tokens, as `load_tokenizer` and `train_tokenizer`
            return it.
        max_length: Ids a text at most, special tokens included. A longer text loses its end.
    """

    def __init__(self, tokenizer: Tokenizer, max_length: int) -> None:
        self._tokenizer = tokenizer
        self._cuts = Cuts(tokenizer)
        self._known: dict[str, list[int]] = {}
        example = tokenizer.encode("a")
        first = example.special_tokens_mask.index(0)
        last = len(example.ids) - example.special_tokens_mask[::-1].index(0)
        self._around = example.ids[:first], example.ids[last:]
        self._room = max_length - first - len(example.ids[last:])

    def __call__(self, texts: pa.Array) -> Encoded:
        """Returns the ids of texts, special tokens included.

        Args:
            texts: string [texts].
        """
        return self._completed(*self.pieces(texts))

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
        ids = _take(ids, (np.cumsum(sizes) - sizes)[word], sizes[word])
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

    def _completed(self, ids: Ints, starts: Ints) -> Encoded:
        """Puts special tokens around each text, and cuts off what is too long."""
        before, after = self._around
        sizes = np.diff(starts)
        kept = np.minimum(sizes, self._room)
        sources = np.concatenate([ids, before, after]).astype(np.int64)
        begins = np.broadcast_arrays(len(ids), starts[:-1], len(ids) + len(before))
        parts = np.broadcast_arrays(len(before), kept, len(after))
        return Encoded(
            ids=_take(sources, np.stack(begins, 1).ravel(), np.stack(parts, 1).ravel()),
            starts=np.concatenate([[0], np.cumsum(sum(parts))]),
            truncated=int((sizes > kept).sum()),
        )


def _take(values: Ints, starts: Ints, sizes: Ints) -> Ints:
    """Returns `values[starts[i]:starts[i] + sizes[i]]` for every i, one behind the other."""
    ends = np.cumsum(sizes)
    taken: Ints = values[np.repeat(starts - (ends - sizes), sizes) + np.arange(sizes.sum())]
    return taken
