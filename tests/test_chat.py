"""Chat templates: tokens as transformers makes them, and what of them is learned."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from textmill.artifact import Examples, Tokens, read_json
from textmill.components.cleaning import UNTOUCHED
from textmill.components.ingest import ingest
from textmill.components.sources.by_name import open_source
from textmill.components.sources.conversations import Conversations
from textmill.components.tokenize_generation import tokenize_generation
from textmill.errors import UserError
from textmill.models.causal_tokenizer import byte_level, load_causal_tokenizer
from textmill.models.chat import PLAIN, Chat, chat_of, template_of
from textmill.models.preset import Preset, Scratch
from textmill.models.rows import read_rows
from textmill.models.tokenizer_training import train_gpt2_tokenizer
from textmill.serving.graph_tokenizer import graph_tokenizer
from textmill.serving.prompts import Prompts
from tiny_examples import empty

CHATML = (
    "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}"
    "{{ '<|im_start|>system\nBe kind.<|im_end|>\n' }}{% endif %}"
    "{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
# Refuses what is not in turns, trims, and begins with the model's own token, as Llama's does.
LLAMA = (
    "{{ bos_token }}{% for message in messages %}"
    "{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('roles must alternate') }}{% endif %}"
    "{{ '<|im_start|>' + message['role'] + '\n\n' + message['content'] | trim + eos_token }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n\n' }}{% endif %}"
)
SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
TALK = [
    ("user", "How are you?"),
    ("assistant", "Fine, and you?"),
    ("user", "  Write <|im_end|> twice.\n\n"),
    ("assistant", "No 12345."),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Returns a tokenizer's folder as Hugging Face has it, with a config of Llama's kind."""
    made = tmp_path_factory.mktemp("chatty")
    texts = ["How are you? Fine, and you? Be kind. user assistant system\nNo 12345."] * 9
    trained = json.loads(train_gpt2_tokenizer(texts, 320).to_str())["model"]
    merges = [tuple(pair) for pair in trained["merges"]]
    byte_level(trained["vocab"], merges, SPECIAL, split="llama3").save(str(made / "tokenizer.json"))
    about = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": "<|im_start|>",
        "eos_token": "<|im_end|>",
        "chat_template": CHATML,
    }
    (made / "tokenizer_config.json").write_text(json.dumps(about))
    config = {"model_type": "llama", "vocab_size": 400, "max_position_embeddings": 128}
    (made / "config.json").write_text(json.dumps(config))
    return made


def chat(folder: Path, template: str) -> Chat:
    tokenizer, ends = load_causal_tokenizer(Preset(str(folder)))
    return Chat(template, tokenizer, ends.begin, ends.end)


@pytest.mark.parametrize("template", [CHATML, LLAMA])
def test_tokens_are_those_of_transformers(template: str, folder: Path) -> None:
    from transformers import AutoTokenizer

    theirs = AutoTokenizer.from_pretrained(folder)
    ours = chat(folder, template)
    # There a special token in what is said becomes the token; here it is text.
    said = [(role, text.replace("<|im_end|>", "it")) for role, text in TALK]
    messages = [{"role": role, "content": text} for role, text in said]
    spans = ours.spans(said)
    ids = [i for span in spans for i in span.ids]
    text = theirs.apply_chat_template(messages, chat_template=template, tokenize=False)
    assert ours.tokenizer.decode(ids, skip_special_tokens=False) == text
    for n in (1, 3):
        asked = theirs.apply_chat_template(
            messages[:n], chat_template=template, add_generation_prompt=True, return_dict=False
        )
        assert ids[: len(asked)] == asked
    decoded = [ours.tokenizer.decode(s.ids, skip_special_tokens=False) for s in spans if s.learned]
    assert decoded == ["Fine, and you?<|im_end|>", "No 12345.<|im_end|>"]


def test_what_is_said_never_becomes_a_special_token(folder: Path) -> None:
    ours = chat(folder, CHATML)
    ids = [i for span in ours.spans(TALK) for i in span.ids]
    end = ours.tokenizer.token_to_id("<|im_end|>")
    assert ids.count(end) == len(TALK) + 1  # and one of the system's
    assert "Write <|im_end|> twice." in ours.tokenizer.decode(ids, skip_special_tokens=False)


@pytest.mark.parametrize("template", [CHATML, LLAMA, PLAIN])
def test_framing_is_what_stands_around_a_prompt(template: str, folder: Path) -> None:
    ours = chat(folder, template)
    for prompt in ("How are you?", "12345", "\nHow"):
        frame = ours.framing()
        if "trim" in template:
            prompt = prompt.strip()
        text = frame.before_text + prompt + frame.after_text
        middle = ours.tokenizer.encode(text, add_special_tokens=False).ids
        spans = ours.spans([("user", prompt), ("assistant", "Fine")])
        first = next(i for i, span in enumerate(spans) if span.learned)
        assert frame.before + middle + frame.after == [i for s in spans[:first] for i in s.ids]


