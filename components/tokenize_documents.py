"""Texts without labels to token ids, whole, for a language model."""

from __future__ import annotations

import numpy as np

from textmill.artifact import SPLITS, Examples, Split, Tokens, TokensInfo, write_json
from textmill.components.records import records
from textmill.components.token_shards import TokenShards, tokenizer_of, whole_texts
from textmill.errors import UserError
from textmill.models.masking import vocabulary_of
from textmill.models.preset import Preset, Scratch
from textmill.models.token_ids import Pieces, TokenIds
from textmill.progress import advance
from textmill.quiet import import_tensorflow

BYTES = 4 << 20  # of text, or a document, are tokenized at a time


def tokenize_documents(
    out: Tokens, examples: Examples, *, preset: Preset | Scratch, max_length: int = 128
) -> None:
    """Writes the token ids of whole documents to `out`; none loses its end.

    [SEP] stands behind every `max_length` - 2 tokens of a document, and at its end. So the pieces
    of `max_length` - 1 that `pack` cuts a document into each end with one, and [CLS] before what
    is packed makes a row.

    Args:
        out: `<split>/part-*.tfrecord` (int64 `token_ids` [tokens], `label` [1], which is 0, and
            `row` [1]), `tokens.json`, `tokenizer.json`.
        examples: The documents.
        preset: Whose tokenizer to take. For `Scratch` one is trained on the training split.
        max_length: Tokens of the rows that documents will be packed into.

    Raises:
        UserError: The model has no positions for `max_length` tokens, or its tokenizer has no mask.
    """
    import_tensorflow()
    if max_length > preset.positions():
        raise UserError(
            f"max_length {max_length} is more than the model can read",
            expected=f"at most {preset.positions()} tokens",
            received=str(max_length),
            fix=f"set model.max_length = {preset.positions()}",
        )
    tokenizer = tokenizer_of(examples, preset)
    name = preset.name if isinstance(preset, Preset) else "the tokenizer"
    last = vocabulary_of(tokenizer, name).last
    tokenizer.save(str(out.tokenizer_file))
    info = whole_texts(examples, max_length)
    for split in SPLITS:
        _write_split(out, examples, split, TokenIds(tokenizer), last, info)
    write_json(out.path / "tokens.json", info)


def _write_split(
    out: Tokens, examples: Examples, split: Split, token_ids: TokenIds, last: int, info: TokensInfo
) -> None:
    schema, total = examples.schema(), 0
    with TokenShards(out, split) as shards:
        for batch in examples.batches(split, [schema["text"]]):
            size = max(1, BYTES * batch.num_rows // max(1, batch.nbytes))
            for start in range(0, batch.num_rows, size):
                pieces = token_ids.pieces(batch.column(0)[start : start + size])
                made = separated(pieces, info["max_length"] - 2, last)
                count = len(made.starts) - 1
                each = np.arange(count + 1)
                columns = {
                    "token_ids": (made.ids, made.starts),
                    "label": (np.zeros(count, np.int64), each),
                    "row": (np.arange(shards.rows, shards.rows + count), each),
                }
                shards.write(records(columns))
                total += len(made.ids)
                advance(shards.rows, schema["rows"].get(split), split)
    info["rows"][split], info["tokens"][split] = shards.rows, total
    info["truncated"][split] = 0


def separated(documents: Pieces, every: int, separator: int) -> Pieces:
    """Returns documents with a separator behind every `every` tokens, and at the end of each.

    Example:
        >>> made = separated(Pieces(np.array([5, 6, 7, 8]), np.array([0, 3, 3, 4])), 2, 1)
        >>> made.ids.tolist(), made.starts.tolist()
        ([5, 6, 1, 7, 1, 8, 1], [0, 5, 5, 7])
    """
    sizes = np.diff(documents.starts)
    place = np.arange(len(documents.ids)) - np.repeat(documents.starts[:-1], sizes)
    last = np.zeros(len(documents.ids), bool)
    last[documents.starts[1:][sizes > 0] - 1] = True
    ends = np.flatnonzero((place % every == every - 1) | last)
    ids = np.insert(documents.ids, ends + 1, separator)
    more = np.concatenate([[0], np.cumsum(-(-sizes // every))])
    return Pieces(ids, documents.starts + more)
