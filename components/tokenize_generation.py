"""Documents or conversations to token ids, for a model that writes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from textmill.artifact import SPLITS, Examples, Parameters, Tokens, write_json
from textmill.components.generation_rows import Made, write_split
from textmill.components.token_shards import training_texts, whole_texts
from textmill.errors import UserError
from textmill.models.causal_tokenizer import END, Ends, load_causal_tokenizer
from textmill.models.chat import Chat, chat_of, messages_of, writing_facts
from textmill.models.decoders import positions
from textmill.models.generation_config import end_ids
from textmill.models.preset import Preset, Scratch
from textmill.models.search_point import Point, chosen
from textmill.models.token_ids import Pieces, TokenIds
from textmill.models.tokenizer_training import train_gpt2_tokenizer
from textmill.progress import advance
from textmill.quiet import import_tensorflow
from textmill.serving.graph_tokenizer import graph_tokenizer

if TYPE_CHECKING:
    import pyarrow as pa
    from tokenizers import Tokenizer

RESPONSE = "response"


def tokenize_generation(
    out: Tokens,
    examples: Examples,
    *,
    preset: Preset | Scratch,
    max_length: int = 512,
    conversations: bool = False,
    parameters: Parameters | None = None,
) -> None:
    """Writes the token ids of whole documents, or of conversations, to `out`.

    A document stands between the tokens that begin and end a text. A conversation is what the
    tokenizer's chat template makes of it, or else the plain one of `textmill.models.chat`. Of the
    training split it is cut off behind the token that comes after `max_length` others, and left out
    where nothing of a response remains; validation and test hold every response whole.

    Args:
        out: `<split>/part-*.tfrecord` (int64 `token_ids` [tokens], `row` [1], and `label`: of
            documents 0; of conversations for each token 1 where it belongs to a response, else 0),
            `tokens.json`, `tokenizer.json`, and `generation.json`: `begin` and `end`, the tokens
            around a text; `stop`, ids that end what is generated; `framing`, what stands around a
            prompt; `chat_template`.
        examples: The documents, or conversations as `Conversations` gives them.
        preset: Whose tokenizer to take. For `Scratch` one is trained on the training split.
        max_length: Tokens that a model reads at a time.
        conversations: Which of both they are.
        parameters: What a search found best, in place of `preset` and `max_length`.

    Raises:
        UserError: The model has no positions for `max_length` tokens, its tokenizer can't be
            served, or its template does not take a conversation.
    """
    import_tensorflow()
    point = chosen(Point(preset, max_length), parameters)
    preset, max_length = point.preset, point.max_length
    if max_length > positions(preset):
        raise UserError(
            f"max_length {max_length} is more than the model can read",
            expected=f"at most {positions(preset)} tokens",
            received=str(max_length),
            fix=f"set model.max_length = {positions(preset)}",
        )
    tokenizer, ends = _tokenizer(examples, preset, conversations=conversations)
    tokenizer.save(str(out.tokenizer_file))
    graph_tokenizer(out.tokenizer_file)  # what can not be served is refused before it is trained
    begin, end = ends.ids(tokenizer)
    chat = chat_of(preset, tokenizer, ends) if conversations else None
    stop = end_ids(preset) if isinstance(preset, Preset) else ()
    write_json(out.path / "generation.json", writing_facts(tokenizer, ends, chat, stop=stop))
    info = whole_texts(examples, max_length, learned=RESPONSE if conversations else None)
    for split in SPLITS:
        make: _Conversations | _Documents = _Documents(TokenIds(tokenizer), begin, end)
        if chat:
            make = _Conversations(chat, max_length + 1 if split == "train" else None)
        write_split(out, examples, split, make, info)
    write_json(out.path / "tokens.json", info)


def _tokenizer(
    examples: Examples, preset: Preset | Scratch, *, conversations: bool
) -> tuple[Tokenizer, Ends]:
    if isinstance(preset, Preset):
        return load_causal_tokenizer(preset)
    advance(0, None, "training a tokenizer")
    texts = training_texts(examples, _said if conversations else None)
    return train_gpt2_tokenizer(texts, preset.vocabulary_size), Ends(END, END)


def _said(text: str) -> Iterator[str]:
    """Yields what is said in a conversation."""
    for _, content in messages_of(text):
        yield content


@dataclass(frozen=True)
class _Documents:
    token_ids: TokenIds
    begin: int
    end: int

    def __call__(self, texts: pa.Array) -> Made:
        import pyarrow.compute as pc

        found = self.token_ids.pieces(texts)
        places = np.stack([found.starts[:-1], found.starts[1:]], 1).reshape(-1)
        marks = np.tile([self.begin, self.end], len(texts))
        ids = np.insert(found.ids, places, marks)
        starts = found.starts + 2 * np.arange(len(found.starts))
        size = pc.sum(pc.binary_length(texts)).as_py() or 0
        return Made(Pieces(ids, starts), np.zeros(len(texts), np.int64), size)


@dataclass(frozen=True)
class _Conversations:
    chat: Chat
    most: int | None  # tokens of a conversation; None: any

    def __call__(self, texts: pa.Array) -> Made:
        rows: list[list[int]] = []
        labels: list[list[int]] = []
        size = cut = 0
        for text in texts.to_pylist():
            messages = messages_of(text)
            spans = self.chat.spans(messages)
            ids = [i for span in spans for i in span.ids]
            learned = [int(span.learned) for span in spans for _ in span.ids]
            whole = len(ids)
            ids, learned = ids[: self.most], learned[: self.most]
            cut += len(ids) < whole
            if not any(learned[1:]):
                ids, learned = [], []
            else:
                said = sum(len(m.encode()) for role, m in messages if role == "assistant")
                # Of what was cut off, as many bytes as it has of the tokens.
                of = sum(len(span.ids) for span in spans if span.learned)
                size += said if len(ids) == whole else round(said * sum(learned) / of)
            rows.append(ids)
            labels.append(learned)
        starts = np.concatenate([[0], np.cumsum([len(row) for row in rows])]).astype(np.int64)
        flat = (np.array([i for row in each for i in row], np.int64) for each in (rows, labels))
        ids_array, label_array = flat
        return Made(Pieces(ids_array, starts), label_array, size, cut)
