"""Pairs of texts to token ids, for a model that reads one and writes the other."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from textmill.artifact import SPLITS, Examples, Parameters, Tokens, write_json
from textmill.components.generation_rows import Made, write_split
from textmill.components.token_shards import whole_texts
from textmill.errors import UserError
from textmill.models.encoder_decoders import check_encoder_decoder, longest
from textmill.models.pair_frame import Ends, pair_ends
from textmill.models.preset import Preset, Scratch
from textmill.models.search_point import Point, chosen
from textmill.models.token_ids import Pieces, TokenIds
from textmill.models.tokenizer_training import train_gpt2_tokenizer
from textmill.progress import advance
from textmill.quiet import import_tensorflow
from textmill.serving.graph_tokenizer import graph_tokenizer

if TYPE_CHECKING:
    import numpy.typing as npt
    import pyarrow as pa
    from tokenizers import Tokenizer

    Ints = npt.NDArray[np.int64]

TARGET = "target"


def tokenize_seq2seq(
    out: Tokens,
    examples: Examples,
    *,
    preset: Preset | Scratch,
    max_source_length: int = 128,
    max_target_length: int = 128,
    parameters: Parameters | None = None,
) -> None:
    """Writes the token ids of pairs of texts to `out`: of each the source, behind it the target.

    A source that is too long loses its end, but not the token that ends it. A target is cut off
    behind the token that comes after `max_target_length` others, so that a model never learns to
    end where a text does not.

    Args:
        out: `<split>/part-*.tfrecord` (int64 `token_ids` [tokens], `row` [1], and `label` [tokens]:
            1 of the target, else 0), `tokens.json`, `tokenizer.json`, and `generation.json`:
            `framing`, what stands around a source; `target_begin`, ids before what is written;
            `begin` and `end`, the tokens around a text; `stop`, ids that end what is written;
            `max_source_length` and `max_target_length`.
        examples: The pairs: the text is the source, the second text its target.
        preset: Whose tokenizer to take. For `Scratch` one is trained on both texts of the training
            split.
        max_source_length: Tokens that the encoder reads at a time, those around the text counted.
        max_target_length: Tokens that the decoder reads at a time, those before the text counted.
        parameters: What a search found best, in place of `preset`.

    Raises:
        UserError: The rows are no pairs, the model can't read so many tokens, or its tokenizer
            can't be served.
    """
    import_tensorflow()
    preset = chosen(Point(preset), parameters).preset
    if examples.schema()["pair"] is None:
        raise UserError(
            "the rows have one text",
            expected="rows with a source and a target",
            received="rows with a text",
            fix="name the columns in data.text and data.target",
        )
    if isinstance(preset, Preset):
        check_encoder_decoder(preset)
    most = longest(preset)
    for key, length in (("source", max_source_length), ("target", max_target_length)):
        if most is not None and length > most:
            raise UserError(
                f"max_{key}_length {length} is more than the model can read",
                expected=f"at most {most} tokens",
                received=str(length),
                fix=f"set model.max_{key}_length = {most}",
            )
    tokenizer, ends = _tokenizer(examples, preset)
    tokenizer.save(str(out.tokenizer_file))
    graph_tokenizer(out.tokenizer_file)  # what can not be served is refused before it is trained
    about: dict[str, Any] = {
        **ends.about(),
        "max_source_length": max_source_length,
        "max_target_length": max_target_length,
    }
    write_json(out.path / "generation.json", about)
    info = whole_texts(examples, max_source_length, learned=TARGET)
    make = _Pairs(TokenIds(tokenizer), ends, max_source_length, max_target_length)
    for split in SPLITS:
        write_split(out, examples, split, make, info, pair=True)
    write_json(out.path / "tokens.json", info)


def _tokenizer(examples: Examples, preset: Preset | Scratch) -> tuple[Tokenizer, Ends]:
    if isinstance(preset, Preset):
        return pair_ends(preset)
    advance(0, None, "training a tokenizer")
    tokenizer = train_gpt2_tokenizer(_BothSides(examples), preset.vocabulary_size)
    return tokenizer, Ends.new(tokenizer)


@dataclass(frozen=True)
class _BothSides:
    """Sources and targets of the training split, as often as they are asked for."""

    examples: Examples

    def __iter__(self) -> Iterator[str]:
        schema = self.examples.schema()
        columns = [name for name in (schema["text"], schema["pair"]) if name]
        for batch in self.examples.batches("train", columns):
            for column in batch.columns:
                yield from column.to_pylist()


@dataclass(frozen=True)
class _Pairs:
    token_ids: TokenIds
    ends: Ends
    max_source: int
    max_target: int

    def __call__(self, texts: pa.Array, targets: pa.Array) -> Made:
        import pyarrow.compute as pc

        ends, sides = self.ends, (self.token_ids.pieces(texts), self.token_ids.pieces(targets))
        sizes: Ints = pc.binary_length(targets).to_numpy(zero_copy_only=False)
        room = self.max_source - len(ends.before) - len(ends.after)
        rows: list[Any] = []
        read: list[int] = []
        size = cut = 0
        for i in range(len(texts)):
            source, target = (ids[starts[i] : starts[i + 1]] for ids, starts in sides)
            whole = np.concatenate([ends.target, target, [ends.stop]])
            kept = whole[: self.max_target + 1]
            cut += len(source) > room or len(kept) < len(whole)
            # Of what was cut off, as many bytes as it has of the tokens.
            size += round(int(sizes[i]) * len(kept) / len(whole))
            rows += [ends.before, source[:room], ends.after, kept]
            read += [len(ends.before) + min(len(source), room) + len(ends.after), len(kept)]
        ids = np.concatenate([np.asarray(each, np.int64) for each in rows])
        lengths = np.array(read).reshape(-1, 2)
        labels = np.repeat(np.tile([0, 1], len(lengths)), lengths.reshape(-1))
        starts = np.concatenate([[0], np.cumsum(lengths.sum(1))])
        return Made(Pieces(ids, starts), labels, size, cut)
