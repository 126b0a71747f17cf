"""What a `tokenizer.json` says, as far as a serving graph can follow it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

from textmill.errors import UserError, one_of

KINDS = ("WordPiece", "BPE", "Unigram")


class Rules(NamedTuple):
    """What a `tokenizer.json` says, in plain values."""

    vocabulary: dict[str, int]
    unknown: int
    prefix: str
    longest_word: int
    normalizer: tuple[bool, bool, bool, bool]  # clean, isolate Chinese, strip accents, lowercase


def kind_of(tokenizer_file: Path) -> str:
    """Returns the kind of model of a `tokenizer.json`, one that there is a graph for.

    Raises:
        UserError: If it can't be read, or is of another kind.
    """
    kind = str(read_spec(tokenizer_file)["model"]["type"])
    if kind not in KINDS:
        raise inexact(tokenizer_file, "model", one_of(KINDS), kind)
    return kind


def read_spec(tokenizer_file: Path) -> dict[str, Any]:
    """Returns a `tokenizer.json` as the library understands it, defaults filled in.

    Raises:
        UserError: If it can't be read.
    """
    from tokenizers import Tokenizer

    try:
        spec: dict[str, Any] = json.loads(Tokenizer.from_file(str(tokenizer_file)).to_str())
    except Exception as error:  # the library raises nothing narrower
        raise UserError(
            f"{tokenizer_file}: not a tokenizer",
            expected="a tokenizer.json as the tokenizers library writes it",
            received=str(error)[:200],
            fix="save it with tokenizers.Tokenizer.save, or name a folder that holds one",
        ) from error
    return spec


def inexact(tokenizer_file: Path, what: str, expected: str, received: object) -> UserError:
    """Returns the error for a part of a tokenizer that a graph could not follow exactly."""
    return UserError(
        f"{tokenizer_file}: this {what} can't be put into a serving graph exactly",
        expected=expected,
        received=json.dumps(received, ensure_ascii=False)[:200],
        fix="use the tokenizer of a BERT checkpoint, or train one with model.scratch",
    )


def check_added(tokenizer_file: Path, spec: dict[str, Any]) -> None:
    """Refuses tokens that the library would look for in raw text.

    Raises:
        UserError: There are such.
    """
    added = [t["content"] for t in spec["added_tokens"] if not t["special"]]
    if added:
        raise inexact(tokenizer_file, "list of added tokens", "special tokens only", added)


def read_rules(tokenizer_file: Path) -> Rules:
    """Returns what a `tokenizer.json` of the kind WordPiece says.

    Raises:
        UserError: If it can't be read, or the graph could not follow it exactly.
    """
    spec = read_spec(tokenizer_file)
    model, normalizer, splitter = spec["model"], spec["normalizer"], spec["pre_tokenizer"]
    for what, part, wanted in (
        ("model", model, "WordPiece"),
        ("normalizer", normalizer, "BertNormalizer"),
        ("pre-tokenizer", splitter, "BertPreTokenizer"),
    ):
        if part is None or part["type"] != wanted:
            raise inexact(tokenizer_file, what, wanted, part and part["type"])
    check_added(tokenizer_file, spec)
    if model["unk_token"] not in model["vocab"]:
        raise inexact(
            tokenizer_file,
            "model",
            "an unknown token that is in the vocabulary",
            model["unk_token"],
        )
    strip, lowercase = normalizer["strip_accents"], normalizer["lowercase"]
    return Rules(
        vocabulary=model["vocab"],
        unknown=model["vocab"][model["unk_token"]],
        prefix=model["continuing_subword_prefix"],
        longest_word=model["max_input_chars_per_word"],
        normalizer=(
            normalizer["clean_text"],
            normalizer["handle_chinese_chars"],
            lowercase if strip is None else strip,
            lowercase,
        ),
    )
