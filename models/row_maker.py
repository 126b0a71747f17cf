"""Texts and labels to rows that a model learns from."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, cast

import numpy as np

from textmill.artifact import SpanCounts, Split, TokensInfo
from textmill.errors import UserError, nearest, one_of
from textmill.frame import Frame
from textmill.models.framing import Framed, frame
from textmill.models.labels import Labels, encode_labels, read_spans
from textmill.models.spans import tags_of
from textmill.models.token_ids import Pieces, TokenIds, take
from textmill.words import words_of

if TYPE_CHECKING:
    import numpy.typing as npt
    import pyarrow as pa

    Ints = npt.NDArray[np.int64]


class Made(NamedTuple):
    """Rows of some texts.

    Attributes:
        texts: How many texts they are of.
        framed: The rows.
        labels: The numbers of each row's label.
        unread: Of spans, the tags of the words that no row of their text has, in its last row.
        spans: Of spans, how many there are and what can't be learned of them.
    """

    texts: int
    framed: Framed
    labels: Labels
    unread: Labels | None = None
    spans: SpanCounts | None = None


class RowMaker:
    """Makes rows of texts and labels.

    Args:
        token_ids: Makes token ids of texts.
        frame: The special tokens around them.
        info: How long rows may be, and what labels are.
    """

    def __init__(self, token_ids: TokenIds, frame: Frame, info: TokensInfo) -> None:
        self._token_ids, self.frame, self._info = token_ids, frame, info

    def __call__(
        self, texts: pa.Array, pairs: pa.Array | None, labels: pa.Array, split: Split
    ) -> Made:
        """Returns the rows of texts.

        Args:
            texts: string [texts].
            pairs: string [texts], the second text of each row; None: there is none.
            labels: string [texts], as Examples hold them.
            split: The split they are from, for a message.

        Raises:
            UserError: A label has a name that the training split has not.
        """
        if self._info["kind"] == "spans":
            return self._tagged(texts, labels, split)
        info = self._info
        numbers, unknown = encode_labels(info["kind"], labels, info["labels"], info["separator"])
        self._check(unknown, info["labels"], split)
        pieces = self._token_ids.pieces(texts)
        others = self._token_ids.pieces(pairs) if pairs is not None else None
        framed = self._framed(pieces, self.frame, others)
        sizes = np.diff(numbers.starts)[framed.texts]
        values = take(numbers.values, numbers.starts[framed.texts], sizes)
        starts = np.concatenate([[0], np.cumsum(sizes)])
        return Made(len(texts), framed, Labels(values, starts))

    def _tagged(self, texts: pa.Array, labels: pa.Array, split: Split) -> Made:
        words = words_of(texts)
        ids, word_starts = self._filled(self._token_ids.pieces(words.words))
        first_words = np.searchsorted(words.texts, np.arange(len(texts) + 1))
        starts = word_starts[first_words]
        framed = self._framed(Pieces(ids, starts), self.frame)
        # What windows read is the beginning of a text, up to the end of its last window.
        last_rows = np.searchsorted(framed.texts, np.arange(len(texts)), "right") - 1
        around = len(self.frame.before) + len(self.frame.after)
        read = framed.firsts[last_rows] + np.diff(framed.starts)[last_rows] - around
        is_read = word_starts[:-1] - starts[words.texts] < read[words.texts]
        tags = np.zeros(len(words.texts), np.int64)
        counts = {"spans": 0, "behind": 0, "across": 0, "inside_words": 0}
        known = {tag[2:] for tag in self._info["labels"][1:]}
        for number, label in enumerate(labels.to_pylist()):
            spans, mine = read_spans(label), slice(*first_words[number : number + 2])
            self._check(sorted({name for _, _, name in spans} - known), sorted(known), split)
            begins, ends = words.begins[mine], words.ends[mine]
            tags[mine], inexact = tags_of(spans, begins, ends, self._info["labels"])
            behind = int(begins[~is_read[mine]].min(initial=np.iinfo(np.int64).max))
            counts["spans"] += len(spans)
            counts["behind"] += sum(start >= behind for start, _, _ in spans)
            counts["across"] += sum(start < behind < end for start, end, _ in spans)
            counts["inside_words"] += inexact
        of_tokens = np.zeros(len(ids), np.int64)
        of_tokens[word_starts[:-1]] = tags + 1
        before, between, after = (
            (0,) * len(part) for part in (self.frame.before, self.frame.between, self.frame.after)
        )
        nothing = Frame(before, between, after, None)
        framed_tags = self._framed(Pieces(of_tokens, starts), nothing)
        many = np.zeros(len(framed.texts), np.int64)
        many[last_rows] = np.bincount(words.texts[~is_read], minlength=len(texts))
        return Made(
            len(texts),
            framed,
            Labels(framed_tags.ids, framed_tags.starts),
            Labels(tags[~is_read], np.concatenate([[0], np.cumsum(many)])),
            cast("SpanCounts", counts),
        )

    def _framed(self, pieces: Pieces, around: Frame, pair: Pieces | None = None) -> Framed:
        info = self._info
        return frame(
            pieces,
            around,
            info["max_length"],
            pair=pair,
            overlap=info["overlap"],
            windows=info["windows"],
        )

    def _filled(self, pieces: Pieces) -> Pieces:
        """Gives each word of which the tokenizer leaves nothing the unknown token."""
        empty = np.flatnonzero(np.diff(pieces.starts) == 0)
        ids = np.insert(pieces.ids, pieces.starts[empty], self.frame.unknown)
        return Pieces(ids, pieces.starts + np.searchsorted(empty, np.arange(len(pieces.starts))))

    def _check(self, unknown: list[str], known: list[str], split: Split) -> None:
        if not unknown:
            return
        near = nearest(unknown[0], known)
        raise UserError(
            f"the {split} split has a label that no training row has",
            expected=one_of(known),
            received=repr(unknown[0]),
            fix=f"mend the label ({near!r}?)" if near else "add rows of it, or drop these rows",
        )
