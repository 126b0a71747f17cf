"""Texts to token ids."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from textmill.artifact import SPLITS, Examples, Parameters, Split, Tokens, TokensInfo, write_json
from textmill.components.token_rows import in_pieces, write_split
from textmill.components.token_shards import tokenizer_of
from textmill.errors import UserError
from textmill.frame import Frame, read_frame
from textmill.models.checkpoint_tokens import check_segments
from textmill.models.labels import label_names
from textmill.models.preset import Preset, Scratch
from textmill.models.row_maker import RowMaker
from textmill.models.search_point import Point, chosen
from textmill.models.token_ids import TokenIds
from textmill.quiet import import_tensorflow
from textmill.serving.graph_tokenizer import graph_tokenizer

if TYPE_CHECKING:
    from textmill.components.token_rows import Labelled


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
    if pair and isinstance(preset, Preset):
        check_segments(preset, frame)
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
        make, expected = RowMaker(TokenIds(tokenizer), frame, info), schema["rows"].get(split)
        write_split(out, split, _labelled(examples, split), make, info, expected=expected)
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


def _labelled(examples: Examples, split: Split) -> Iterator[Labelled]:
    schema = examples.schema()
    pair, label = schema["pair"], examples.label()
    columns = [schema["text"], label, *([pair] if pair else [])]
    for piece in in_pieces(examples.batches(split, columns)):
        yield (
            piece.column(schema["text"]),
            piece.column(pair) if pair else None,
            piece.column(label),
        )
