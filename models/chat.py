"""Conversations as a model reads them: a chat template around what each side says."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

from textmill.artifact import read_json
from textmill.errors import UserError
from textmill.models.causal_tokenizer import Ends, begin_token, id_of
from textmill.models.preset import Preset, Scratch
from textmill.progress import warn
from textmill.prompt_frame import STRIPS, PromptFrame, stripped

if TYPE_CHECKING:
    from tokenizers import Tokenizer

Message = tuple[str, str]  # a role, and what it says
# For tokenizers without a template of their own. It needs no token but that of the text's end.
PLAIN = (
    "{% for message in messages %}"
    "{{ message.role | capitalize }}:\n{{ message.content }}"
    "{{ eos_token if message.role == 'assistant' else '' }}\n"
    "{% endfor %}"
    "{% if add_generation_prompt %}Assistant:\n{% endif %}"
)
_MARK = "\ue0f0"  # stands for a prompt while a template is looked at
# What users may say; a template must leave each of them as it is, but for the space around it.
_PROBES = (
    *("a", "A b", " a", "a ", "\n\ta \n", "\u3000\xa0a\u2028\u2009", "\x1fa\x85", "a  b\n\n c"),
    *(
        "Straße É e\u0301 İ",
        "1,234.5",
        "日本語。",
        "'q' \"r\" <b> & {{ c }} {% d %} \\n",
        "x" * 3000,
    ),
    *("[INST] a [/INST]", "<think>a</think>b", "/no_think a", "https://a.b/c?d=e", "user: a"),
)


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

    def __post_init__(self) -> None:
        added = self.tokenizer.get_added_tokens_decoder()
        special = sorted((t.content for t in added.values() if t.special), key=len, reverse=True)
        self._names = special
        self._special = re.compile("|".join(map(re.escape, special)) or r"(?!)")

    def spans(self, messages: Sequence[Message]) -> list[Span]:
        """Returns a conversation as tokens.

        A response is tokenized apart from what stands before it, as it is when a model gives it;
        its last token is the special one that ends it.

        Raises:
            UserError: The template does not take such a conversation.
        """
        said, veil = self._veiled(messages)
        try:
            return [Span(self._ids(text, veil), learned) for text, learned in self._parts(said)]
        except _Refused as error:
            raise self._refused(messages, str(error)) from error

    def prompt_ids(self, messages: Sequence[Message]) -> list[int]:
        """Returns the tokens behind which the model answers what was said so far.

        Raises:
            UserError: The template does not take such a conversation.
        """
        said, veil = self._veiled(messages)
        try:
            return self._ids(self._render(said, reply=True), veil)
        except _Refused as error:
            raise self._refused(messages, str(error)) from error

    def check(self, messages: Sequence[Message]) -> str:
        """Returns why the template does not take a conversation; "" if it does."""
        try:
            self._parts(self._veiled(messages)[0])
        except _Refused as error:
            return str(error)
        return ""

    def framing(self) -> PromptFrame:
        """Returns what stands around the prompt of a user, where a conversation begins with it.

        Raises:
            UserError: The template has no place for it, or makes something else of it.
        """
        try:
            return self._framing()
        except _Refused as error:
            raise self._refused([("user", "")], str(error)) from error

    def _framing(self) -> PromptFrame:
        def asked(prompt: str) -> str:
            return self._render([("user", prompt)], reply=True)

        whole = asked(_MARK)
        if whole.count(_MARK) != 1:
            raise _Refused("the prompt stands in it other than once")
        left, right = whole.split(_MARK)
        probes = [*_PROBES, *(f"a {name} b" for name in self._names[:3])]
        wrong = {
            strip: [p for p in probes if asked(p) != left + stripped(p, strip) + right]
            for strip in STRIPS
        }
        strip = min(STRIPS, key=lambda strip: len(wrong[strip]))
        if asked("") != left + right:
            warn(
                "the chat template makes something else of an empty prompt: it is served as others"
            )
        if wrong[strip]:
            raise _Refused(
                f"it changes what is said: {wrong[strip][0][:40]!r} gives "
                f"{asked(wrong[strip][0])[-200:]!r}"
            )
        ends = [0, *(m.end() for m in self._special.finditer(left))]
        begins = [*(m.start() for m in self._special.finditer(right)), len(right)]
        return PromptFrame(
            self._ids(left[: ends[-1]]),
            left[ends[-1] :],
            right[: begins[0]],
            self._ids(right[begins[0] :]),
            strip,
        )

    def end_ids(self) -> list[int]:
        """Returns the tokens of which each ends a response."""
        talk = [("user", "a"), ("assistant", "b")]
        try:
            said = next(text for text, learned in self._parts(talk) if learned)
        except _Refused as error:
            raise self._refused(talk, str(error)) from error
        last = self._special.search(said)
        tokens = {self.end, *([last.group()] if last else [])} - {""}
        return sorted(id_of(self.tokenizer, token) for token in tokens)

    def _veiled(self, messages: Sequence[Message]) -> tuple[list[Message], str]:
        """Returns messages whose special tokens are none, and the character that parts these."""
        text = "".join(content for _, content in messages)
        veil = next(c for c in map(chr, range(0xE000, 0xF8FF)) if c not in text)
        found = [
            (role, self._special.sub(lambda m: m.group()[0] + veil + m.group()[1:], content))
            for role, content in messages
        ]
        return found, veil

    def _parts(self, messages: Sequence[Message]) -> list[tuple[str, bool]]:
        """Returns what a template makes of messages, in parts, and which of them are learned."""
        whole = self._render(messages)
        borders = [0]
        for i, (role, content) in enumerate(messages):
            if role != "assistant":
                continue
            before = self._render(messages[:i], reply=True)
            through = whole if i + 1 == len(messages) else self._render(messages[: i + 1])
            if not (through.startswith(before) and whole.startswith(before)):
                raise _Refused("a response does not begin where the template asks it")
            core = content.strip()
            at = whole.find(core, len(before))
            if at < 0:
                raise _Refused("it changes what is said in a response")
            ends = self._special.search(whole, at + len(core))
            last = ends.end() if ends else len(through)
            borders += [len(before), min(last, len(through))]
        borders.append(len(whole))
        parts = [(whole[a:b], bool(n % 2)) for n, (a, b) in enumerate(pairwise(borders))]
        return [(text, learned) for text, learned in parts if text]

    def _render(self, messages: Sequence[Message], *, reply: bool = False) -> str:
        from transformers.utils.chat_template_utils import render_jinja_template

        given = [{"role": role, "content": content} for role, content in messages]
        # As with transformers, a token that a tokenizer has not is none that a template has.
        tokens = {"bos_token": self.begin, "eos_token": self.end}
        named: dict[str, Any] = {name: token for name, token in tokens.items() if token}
        try:
            found: Any = render_jinja_template(
                [given],
                chat_template=self.template,
                add_generation_prompt=reply,
                **named,
            )
        except Exception as error:  # a template can fail in any way
            raise _Refused(" ".join(str(error).split()) or type(error).__name__) from error
        return str(found[0][0])

    def _ids(self, text: str, veil: str = "") -> list[int]:
        """Returns the tokens of a template's text, without the character that parts some."""
        found: list[int] = []
        at = 0
        for special in [*self._special.finditer(text), None]:
            part = text[at : special.start() if special else len(text)]
            part = part.replace(veil, "") if veil else part
            if part:
                found += self.tokenizer.encode(part, add_special_tokens=False).ids
            if special:
                found.append(id_of(self.tokenizer, special.group()))
                at = special.end()
        return found

    def _refused(self, messages: Sequence[Message], why: str) -> UserError:
        return UserError(
            "the chat template does not take this conversation",
            expected="a template that renders turns one behind the other, and prompts for the next",
            received=f"{', '.join(role for role, _ in messages[:8])}: {why}"[:300],
            fix="take these conversations out of the data, or name another template",
        )