def test_tokens_that_end_a_response(folder: Path) -> None:
    ours = chat(folder, CHATML)
    assert ours.end_ids() == [ours.tokenizer.token_to_id("<|im_end|>")]
    assert template_of(Preset(str(folder))) == CHATML
    assert template_of(Scratch("tiny")) == PLAIN


def test_a_template_that_refuses(folder: Path) -> None:
    with pytest.raises(UserError, match=r"does not take this conversation") as caught:
        chat(folder, LLAMA).spans([("system", "Be kind."), ("user", "a"), ("assistant", "b")])
    assert "roles must alternate" in caught.value.received


STRIPPED = (" | trim", ".strip()", ".rstrip()", ".lstrip()", "", " | trim(' ')")


@pytest.mark.parametrize("how", STRIPPED)
def test_a_template_sees_what_is_said_as_it_is(how: str, folder: Path) -> None:
    """Also where a graph reads the prompt: it takes off what Python calls white space."""
    import tensorflow as tf
    from transformers import AutoTokenizer

    template = CHATML.replace("message['content'] +", f"message['content']{how} +")
    ours, theirs = chat(folder, template), AutoTokenizer.from_pretrained(folder)
    spaces = "".join(c for c in map(chr, range(0x3100)) if c.isspace())
    said = [
        "How",
        " How",
        "How\n\n",
        "\tHow are  \u3000",
        f"{spaces}How{spaces}",
        f"a{spaces}b",
        "\u200bx ",
    ]
    if "(' ')" in how:
        with pytest.raises(UserError, match="does not take this conversation") as caught:
            ours.framing()
        assert "changes what is said" in caught.value.received
        return
    prompts = Prompts(graph_tokenizer(folder / "tokenizer.json"), ours.framing(), start=0)
    found = prompts(tf.constant([text.encode() for text in said])).to_list()
    for text, ids in zip(said, found, strict=True):
        messages = [{"role": "user", "content": text}]
        wanted = theirs.apply_chat_template(
            messages, chat_template=template, add_generation_prompt=True, return_dict=False
        )
        assert ids == ours.prompt_ids([("user", text)]) == wanted
        whole = ours.spans([("user", text), ("assistant", f" {text}\n")])
        messages.append({"role": "assistant", "content": f" {text}\n"})
        shown = theirs.apply_chat_template(messages, chat_template=template, tokenize=False)
        ids = [i for span in whole for i in span.ids]
        assert ours.tokenizer.decode(ids, skip_special_tokens=False) == shown


@pytest.mark.parametrize(
    "how",
    [
        " | upper",
        " | replace('a', 'b')",
        "[:2000]",
        " | trim | title",
        " | e",
        ".split('</think>')[-1]",
    ],
)
def test_a_template_that_changes_what_is_said_is_refused(how: str, folder: Path) -> None:
    template = CHATML.replace("message['content'] +", f"message['content']{how} +")
    with pytest.raises(UserError, match="does not take this conversation") as caught:
        chat(folder, template).framing()
    assert "changes what is said" in caught.value.received


def test_a_token_that_a_tokenizer_has_not_is_none_of_its_template(
    folder: Path, tmp_path: Path
) -> None:
    from transformers import AutoTokenizer

    made = shutil.copytree(folder, tmp_path / "made")
    about = json.loads((made / "tokenizer_config.json").read_text())
    del about["bos_token"]
    (made / "tokenizer_config.json").write_text(json.dumps(about))
    (made / "chat_template.jinja").write_text("{{ bos_token }}" + CHATML)
    preset = Preset(str(made))
    ours = chat_of(preset, *load_causal_tokenizer(preset))
    messages = [{"role": "user", "content": "How"}]
    theirs = AutoTokenizer.from_pretrained(made)
    wanted = theirs.apply_chat_template(messages, add_generation_prompt=True, return_dict=False)
    assert ours.prompt_ids([("user", "How")]) == wanted


def test_what_a_template_refuses_is_put_aside(folder: Path, tmp_path: Path) -> None:
    """With its own words; a template that fails for a reason of its own refuses, too."""
    made = shutil.copytree(folder, tmp_path / "made")
    strict = LLAMA + "{% if messages[0].content == 'crash' %}{{ 1 // 0 }}{% endif %}"
    (made / "chat_template.jinja").write_text(strict)
    rows = [
        as_messages(("user", "Hi"), ("assistant", "Ho")),
        as_messages(("system", "Be kind."), ("user", "Hi"), ("assistant", "Ho")),
        as_messages(("user", "crash"), ("assistant", "Ho")),
        as_messages(("user", "{{ 1 // 0 }} <|im_end|>"), ("assistant", "<|im_start|>")),
    ]
    (tmp_path / "t.jsonl").write_text("\n".join(map(json.dumps, rows)))
    source = open_source(str(tmp_path / "t.jsonl"))
    asked = Conversations(source, messages="talk", preset=Preset(str(made)))
    [batch] = asked.batches()
    assert batch.line.to_pylist() == [1, 4]
    assert [(each.line, each.reason.partition(": ")[2]) for each in batch.rejected] == [
        (2, "roles must alternate"),
        (3, "integer division or modulo by zero"),
    ]
    other = Conversations(source, messages="talk", preset=Preset(str(folder)))
    assert len({asked.digest(), other.digest(), Conversations(source, "talk").digest()}) == 3


