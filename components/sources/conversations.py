"""Conversations: what users ask and a model is to answer, from any table."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from textmill.components.columns import as_text, names_inside, pick, values_of
from textmill.components.name_lists import read_printed
from textmill.components.sources.source import Batch, Rejected, Source
from textmill.errors import UserError, nearest, one_of
from textmill.models.preset import Preset, Scratch

if TYPE_CHECKING:
    import pyarrow as pa

ROLES = ("system", "user", "assistant")
COLUMN = "text"


@dataclass(frozen=True)
class Conversations:
    r"""The rows of another source as conversations that end with a response.

    The only column is `text`: JSON, a list of [role, content]. What is no such conversation, or
    none that the chat template of a preset takes, is rejected.

    Attributes:
        source: Any table.
        messages: Its column with a list of {"role": …, "content": …}, or the text of one; "" where
            `prompt` and `response` are columns.
        prompt: Its column with what a user says.
        response: Its column with the answer.
        preset: Whose chat template is asked; None: none is.

    Raises:
        UserError: The preset's tokenizer or template can't be read.

    Example:
        >>> import pathlib, tempfile
        >>> from textmill.components.sources.by_name import open_source
        >>> file = pathlib.Path(tempfile.mkdtemp()) / "pairs.csv"
        >>> _ = file.write_text("q,a\nHi?,Hello!\n,Nothing\n")
        >>> source = Conversations(open_source(str(file)), prompt="q", response="a")
        >>> [batch] = source.batches()
        >>> batch.rows["text"].to_pylist(), [each.reason for each in batch.rejected]
        (['[["user", "Hi?"], ["assistant", "Hello!"]]'], ['empty message: of user'])
    """

    source: Source
    messages: str = ""
    prompt: str = ""
    response: str = ""
    preset: Preset | Scratch | None = None

    def __str__(self) -> str:
        return str(self.source)

    def digest(self) -> str:
        """Returns a digest of the raw data, and of the preset whose template is asked."""
        preset = f" {self.preset.digest()}" if isinstance(self.preset, Preset) else ""
        return self.source.digest() + preset

    def batches(self) -> Iterator[Batch]:
        """Yields the column `text`."""
        import pyarrow as pa

        takes = self._template()
        for batch in self.source.batches():
            given = self._given(batch)
            good: list[int] = []
            texts: list[str] = []
            rejected = list(batch.rejected)
            for place, value in enumerate(given):
                text, why = _conversation(value)
                why = why or takes(text)
                if why:
                    file, line = batch.file[place].as_py(), batch.line[place].as_py()
                    rejected.append(Rejected(file, line, why, text))
                else:
                    good.append(place)
                    texts.append(text)
            rows = pa.record_batch([pa.array(texts, pa.string())], [COLUMN])
            places = pa.array(good, pa.int64())
            yield Batch(rows, batch.file.take(places), batch.line.take(places), rejected)

    def _template(self) -> Callable[[str], str]:
        """Returns what says why a template does not take a conversation, "" where it does."""
        if not isinstance(self.preset, Preset):
            return lambda text: ""
        from textmill.models.causal_tokenizer import load_causal_tokenizer
        from textmill.models.chat import chat_of, messages_of

        chat = chat_of(self.preset, *load_causal_tokenizer(self.preset))
        chat.framing()  # a template that takes no prompt at all is refused before rows are

        def takes(text: str) -> str:
            why = chat.check(messages_of(text))
            return f"the chat template refuses it: {why}"[:300] if why else ""

        return takes

    def _given(self, batch: Batch) -> list[Any]:
        """Returns what each row holds: a list of messages, or the JSON of one."""
        names = batch.rows.schema.names
        if not names and not len(batch.file):
            return []
        if self.messages:
            return values_of(self._column(batch, self.messages, "data.messages"))
        sides = [
            (role, _contents(self._column(batch, name, key), name))
            for role, name, key in (
                ("user", self.prompt, "data.prompt"),
                ("assistant", self.response, "data.response"),
            )
        ]
        return [
            [{"role": role, "content": said[i]} for role, said in sides]
            for i in range(batch.rows.num_rows)
        ]

    def _column(self, batch: Batch, name: str, key: str) -> pa.Array:
        found = pick(batch.rows, name)
        if found is None:
            names = names_inside(batch.rows)
            close = nearest(name, names)
            raise UserError(
                f"{self.source}: no column {name!r}",
                expected=one_of(names),
                received=repr(name),
                fix=f'set {key} = "{close}"' if close else f"set {key} to one of these",
            )
        return found


def _contents(column: pa.Array, name: str) -> list[Any]:
    """Returns texts, "" where there is none, and what is no text as a list."""
    texts, faults = (each.to_pylist() for each in as_text(column, name))
    return [[text] if fault else text or "" for text, fault in zip(texts, faults, strict=True)]


def _conversation(given: Any) -> tuple[str, str]:
    """Returns a conversation as JSON, or as much of it as there is and what is wrong with it."""
    if isinstance(given, str):
        try:
            given = read_printed(given)
        except (ValueError, RecursionError):
            return given[:1000], "invalid messages: no JSON"
    shown = json.dumps(given, ensure_ascii=False, default=str)[:1000]
    if not isinstance(given, list) or not given:
        return shown, "invalid messages: a list of messages expected"
    found: list[list[str]] = []
    for message in given:
        role = message.get("role") if isinstance(message, dict) else None
        content = message.get("content") if isinstance(message, dict) else None
        if role not in ROLES:
            return shown, f"unknown role: {str(role)[:40]!r}"
        if not isinstance(content, str):
            return shown, f"invalid message: the content of {role} is no text"
        if not content.strip():
            return shown, f"empty message: of {role}"
        found.append([role, content])
    if found[-1][0] != "assistant":
        return shown, "no response: the last message is none of assistant"
    if found[0][0] == "assistant":
        return shown, "no prompt: the first message is of assistant"
    return json.dumps(found, ensure_ascii=False), ""
