"""Conversations as a model reads them: a chat template around what each side says."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

from textmill.artifact import read_json
from textmill.errors import UserError
from textmill.models.causal_tokenizer import Ends, id_of
from textmill.models.preset import Preset, Scratch
from textmill.prompt_frame import PromptFrame

if TYPE_CHECKING:
    from tokenizers import Tokenizer

Message = tuple[str, str]  # a role, and what it says
# Of each message the role, and the white space around what it says, which a template may strip.
Shape = tuple[tuple[str, str, str], ...]
KNOWN_SHAPES = 1000  # remembered at most; then it begins anew
# For tokenizers without a template of their own. It needs no token but that of the text's end.
PLAIN = (
    "{% for message in messages %}"
    "{{ message.role | capitalize }}:\n{{ message.content }}"
    "{{ eos_token if message.role == 'assistant' else '' }}\n"
    "{% endfor %}"
    "{% if add_generation_prompt %}Assistant:\n{% endif %}"
)
# Stand for contents while a template is rendered: characters of private use, which none holds.
_OPEN, _CLOSE = "\ue0f0", "\ue0f1"
_MARK = re.compile(f"{_OPEN}([0-9]+){_CLOSE}")


class Span(NamedTuple):
    """A part of a conversation.

    Attributes:
        ids: Tokens.
        learned: Whether they are a response, which the model learns to give.
    """

    ids: list[int]
    learned: bool


@dataclass
class Chat:
    """A chat template with its tokenizer.

    Text never becomes a special token: "<|im_end|>" in what somebody says is ten signs of text.

    Args:
        template: In Jinja, as `tokenizer_config.json` has it.
        tokenizer: Of the `tokenizers` library, with text kept apart from special tokens.
        begin: The token that a template knows as bos_token; "" if there is none.
        end: Likewise eos_token.

    Source: https://huggingface.co/docs/transformers/chat_templating.
    """

    template: str
    tokenizer: Tokenizer
    begin: str
    end: str
    _known: dict[Shape, list[tuple[str, bool]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        added = self.tokenizer.get_added_tokens_decoder()
        special = sorted((t.content for t in added.values() if t.special), key=len, reverse=True)
        self._special = re.compile("|".join(map(re.escape, special)) or r"(?!)")

    def spans(self, messages: Sequence[Message]) -> list[Span]:
        """Returns a conversation as tokens.

        A response is tokenized apart from what stands before it, as it is when a model gives it;
        its last token is the special one that ends it.

        Raises:
            UserError: The template does not take such a conversation.
        """
        shape, contents = _parted(messages)
        if shape not in self._known:
            if len(self._known) > KNOWN_SHAPES:
                self._known.clear()
            self._known[shape] = self._parts(shape)
        return [Span(self._ids(text, contents), learned) for text, learned in self._known[shape]]

    def prompt_ids(self, messages: Sequence[Message]) -> list[int]:
        """Returns the tokens behind which the model answers what was said so far.

        Raises:
            UserError: The template does not take such a conversation.
        """
        shape, contents = _parted(messages)
        return self._ids(self._render(shape, reply=True), contents)

    def framing(self) -> PromptFrame:
        """Returns what stands around the prompt of a user, where a conversation begins with it.

        Raises:
            UserError: The template has no place for it.
        """
        shape, _ = _parted([("user", "")])
        whole = self._render(shape, reply=True)
        found = list(_MARK.finditer(whole))
        if len(found) != 1:
            raise self._refused(shape, "the prompt stands in it other than once")
        left, right = whole[: found[0].start()], whole[found[0].end() :]
        ends = [0, *(m.end() for m in self._special.finditer(left))]
        begins = [*(m.start() for m in self._special.finditer(right)), len(right)]
        return PromptFrame(
            self._ids(left[: ends[-1]], []),
            left[ends[-1] :],
            right[: begins[0]],
            self._ids(right[begins[0] :], []),
        )

    def end_ids(self) -> list[int]:
        """Returns the tokens of which each ends a response."""
        parts = self._parts(_parted([("user", ""), ("assistant", "")])[0])
        said = next(text for text, learned in parts if learned)
        last = self._special.search(said)
        tokens = {self.end, *([last.group()] if last else [])} - {""}
        return sorted(id_of(self.tokenizer, token) for token in tokens)

    def _parts(self, shape: Shape) -> list[tuple[str, bool]]:
        """Returns what a template makes of contents that stand for others, and what is learned."""
        whole = self._render(shape)
        borders = [0]
        for i, (role, _, _) in enumerate(shape):
            if role != "assistant":
                continue
            before, through = self._render(shape[:i], reply=True), self._render(shape[: i + 1])
            if not (through.startswith(before) and whole.startswith(before)):
                raise self._refused(shape, "a response does not begin where the template asks it")
            content = whole.index(f"{_OPEN}{i}{_CLOSE}", len(before))
            ends = self._special.search(whole, content)
            last = ends.end() if ends else len(through)
            borders += [len(before), min(last, len(through))]
        borders.append(len(whole))
        parts = [(whole[a:b], bool(n % 2)) for n, (a, b) in enumerate(pairwise(borders))]
        return [(text, learned) for text, learned in parts if text]

    def _render(self, shape: Shape, *, reply: bool = False) -> str:
        from jinja2 import TemplateError
        from transformers.utils.chat_template_utils import render_jinja_template

        messages = [
            {"role": role, "content": f"{left}{_OPEN}{i}{_CLOSE}{right}"}
            for i, (role, left, right) in enumerate(shape)
        ]
        try:
            found: Any = render_jinja_template(
                [messages],
                chat_template=self.template,
                add_generation_prompt=reply,
                bos_token=self.begin,
                eos_token=self.end,
            )
        except (TemplateError, TypeError, ValueError) as error:
            raise self._refused(shape, f"{type(error).__name__}: {error}") from error
        return str(found[0][0])

    def _ids(self, text: str, contents: list[str]) -> list[int]:
        """Returns the tokens of a template's text, with contents in the places of their marks."""
        found: list[int] = []
        at = 0
        for special in [*self._special.finditer(text), None]:
            part = text[at : special.start() if special else len(text)]
            part = _MARK.sub(lambda mark: contents[int(mark.group(1))], part)
            if part:
                found += self.tokenizer.encode(part, add_special_tokens=False).ids
            if special:
                found.append(id_of(self.tokenizer, special.group()))
                at = special.end()
        return found

    def _refused(self, shape: Shape, why: str) -> UserError:
        return UserError(
            "the chat template does not take this conversation",
            expected="a template that renders turns one behind the other, and prompts for the next",
            received=f"{', '.join(role for role, _, _ in shape[:8])}: {why}"[:300],
            fix="take these conversations out of the data, or name another template",
        )


