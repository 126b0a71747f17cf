"""How a search makes token ids of rows, for values of `[model]` that it changes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from textmill.artifact import Examples, Tokens
from textmill.components.tokenize import tokenize
from textmill.components.tokenize_generation import tokenize_generation
from textmill.components.tokenize_seq2seq import tokenize_seq2seq
from textmill.models.search_point import Point
from textmill.run import Runner


class Tokenized(Protocol):
    """Makes token ids with the values of a trial."""

    def __call__(self, run: Runner, examples: Examples, point: Point) -> Tokens:
        """Returns the token ids of rows, by a step that `run` carries."""


@dataclass(frozen=True)
class LabelledTokens:
    """Rows with labels.

    Attributes:
        overlap: As `tokenize` takes it.
        windows: Likewise.
    """

    overlap: int | None = None
    windows: int = 8

    def __call__(self, run: Runner, examples: Examples, point: Point) -> Tokens:
        """Returns the token ids of rows."""
        return run(
            tokenize,
            examples,
            preset=point.preset,
            max_length=point.max_length,
            overlap=self.overlap,
            windows=self.windows,
        )


@dataclass(frozen=True)
class WritingTokens:
    """Documents, or conversations.

    Attributes:
        conversations: Which of both.
    """

    conversations: bool

    def __call__(self, run: Runner, examples: Examples, point: Point) -> Tokens:
        """Returns the token ids of documents or conversations."""
        return run(
            tokenize_generation,
            examples,
            preset=point.preset,
            max_length=point.max_length,
            conversations=self.conversations,
        )


@dataclass(frozen=True)
class PairTokens:
    """Pairs of texts.

    Attributes:
        max_source_length: As `tokenize_seq2seq` takes it.
        max_target_length: Likewise.
    """

    max_source_length: int
    max_target_length: int

    def __call__(self, run: Runner, examples: Examples, point: Point) -> Tokens:
        """Returns the token ids of pairs."""
        return run(
            tokenize_seq2seq,
            examples,
            preset=point.preset,
            max_source_length=self.max_source_length,
            max_target_length=self.max_target_length,
        )
