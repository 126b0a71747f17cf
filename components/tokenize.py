"""Texts to token ids."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from textmill.artifact import SPLITS, Examples, Split, Tokens, TokensInfo, write_json
from textmill.errors import UserError, nearest, one_of
from textmill.models.preset import Preset, Scratch
from textmill.models.tokenizer import load_tokenizer, train_tokenizer
from textmill.progress import advance
from textmill.quiet import import_tensorflow

if TYPE_CHECKING:
    import tensorflow as tf
    from tokenizers import Tokenizer

ROWS_PER_SHARD = 65_536


def tokenize(
    out: Tokens, examples: Examples, *, preset: Preset | Scratch, max_length: int = 256
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

    Raises:
        UserError: The model has no positions for `max_length` tokens, the tokenizer does not fit
            the model, or a split has a label that the training split lacks.
    """
    import_tensorflow()
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
    labels = sorted(set(names))
    info = TokensInfo(
        labels=labels, max_length=max_length, rows={}, tokens={}, truncated={}, lengths={}
    )
    for split in SPLITS:
        _write_split(out, examples, split, tokenizer, info)
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
    tokenizer = load_tokenizer(preset)
    room = preset.vocabulary_size()
    if room is not None and tokenizer.get_vocab_size() > room:
        raise UserError(
            f"{preset.name}: the tokenizer is not this model's",
            expected=f"at most {room} tokens, the rows of the model's embedding",
            received=f"{tokenizer.get_vocab_size()} tokens",
            fix="take the tokenizer's files from the same place as the weights",
        )
    return tokenizer


def _write_split(
    out: Tokens, examples: Examples, split: Split, tokenizer: Tokenizer, info: TokensInfo
) -> None:
    import tensorflow as tf

    (out.path / split).mkdir()
    rows, longest = 0, info["max_length"]
    lengths: Counter[int] = Counter()
    truncated = 0
    writer: Any = None
    for ids, label in _encoded(examples, split, tokenizer, info["labels"]):
        if rows % ROWS_PER_SHARD == 0:
            if writer:
                writer.close()
            writer = tf.io.TFRecordWriter(str(_shard(out.path / split, rows)))
        if len(ids) > longest:
            truncated += 1
            ids = [*ids[: longest - 1], ids[-1]]
        feature = {
            "token_ids": _integers(ids),
            "label": _integers([label]),
            "row": _integers([rows]),
        }
        example = tf.train.Example(features=tf.train.Features(feature=feature))
        writer.write(example.SerializeToString(deterministic=True))
        lengths[len(ids)] += 1
        rows += 1
        if rows % 1000 == 0:
            advance(rows, examples.schema()["rows"].get(split), split)
    if writer:
        writer.close()
    info["rows"][split] = rows
    info["tokens"][split] = sum(length * count for length, count in lengths.items())
    info["truncated"][split] = truncated
    info["lengths"][split] = [lengths[length] for length in range(longest + 1)]


def _encoded(
    examples: Examples, split: Split, tokenizer: Tokenizer, labels: list[str]
) -> Iterator[tuple[list[int], int]]:
    schema = examples.schema()
    place = {name: i for i, name in enumerate(labels)}
    for batch in examples.batches(split, [schema["text"], schema["label"]]):
        texts = batch.column(schema["text"]).to_pylist()
        names = batch.column(schema["label"]).to_pylist()
        unknown = sorted(set(names) - set(labels))
        if unknown:
            near = nearest(unknown[0], labels)
            raise UserError(
                f"the {split} split has a label that no training row has",
                expected=one_of(labels),
                received=repr(unknown[0]),
                fix=f"mend the label ({near!r}?)" if near else "add rows of it, or drop these rows",
            )
        for encoding, name in zip(tokenizer.encode_batch(texts), names, strict=True):
            yield encoding.ids, place[name]


def _shard(folder: Path, first_row: int) -> Path:
    return folder / f"part-{first_row // ROWS_PER_SHARD:05d}.tfrecord"


def _integers(values: list[int]) -> tf.train.Feature:
    import tensorflow as tf

    return tf.train.Feature(int64_list=tf.train.Int64List(value=values))