def _parted(messages: Sequence[Message]) -> tuple[Shape, list[str]]:
    """Returns the shape of a conversation, and what is said without the white space around it."""
    bare = [content.strip() for _, content in messages]
    shape = []
    for (role, content), core in zip(messages, bare, strict=True):
        begin = len(content) - len(content.lstrip()) if core else 0
        shape.append((role, content[:begin], content[begin + len(core) :]))
    return tuple(shape), bare


def template_of(preset: Preset | Scratch) -> str:
    """Returns the chat template of a preset's tokenizer, or `PLAIN` where it has none.

    Raises:
        UserError: It can't be read.
    """
    if isinstance(preset, Scratch):
        return PLAIN
    file = preset.file("chat_template.jinja")
    if file is not None:
        return file.read_text("utf-8")
    ours = preset.file("textmill/task.json") if preset.local else None
    if ours is not None:
        return str(read_json(ours).get("chat_template") or PLAIN)
    found: Any = (preset.read("tokenizer_config.json") or {}).get("chat_template")
    if isinstance(found, list):  # several, by name
        named = {each.get("name"): each.get("template") for each in found}
        found = named.get("default", next(iter(named.values()), None))
    return str(found) if found else PLAIN


def messages_of(text: str) -> list[Message]:
    """Returns the messages that Examples hold as JSON.

    Example:
        >>> messages_of('[["user", "Hi"], ["assistant", "Hello"]]')
        [('user', 'Hi'), ('assistant', 'Hello')]
    """
    return [(role, content) for role, content in json.loads(text)]


def asked_first(text: str) -> str:
    """Returns what the user says first in a conversation that Examples hold; "" if nothing.

    Example:
        >>> asked_first('[["system", "Be brief."], ["user", "Hi"], ["assistant", "Hello"]]')
        'Hi'
    """
    return next((content for role, content in messages_of(text) if role == "user"), "")


def writing_facts(
    tokenizer: Tokenizer, ends: Ends, chat: Chat | None, *, before: Sequence[int] | None = None
) -> dict[str, Any]:
    """Returns what `task.json` says about how a model writes.

    Args:
        tokenizer: Of the model.
        ends: The tokens around a text.
        chat: The template of its conversations; None: it writes documents.
        before: Tokens in front of a document's prompt; None: the one that begins a text.

    Returns:
        `begin` and `end`, the tokens around a text; `stop`, ids that end what is generated;
        `framing`, what stands around a prompt; and of conversations `chat_template`.

    Raises:
        UserError: The template has no place for a prompt.
    """
    begin, end = ends.ids(tokenizer)
    facts: dict[str, Any] = {"begin": ends.begin, "end": ends.end}
    if chat:
        facts |= {"stop": chat.end_ids(), "framing": chat.framing()._asdict()}
        return facts | {"chat_template": chat.template}
    front = [begin] if before is None else list(before)
    return facts | {"stop": [end], "framing": PromptFrame(front, "", "", [])._asdict()}