def write(file: Path, rows: list[Any]) -> Conversations:
    file.write_text("\n".join(json.dumps(row) for row in rows))
    return Conversations(open_source(str(file)), messages="talk")


def as_messages(*turns: tuple[str, Any]) -> dict[str, Any]:
    return {"talk": [{"role": role, "content": text} for role, text in turns]}


def test_what_is_no_conversation_is_put_aside(tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    good = [as_messages(("user", f"Say {i}"), ("assistant", str(i))) for i in range(30)]
    bad = {
        "unknown role": as_messages(("bot", "Hi"), ("assistant", "Hi")),
        "empty message": as_messages(("user", "  "), ("assistant", "Hi")),
        "no response": as_messages(("user", "Hi")),
        "no prompt": as_messages(("assistant", "Hi")),
        "invalid message": as_messages(("user", ["Hi"]), ("assistant", "Hi")),
        "invalid messages": {"talk": "no list"},
    }
    out = Examples(tmp_path / "examples")
    source = write(tmp_path / "talk.jsonl", good[:15] + list(bad.values()) + good[15:])
    ingest(out, source, label=None, cleaning=UNTOUCHED)
    assert out.schema()["rejected"] == dict.fromkeys(sorted(bad), 1)
    assert sum(out.schema()["rows"].values()) == 30
    rows = pq.read_table(out.path / "quarantine.parquet").to_pylist()
    found = {row["reason"]: row["line"] for row in rows}
    assert found["unknown role: 'bot'"] == 16


def test_only_bad_conversations_are_an_error(tmp_path: Path) -> None:
    source = write(tmp_path / "talk.jsonl", [as_messages(("bot", "Hi"), ("assistant", "Hi"))])
    with pytest.raises(UserError, match="none of 1 rows can be used") as caught:
        ingest(Examples(tmp_path / "examples"), source, label=None, cleaning=UNTOUCHED)
    assert "unknown role" in caught.value.received


@pytest.fixture(scope="module")
def talks(tmp_path_factory: pytest.TempPathFactory) -> Examples:
    made = tmp_path_factory.mktemp("talks")
    rows = [as_messages(("user", f"How {i}?"), ("assistant", f"Fine {i}.")) for i in range(40)]
    rows.append(as_messages(("user", "you " * 99), ("assistant", "Too long a way.")))
    rows.append(as_messages(("user", "How?"), ("assistant", "you " * 99)))
    out = Examples(made / "examples")
    split = {"train": 1.0}
    ingest(out, write(made / "t.jsonl", rows), label=None, cleaning=UNTOUCHED, split=split)
    return out


def test_tokens_of_conversations(talks: Examples, folder: Path, tmp_path: Path) -> None:
    out = empty(Tokens, tmp_path / "tokens")
    preset = Preset(str(folder))
    tokenize_generation(out, talks, preset=preset, max_length=48, conversations=True)
    info, rows = out.info(), read_rows(out, "train")
    texts = talks.table("train")["text"].to_pylist()
    assert info["rows"]["train"] == 41  # of the one with too long a prompt nothing could be learned
    assert info["truncated"]["train"] == 2
    assert rows.lengths.max() == 49
    ours = chat(folder, CHATML)
    for i, place in enumerate(rows.places):
        spans = ours.spans([(a, b) for a, b in json.loads(texts[place])])
        part = slice(int(rows.starts[i]), int(rows.starts[i + 1]))
        assert rows.token_ids[part].tolist() == [t for s in spans for t in s.ids][:49]
        learned = [int(s.learned) for s in spans for _ in s.ids][:49]
        assert rows.labels[part].tolist() == learned
    about = read_json(out.path / "generation.json")
    assert about["framing"] == ours.framing()._asdict()
    assert about["stop"] == ours.end_ids()
    short = sum(len(m["content"]) for row in range(40) for m in [{"content": f"Fine {row}."}])
    assert short < info["bytes"]["train"] < short + 99 * 4


def test_columns_of_prompts_and_responses(tmp_path: Path) -> None:
    file = tmp_path / "pairs.csv"
    file.write_text('q,a\n"Who, me?",You.\n,Nothing\nWho?,\n')
    [batch] = Conversations(open_source(str(file)), prompt="q", response="a").batches()
    assert batch.rows["text"].to_pylist() == ['[["user", "Who, me?"], ["assistant", "You."]]']
    reasons = [each.reason for each in batch.rejected]
    assert reasons == ["empty message: of user", "empty message: of assistant"]
    with pytest.raises(UserError, match="no column 'question'"):
        list(Conversations(open_source(str(file)), prompt="question", response="a").batches())
