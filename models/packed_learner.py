"""What the training of any language model on packed documents is made of."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from textmill.artifact import Tokens
from textmill.errors import UserError
from textmill.models.language_learner import FIXED, LanguageLearner
from textmill.models.packing import Packing, pack
from textmill.models.preset import Preset, Scratch
from textmill.models.rows import Rows, read_rows
from textmill.models.settings import Settings

if TYPE_CHECKING:
    from textmill.models.rows import Places


class PackedLearner(LanguageLearner):
    """Makes the parts of a training on packed documents; holds those of both splits.

    `MaskedLearner` and `CausalLearner` say what a row's inputs are, and what is learned of them.

    Args:
        tokens: Documents.
        preset: The weights to begin with.
        dropout: Share of activations to drop, 0 to 1.
        settings: How.
        learned: What is learned, in words.
        row_length: Tokens of a row.
        before: Of these, tokens before what is packed.
        unread: Tokens at the end of each document that are not packed.
        shared: Whether documents share rows.
        shifted: Whether long documents are cut elsewhere in each epoch.

    Raises:
        UserError: There is nothing to learn from, or the settings say something about labels.
    """

    held_out: Packing

    def __init__(
        self,
        tokens: Tokens,
        preset: Preset | Scratch,
        dropout: float,
        settings: Settings,
        *,
        learned: str,
        row_length: int,
        before: int = 0,
        unread: int = 0,
        shared: bool = True,
        shifted: bool = False,
    ) -> None:
        super().__init__(preset, dropout, settings, learned=learned)
        self.row_length, self.width = row_length, row_length - before
        self._unread, self._shared, self._shifted = unread, shared, shifted
        self.documents = read_rows(tokens, "train")
        self.held_out_documents = read_rows(tokens, "validation")
        self.held_out = self._packed_as(self.held_out_documents, FIXED, FIXED)
        self._packed: tuple[int, Packing] = (-1, self.held_out)
        if not len(self.packing(0)):
            raise UserError(
                "no text to learn from",
                expected="documents of words in the training split",
                received=f"{len(self.documents)} documents with no token",
                fix="give more text",
            )

    def _packed_as(
        self, documents: Rows, seed: int, epoch: int, *, shifted: bool = False
    ) -> Packing:
        lengths = np.maximum(documents.lengths - self._unread, 0)
        return pack(
            lengths, self.width, seed=seed, epoch=epoch, shared=self._shared, shifted=shifted
        )

    def packing(self, epoch: int) -> Packing:
        """Returns where every token of an epoch goes."""
        if self._packed[0] != epoch:
            made = self._packed_as(self.documents, self.settings.seed, epoch, shifted=self._shifted)
            self._packed = (epoch, made)
        return self._packed[1]

    @property
    def size(self) -> int:
        """Returns the rows of a batch."""
        tokens = self.settings.tokens_per_batch
        return self.settings.batch_size if tokens is None else max(1, tokens // self.row_length)

    def steps(self, epoch: int) -> int:
        """Returns how many steps an epoch has, or nearly so: each packs a little otherwise."""
        return math.ceil(len(self.packing(0)) / self.size)

    def batches(self, epoch: int) -> list[Places]:
        """Returns the row numbers of each of an epoch's batches."""
        return _batches(len(self.packing(epoch)), self.size)

    def held_out_batches(self) -> list[Places]:
        """Returns the row numbers of each of the validation split's batches."""
        return _batches(len(self.held_out), self.size)

    def padding(self, epoch: int, batches: list[Places]) -> float:
        """Returns the share of positions of some batches that hold no token, 0 to 1."""
        packing = self.packing(epoch)
        rows = packing.rows[np.concatenate(batches)]
        held = np.concatenate([[0], np.cumsum(packing.pieces[:, 2])])
        tokens = int((held[rows[:, 1]] - held[rows[:, 0]]).sum())
        tokens += (self.row_length - self.width) * len(rows)
        return 1 - tokens / (len(rows) * self.row_length)

    def places(self, epoch: int, row: int) -> Places:
        """Returns the documents in a row: places in the training split."""
        packing = self.packing(epoch)
        first, end = packing.rows[row]
        return self.documents.places[np.unique(packing.pieces[first:end, 0])]


def _batches(rows: int, size: int) -> list[Places]:
    return [np.arange(i, min(i + size, rows)) for i in range(0, rows, size)]