class _Refused(Exception):
    """A template does not take a conversation; its message says why."""


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


def chat_of(preset: Preset | Scratch, tokenizer: Tokenizer, ends: Ends) -> Chat:
    """Returns the chat template of a preset, with its tokenizer and the tokens that it knows.

    Raises:
        UserError: It can't be read.
    """
    template = template_of(preset)
    if "strftime_now" in template:
        warn("the chat template asks for the date: what is trained and served has today's for good")
    begin = ends.begin if isinstance(preset, Scratch) else begin_token(preset, ends)
    return Chat(template, tokenizer, begin, ends.end)


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
    tokenizer: Tokenizer, ends: Ends, chat: Chat | None, *, stop: Sequence[int] = ()
) -> dict[str, Any]:
    """Returns what `task.json` says about how a model writes.

    Args:
        tokenizer: Of the model.
        ends: The tokens around a text.
        chat: The template of its conversations; None: it writes documents.
        stop: More tokens of which each ends what is generated.

    Returns:
        `begin` and `end`, the tokens around a text; `stop`, ids that end what is generated;
        `framing`, what stands around a prompt; and of conversations `chat_template`, and the
        `bos_token` that it knows.

    Raises:
        UserError: The template has no place for a prompt.
    """
    begin, end = ends.ids(tokenizer)
    facts: dict[str, Any] = {"begin": ends.begin, "end": ends.end}
    if chat:
        ends_of_turns = sorted({*chat.end_ids(), *stop})
        facts |= {
            "bos_token": chat.begin,
            "stop": ends_of_turns,
            "framing": chat.framing()._asdict(),
        }
        return facts | {"chat_template": chat.template}
    facts["stop"] = sorted({end, *stop})
    return facts | {"framing": PromptFrame([begin], "", "", [])._asdict()}
