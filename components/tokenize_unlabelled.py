"""Texts without labels to token ids, as those with labels were made."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from hashlib import blake2b
from typing import TYPE_CHECKING

import numpy as np

from textmill.artifact import SPLITS, Examples, LabelKind, Tokens, write_json
from textmill.components.token_rows import in_pieces, write_split
from textmill.errors import UserError
from textmill.frame import read_frame
from textmill.models.row_maker import RowMaker
from textmill.models.token_ids import TokenIds
from textmill.models.tokenizer import read_tokenizer
from textmill.progress import warn
from textmill.quiet import import_tensorflow

if TYPE_CHECKING:
    import numpy.typing as npt
    import pyarrow as pa

    from textmill.components.token_rows import Labelled

    Digests = npt.NDArray[np.uint64]

# What stands for no label where a row must have one: the first name, no name, 0, or no span.
_NOTHING: dict[LabelKind, str] = {"many": "", "number": "0", "spans": "[]"}


def tokenize_unlabelled(
    out: Tokens, unlabelled: Examples, examples: Examples, tokens: Tokens
) -> None:
    """Writes the token ids of texts without labels to `out`, all to the training split.

    Texts that are among the labelled ones are left out: those of the test and the validation split
    should stay unseen, and those of the training split are there already.

    Args:
        out: `train/part-*.tfrecord`, `tokens.json` and `tokenizer.json` as `tokenize` writes them,
            but that a label stands for nothing (that of spans says where words begin), and that
            `labels` in `tokens.json` is empty.
        unlabelled: The texts, of all splits.
        examples: Those with labels.
        tokens: Theirs, whose tokenizer, length and windows are taken.

    Raises:
        UserError: The texts were cleaned otherwise, are pairs where the others are not, or are all
            among the labelled ones.
    """
    import_tensorflow()
    _check(unlabelled, examples)
    tokenizer = read_tokenizer(tokens.tokenizer_file)
    shutil.copyfile(tokens.tokenizer_file, out.tokenizer_file)
    info = tokens.info()
    info.pop("spans", None)
    for split in SPLITS:
        info["rows"][split] = info["tokens"][split] = info["truncated"][split] = 0
        info["lengths"][split] = [0] * (info["max_length"] + 1)
    make = RowMaker(TokenIds(tokenizer), read_frame(out.tokenizer_file), info)
    nothing = info["labels"][0] if info["kind"] == "one" else _NOTHING[info["kind"]]
    new = _New(unlabelled, _digests_of(examples), nothing)
    texts = sum(unlabelled.schema()["rows"].values())
    write_split(out, "train", new, make, info, expected=texts)
    if not info["rows"]["train"]:
        raise UserError(
            "no text without a label is left",
            expected="texts that are not among those with labels",
            received=f"{texts:,} that all are",
            fix="give other texts, or leave distill.unlabelled out",
        )
    if new.left_out:
        warn(f"{new.left_out:,} of {texts:,} texts are among those with labels, and left out")
    info["labels"] = []
    write_json(out.path / "tokens.json", info)


def _check(unlabelled: Examples, examples: Examples) -> None:
    ours, theirs = unlabelled.schema(), examples.schema()
    pairs = [schema["pair"] is not None for schema in (ours, theirs)]
    if pairs[0] != pairs[1]:
        raise UserError(
            "texts without labels must be of the kind of those with labels",
            expected="two texts a row" if pairs[1] else "one text a row",
            received="two texts a row" if pairs[0] else "one text a row",
            fix="name as many columns with text",
        )
    if ours["cleaning"] != theirs["cleaning"]:
        raise UserError(
            "texts without labels were cleaned otherwise than those with labels",
            expected=str(theirs["cleaning"]),
            received=str(ours["cleaning"]),
            fix="give ingest the same cleaning for both",
        )


class _New:
    """The texts that are not among the labelled ones, each with a label that stands for nothing.

    Attributes:
        left_out: How many others there were so far.
    """

    def __init__(self, unlabelled: Examples, known: Digests, nothing: str) -> None:
        self._unlabelled, self._known, self._nothing = unlabelled, known, nothing
        self.left_out = 0

    def __iter__(self) -> Iterator[Labelled]:
        import pyarrow as pa

        columns = _columns(self._unlabelled)
        for split in SPLITS:
            for piece in in_pieces(self._unlabelled.batches(split, columns)):
                new = ~np.isin(_digests(piece), self._known)
                self.left_out += len(new) - int(new.sum())
                kept = piece.select(columns).filter(pa.array(new))
                label = pa.repeat(pa.scalar(self._nothing), kept.num_rows)
                if kept.num_rows:
                    yield kept.column(0), kept.column(1) if len(columns) > 1 else None, label


def _columns(examples: Examples) -> list[str]:
    schema = examples.schema()
    return [schema["text"], *([schema["pair"]] if schema["pair"] else [])]


def _digests_of(examples: Examples) -> Digests:
    """Returns the digests of all texts of some examples, sorted; 8 bytes each."""
    columns = _columns(examples)
    found = [
        _digests(batch.select(columns))
        for split in SPLITS
        for batch in examples.batches(split, columns)
    ]
    return np.unique(np.concatenate(found))


def _digests(batch: pa.RecordBatch) -> Digests:
    rows = zip(*(column.to_pylist() for column in batch.columns), strict=True)
    # A pair has its own digest, whatever stands at the end of its first text.
    data = b"".join(blake2b(repr(row).encode(), digest_size=8).digest() for row in rows)
    return np.frombuffer(data, np.uint64)
