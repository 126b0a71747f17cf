"""TFRecord shards of a split, and the tokenizer whose ids they hold."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from textmill.artifact import Examples, Split, Tokens, TokensInfo
from textmill.models.preset import Preset, Scratch
from textmill.models.tokenizer import load_tokenizer
from textmill.models.tokenizer_training import train_tokenizer
from textmill.progress import advance

if TYPE_CHECKING:
    from tokenizers import Tokenizer

ROWS_PER_SHARD = 65_536


class TokenShards:
    """Writes records to `<split>/part-*.tfrecord`; a context, so that the last one is closed.

    Args:
        out: Whose split.
        split: Which; its folder is made.

    Attributes:
        rows: Records so far.
    """

    def __init__(self, out: Tokens, split: Split) -> None:
        self.rows = 0
        self._folder: Path = out.path / split
        self._folder.mkdir()
        self._writer: Any = None

    def __enter__(self) -> TokenShards:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._writer:
            self._writer.close()

    def write(self, records: Iterable[bytes]) -> None:
        """Appends records, in a new shard wherever one is full."""
        import tensorflow as tf

        for record in records:
            if self.rows % ROWS_PER_SHARD == 0:
                if self._writer:
                    self._writer.close()
                shard = f"part-{self.rows // ROWS_PER_SHARD:05d}.tfrecord"
                self._writer = tf.io.TFRecordWriter(str(self._folder / shard))
            self._writer.write(record)
            self.rows += 1


def tokenizer_of(examples: Examples, preset: Preset | Scratch) -> Tokenizer:
    """Returns the tokenizer of a preset; for `Scratch` one that is trained on the training texts.

    Raises:
        UserError: The preset has none that can be served exactly, or the texts do not suffice.
    """
    if isinstance(preset, Scratch):
        advance(0, None, "training a tokenizer")
        return train_tokenizer(
            training_texts(examples),
            preset.vocabulary_size,
            kind=preset.tokenizer,
            lowercase=preset.lowercase,
        )
    return load_tokenizer(preset, pair=examples.schema()["pair"] is not None)


def training_texts(
    examples: Examples, parts: Callable[[str], Iterable[str]] | None = None
) -> Iterable[str]:
    """Returns the texts of the training split, to be gone through as often as one likes.

    Args:
        examples: Whose.
        parts: From a text to what of it counts; None: the text.
    """
    return _TrainingTexts(examples, parts)


@dataclass(frozen=True)
class _TrainingTexts:
    """The texts of the training split, as often as they are asked for."""

    examples: Examples
    parts: Callable[[str], Iterable[str]] | None = None

    def __iter__(self) -> Iterator[str]:
        column = self.examples.schema()["text"]
        for batch in self.examples.batches("train", [column]):
            for text in batch.column(column).to_pylist():
                yield from (text,) if self.parts is None else self.parts(text)


def whole_texts(examples: Examples, max_length: int, *, learned: str | None = None) -> TokensInfo:
    """Returns what `tokens.json` says of texts that a language model learns, before any is there.

    Args:
        examples: The texts.
        max_length: Tokens that the model reads at a time.
        learned: What of a row is learned, where its labels say which tokens; None: all.
    """
    return TokensInfo(
        kind="spans" if learned else "one",
        labels=[learned] if learned else [],
        separator="",
        pair=False,
        max_length=max_length,
        overlap=None,
        windows=1,
        cleaning=examples.schema()["cleaning"],
        rows={},
        tokens={},
        truncated={},
        lengths={},
    )
