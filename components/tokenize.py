"""Texts to token ids."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np

from textmill.artifact import SPLITS, Examples, Parameters, Split, Tokens, TokensInfo, write_json
from textmill.components.records import records
from textmill.components.token_shards import TokenShards, tokenizer_of
from textmill.errors import UserError
from textmill.frame import Frame, read_frame
from textmill.models.labels import label_names
from textmill.models.preset import Preset, Scratch
from textmill.models.row_maker import Made, RowMaker
from textmill.models.search_point import Point, chosen
from textmill.models.token_ids import TokenIds
from textmill.progress import advance, warn
from textmill.quiet import import_tensorflow
from textmill.serving.graph_tokenizer import graph_tokenizer

if TYPE_CHECKING:
    import numpy.typing as npt
    import pyarrow as pa

    Ints = npt.NDArray[np.int64]

BYTES = 4 << 20  # of text, or a row, are tokenized at a time


def tokenize(
    out: Tokens,
    examples: Examples,
    *,
    preset: Preset | Scratch,
    max_length: int = 256,
    overlap: int | None = None,
    windows: int = 8,
    parameters: Parameters | None = None,
) -> None:
    """Writes the token ids of every split to `out`.

    A text longer than `max_length` keeps its first tokens and [SEP], or becomes several rows. Of
    two texts the longer one is cut first. The labels are the names that the training split has,
    sorted; a label's id is its place.

    Args:
        out: `<split>/part-*.tfrecord`, `tokens.json`, `tokenizer.json`; see `Tokens`.
        examples: The rows.
        preset: Whose tokenizer to take. For `Scratch` one is trained on the training split.
        max_length: Tokens a row at most, [CLS] and [SEP] counted.
        overlap: Tokens that a window over a long text shares with the one before; None: it is cut.
        windows: How many windows a text has at most; the rest is cut off.
        parameters: What a search found best, in place of `preset` and `max_length`.

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
    tokenizer = tokenizer_of(examples, preset)
    tokenizer.save(str(out.tokenizer_file))
    graph_tokenizer(out.tokenizer_file)  # what can not be served is refused before it is trained
    schema = examples.schema()
    pair = schema["pair"] is not None
    frame = read_frame(out.tokenizer_file)
    _check(frame, max_length, overlap, pair=pair)
    labels = (batch.column(0) for batch in examples.batches("train", [examples.label()]))
    info = TokensInfo(
        kind=schema["labels"],
        labels=label_names(schema["labels"], labels, schema["separator"]),
        separator=schema["separator"],
        pair=pair,
        max_length=max_length,
        overlap=overlap,
        windows=windows,
        cleaning=schema["cleaning"],
        rows={},
        tokens={},
        truncated={},
        lengths={},
    )
    for split in SPLITS:
        _write_split(out, examples, split, RowMaker(TokenIds(tokenizer), frame, info), info)
    write_json(out.path / "tokens.json", info)


def _check(frame: Frame, max_length: int, overlap: int | None, *, pair: bool) -> None:
    room = frame.room(max_length, pair=pair)
    if overlap is None:
        return
    if pair:
        raise UserError(
            "model.overlap: windows slide over one text, not over two",
            expected="one column as data.text, or no overlap",
            received=f"two columns, and overlap = {overlap}",
            fix="remove model.overlap, or name one column",
        )
    if overlap >= room:
        raise UserError(
            f"model.overlap = {overlap} leaves a window nothing of its own",
            expected=f"less than {room}, what max_length = {max_length} leaves for text",
            received=str(overlap),
            fix=f"set model.overlap = {room // 4}",
        )


def _write_split(
    out: Tokens, examples: Examples, split: Split, make: RowMaker, info: TokensInfo
) -> None:
    lengths = np.zeros(info["max_length"] + 1, np.int64)
    texts = truncated = cut = 0
    windows, expected = info["overlap"] is not None, examples.schema()["rows"].get(split)
    with TokenShards(out, split) as shards:
        for made in _made(examples, split, make):
            shards.write(records(_columns(made, texts, windows=windows)))
            texts += made.texts
            lengths += np.bincount(np.diff(made.framed.starts), minlength=len(lengths))
            truncated += made.framed.truncated
            cut += made.cut
            advance(texts, expected, split)
    if cut:
        warn(f"{split}: {cut} spans do not begin and end with words; all that they touch is tagged")
    info["rows"][split] = shards.rows
    info["tokens"][split] = int(lengths @ np.arange(len(lengths)))
    info["truncated"][split] = truncated
    info["lengths"][split] = lengths.tolist()


def _columns(made: Made, texts: int, *, windows: bool) -> dict[str, tuple[Any, Ints]]:
    """Returns the features of rows, the first of which is of text number `texts`."""
    framed, single = made.framed, np.arange(len(made.framed.texts) + 1)
    found: dict[str, tuple[Any, Ints]] = {
        "token_ids": (framed.ids, framed.starts),
        "label": (made.labels.values, made.labels.starts),
        "row": (framed.texts + texts, single),
    }
    return found | ({"first": (framed.firsts, single)} if windows else {})


def _made(examples: Examples, split: Split, make: RowMaker) -> Iterator[Made]:
    """Yields rows, a piece while a thread makes the next."""
    ahead: deque[Future[Made]] = deque()
    with ThreadPoolExecutor(1) as thread:
        for texts, pairs, labels in _pieces(examples, split):
            ahead.append(thread.submit(make, texts, pairs, labels, split))
            if len(ahead) > 2:
                yield ahead.popleft().result()
        while ahead:
            yield ahead.popleft().result()


def _pieces(
    examples: Examples, split: Split
) -> Iterator[tuple[pa.Array, pa.Array | None, pa.Array]]:
    """Yields texts, second texts if there are, and labels, as many as are tokenized at a time."""
    schema = examples.schema()
    pair, label = schema["pair"], examples.label()
    columns = [schema["text"], label, *([pair] if pair else [])]
    for batch in examples.batches(split, columns):
        size = max(1, BYTES * batch.num_rows // batch.nbytes)
        for start in range(0, batch.num_rows, size):
            piece = batch.slice(start, size)
            yield (
                piece.column(schema["text"]),
                piece.column(pair) if pair else None,
                piece.column(label),
            )
