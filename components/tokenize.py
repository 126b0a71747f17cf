"""Texts to token ids."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np

from textmill.artifact import SPLITS, Examples, Parameters, Split, Tokens, TokensInfo, write_json
from textmill.components.records import records
from textmill.errors import UserError, nearest, one_of
from textmill.models.preset import Preset, Scratch
from textmill.models.search_point import Point, chosen
from textmill.models.token_ids import Encoded, TokenIds
from textmill.models.tokenizer import load_tokenizer, train_tokenizer
from textmill.progress import advance
from textmill.quiet import import_tensorflow

if TYPE_CHECKING:
    import numpy.typing as npt
    import pyarrow as pa
    from tokenizers import Tokenizer

    Ints = npt.NDArray[np.int64]

ROWS_PER_SHARD = 65_536
BYTES = 4 << 20  # of text, or a row, are tokenized at a time


def tokenize(
    out: Tokens,
    examples: Examples,
    *,
    preset: Preset | Scratch,
    max_length: int = 256,
    parameters: Parameters | None = None,
) -> None:
    """Writes the token ids of every split to `out`.

    A row longer than `max_length` keeps its first tokens and [SEP]. The labels are the names that
    the training split has, sorted; a label's id is its place.

    Args:
        out: `<split>/part-*.tfrecord` (int64 `token_ids` [tokens], `label` [1], `row` [1]),
            `tokens.json`, `tokenizer.json`.
        examples: The rows.
        preset: Whose tokenizer to take. For `Scratch` one is trained on the training split.
        max_length: Tokens a row at most, [CLS] and [SEP] counted.
        parameters: What a search found best, in place of the two values above.

    Raises:
        UserError: The model has no positions for `max_length` tokens, the tokenizer does not fit
            the model, or a split has a label that the training split lacks.
    """
    import_tensorflow()
    point = chosen(Point(preset, max_length), parameters)
    preset, max_length = point.preset, point.max_length
    if max_length > preset.positions():
        raise UserError(
            f"max_length {max_length} is more than the model can read",
            expected=f"at most {preset.positions()} tokens",
            received=str(max_length),
            fix=f"set model.max_length = {preset.positions()}",
        )
    tokenizer = _tokenizer(examples, preset)
    tokenizer.save(str(out.tokenizer_file))
    label = examples.schema()["label"]
    names = chain.from_iterable(
        batch.column(label).unique().to_pylist() for batch in examples.batches("train", [label])
    )
    info = TokensInfo(
        labels=sorted(set(names)),
        max_length=max_length,
        cleaning=examples.schema()["cleaning"],
        rows={},
        tokens={},
        truncated={},
        lengths={},
    )
    for split in SPLITS:
        _write_split(out, examples, split, TokenIds(tokenizer, max_length), info)
    write_json(out.path / "tokens.json", info)


@dataclass(frozen=True)
class _TrainingTexts:
    """The texts of the training split, as often as they are asked for."""

    examples: Examples

    def __iter__(self) -> Iterator[str]:
        column = self.examples.schema()["text"]
        for batch in self.examples.batches("train", [column]):
            yield from batch.column(column).to_pylist()


def _tokenizer(examples: Examples, preset: Preset | Scratch) -> Tokenizer:
    if isinstance(preset, Scratch):
        advance(0, None, "training a tokenizer")
        return train_tokenizer(
            _TrainingTexts(examples), preset.vocabulary_size, lowercase=preset.lowercase
        )
    return load_tokenizer(preset)


def _write_split(
    out: Tokens, examples: Examples, split: Split, token_ids: TokenIds, info: TokensInfo
) -> None:
    import tensorflow as tf

    (out.path / split).mkdir()
    lengths = np.zeros(info["max_length"] + 1, np.int64)
    row = truncated = 0
    writer: Any = None
    for encoded, labels in _encoded(examples, split, token_ids, info["labels"]):
        for record in records(encoded.ids, encoded.starts, labels, row):
            if row % ROWS_PER_SHARD == 0:
                if writer:
                    writer.close()
                shard = f"part-{row // ROWS_PER_SHARD:05d}.tfrecord"
                writer = tf.io.TFRecordWriter(str(out.path / split / shard))
            writer.write(record)
            row += 1
        lengths += np.bincount(np.diff(encoded.starts), minlength=len(lengths))
        truncated += encoded.truncated
        advance(row, examples.schema()["rows"].get(split), split)
    if writer:
        writer.close()
    info["rows"][split] = row
    info["tokens"][split] = int(lengths @ np.arange(len(lengths)))
    info["truncated"][split] = truncated
    info["lengths"][split] = lengths.tolist()


def _encoded(
    examples: Examples, split: Split, token_ids: TokenIds, labels: list[str]
) -> Iterator[tuple[Encoded, Ints]]:
    """Yields token ids and label ids, a piece while a thread makes those of the next."""
    ahead: deque[tuple[Future[Encoded], Ints]] = deque()
    with ThreadPoolExecutor(1) as thread:
        for texts, label_ids in _pieces(examples, split, labels):
            ahead.append((thread.submit(token_ids, texts), label_ids))
            if len(ahead) > 2:
                encoding, its_labels = ahead.popleft()
                yield encoding.result(), its_labels
        for encoding, its_labels in ahead:
            yield encoding.result(), its_labels


def _pieces(examples: Examples, split: Split, labels: list[str]) -> Iterator[tuple[pa.Array, Ints]]:
    """Yields texts with the ids of their labels, as many as are tokenized at a time."""
    import pyarrow as pa
    import pyarrow.compute as pc

    schema = examples.schema()
    for batch in examples.batches(split, [schema["text"], schema["label"]]):
        texts, names = batch.column(schema["text"]), batch.column(schema["label"])
        ids = pc.index_in(names, pa.array(labels, pa.string()))
        if ids.null_count:
            unknown = sorted(set(names.to_pylist()) - set(labels))
            near = nearest(unknown[0], labels)
            raise UserError(
                f"the {split} split has a label that no training row has",
                expected=one_of(labels),
                received=repr(unknown[0]),
                fix=f"mend the label ({near!r}?)" if near else "add rows of it, or drop these rows",
            )
        size = max(1, BYTES * batch.num_rows // batch.nbytes)
        for start in range(0, batch.num_rows, size):
            piece = slice(start, start + size)
            yield texts[piece], ids[piece].to_numpy().astype(np.int64)
