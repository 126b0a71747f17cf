"""Tokenizers of GGUF files, as llama.cpp makes them of the file's keys."""

from __future__ import annotations

import re
from typing import Any

from textmill.errors import UserError, one_of
from textmill.models.gguf_file import GgufFile

# `tokenizer.ggml.pre` -> whose rule parts a text into words.
SPLITS = {
    "default": "gpt2",
    "gpt-2": "gpt2",
    "smollm": "smollm",
    "llama-bpe": "llama3",
    "llama3": "llama3",
    "qwen2": "qwen2",
}
SPELT = re.compile(r"<\|[^|]+\|>")  # as special tokens of byte-level BPE are
NORMAL, UNKNOWN, CONTROL, USER_DEFINED = 1, 2, 3, 4  # kinds of tokens
SPECIAL = (UNKNOWN, CONTROL)  # those that stand for no text


def tokenizer_of(opened: GgufFile) -> tuple[Any, dict[str, Any]]:
    """Returns a file's tokenizer, of the `tokenizers` library, and `tokenizer_config.json`.

    Args:
        opened: The file.

    Raises:
        UserError: It is no byte-level BPE, or parts texts by another rule than those known.
    """
    from textmill.models.causal_tokenizer import byte_level

    model, rule = opened.value("tokenizer.ggml.model"), opened.value("tokenizer.ggml.pre")
    if model != "gpt2" or (rule or "default") not in SPLITS:
        raise UserError(
            f"{opened.file}: a serving graph for its tokenizer is not there yet",
            expected=f"model gpt2, with the rule {one_of(SPLITS)}",
            received=f"model {model}, with the rule {rule}",
            fix="take another model",
        )
    tokens: list[str] = opened.value("tokenizer.ggml.tokens", [])
    merges = [tuple(pair.split(" ")) for pair in opened.value("tokenizer.ggml.merges", [])]
    known = set(tokens)
    for pair in merges:
        lost = [each for each in (*pair, "".join(pair)) if each not in known]
        if len(pair) != 2 or lost:
            raise UserError(
                f"{opened.file}: its tokenizer merges {' and '.join(pair)!r}, and one of these "
                "or what they become is no token",
                expected="tokenizer.ggml.tokens with all of two parts and the whole",
                received=f"no token {lost[0]!r}" if lost else f"{len(pair)} parts",
                fix="take the file again from where it came, or make it anew",
            )
    kinds = _kinds(opened, tokens)
    long = [t for t, kind in zip(tokens, kinds, strict=True) if kind == NORMAL and len(t) > 1]
    if long and not merges:  # llama.cpp refuses such a file, too
        raise UserError(
            f"{opened.file}: its tokenizer does not say how tokens come of characters",
            expected="tokenizer.ggml.merges, as a byte-level BPE has them",
            received=f"none, and the token {long[0]!r}",
            fix="take the file again from where it came, or make it anew",
        )
    special = tuple(t for t, kind in zip(tokens, kinds, strict=True) if kind in SPECIAL)
    made = byte_level(
        {token: i for i, token in enumerate(tokens)},
        merges,
        special,
        split=SPLITS[rule or "default"],  # type: ignore[arg-type]
    )
    # llama.cpp looks for them in a text before it parts it into words.
    made.add_tokens([t for t, kind in zip(tokens, kinds, strict=True) if kind == USER_DEFINED])
    about = {
        f"{name}_token": tokens[number]
        for name in ("bos", "eos")
        if (number := opened.value(f"tokenizer.ggml.{name}_token_id")) is not None
    }
    made.post_processor = _around(opened, tokens, rule or "default")
    return made, {**about, "chat_template": opened.value("tokenizer.chat_template")}


def _kinds(opened: GgufFile, tokens: list[str]) -> list[int]:
    """Returns the kind of each token, as `SPECIAL` counts them.

    A file need not say them. Then those that it names by their ids, such as the one that ends a
    text, stand for no text, and those that are spelt like them, `<|turn|>`.
    """
    kinds = opened.value("tokenizer.ggml.token_type")
    if kinds is None and tokens:
        named = {
            opened.value(key)
            for key in opened.keys_under("tokenizer.ggml.")
            if key.endswith("_token_id")
        }
        return [
            CONTROL if i in named or SPELT.fullmatch(token) else NORMAL
            for i, token in enumerate(tokens)
        ]
    if not tokens or len(kinds) != len(tokens):
        raise UserError(
            f"{opened.file}: its tokens and their kinds are not as many",
            expected="tokenizer.ggml.tokens, and a number for each in token_type",
            received=f"{len(tokens)} tokens, and {len(kinds or [])} kinds",
            fix="take the file again from where it came, or make it anew",
        )
    return list(kinds)


def _around(opened: GgufFile, tokens: list[str], rule: str) -> Any:
    """Returns what puts the tokens around a text that llama.cpp puts there.

    Source: `llama_vocab::impl::load` of llama.cpp, src/llama-vocab.cpp: of a byte-level BPE
    only Llama 3's begins a text with a token where the file does not say.
    """
    from tokenizers.processors import TemplateProcessing

    usual = {"bos": SPLITS[rule] == "llama3", "eos": False}
    around = {}
    for name, known in usual.items():
        number = opened.value(f"tokenizer.ggml.{name}_token_id")
        if opened.value(f"tokenizer.ggml.add_{name}_token", known) and number is not None:
            around[name] = (tokens[int(number)], int(number))
    parts = [*(around[n][0] for n in ("bos",) if n in around), "$A"]
    parts += [around[n][0] for n in ("eos",) if n in around]
    return TemplateProcessing(single=parts, special_tokens=list(dict(around.values()).items()))
