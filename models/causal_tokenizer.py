"""Tokenizers of causal language models, and the tokens in which texts begin and end."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from textmill.artifact import read_json
from textmill.errors import UserError, one_of
from textmill.models.huggingface_tokenizer import check_servable, load_auto_tokenizer
from textmill.models.preset import Preset
from textmill.models.tokenizer import bare, check_room, load_tokenizer

if TYPE_CHECKING:
    from tokenizers import Tokenizer

END = "<|endoftext|>"  # of GPT-2, and of what is trained here
Split = Literal["gpt2", "smollm", "llama3", "qwen2"]  # whose rule parts a text into words
# KerasHub's class -> the rule that the tokenizer of the model has.
_KERAS: dict[str, Split] = {
    "GPT2Tokenizer": "gpt2",
    "Llama3Tokenizer": "llama3",
    "QwenTokenizer": "qwen2",
}


class Ends(NamedTuple):
    """The tokens around a document.

    Attributes:
        begin: Before its first token: the model's own, or else the one that ends a text.
        end: Behind its last token.
    """

    begin: str
    end: str

    def ids(self, tokenizer: Tokenizer) -> tuple[int, int]:
        """Returns their ids."""
        return id_of(tokenizer, self.begin), id_of(tokenizer, self.end)


def load_causal_tokenizer(preset: Preset) -> tuple[Tokenizer, Ends]:
    """Returns the tokenizer of a preset, with text kept apart from special tokens; and its ends.

    Raises:
        UserError: The preset has no tokenizer, one that can't be served exactly as it is, or none
            that says in which token a text ends.
    """
    if preset.local and preset.file("textmill/tokenizer.json") is not None:
        tokenizer = load_tokenizer(preset)
    elif preset.from_keras:
        tokenizer = _from_keras(preset)
    else:
        gguf = preset.gguf
        tokenizer = _from_gguf(preset) if gguf else load_auto_tokenizer(preset).backend_tokenizer
        check_servable(preset.name, json.loads(tokenizer.to_str()))
        check_room(preset, bare(tokenizer))
    return tokenizer, _ends(preset, tokenizer)


def begin_token(preset: Preset, ends: Ends) -> str:
    """Returns the token that a chat template knows as bos_token; "" if there is none.

    Args:
        preset: Whose template it is.
        ends: The tokens around a document, of which the first may stand in for one.
    """
    ours = preset.read("textmill/task.json") if preset.local else None
    if ours is not None:
        return str(ours.get("bos_token", ends.begin))
    if preset.from_keras:
        return ends.begin
    if preset.gguf:
        return str((preset.read("tokenizer_config.json") or {}).get("bos_token", ""))
    return str(load_auto_tokenizer(preset).bos_token or "")


def around(preset: Preset) -> tuple[list[int], list[int]]:
    """Returns the tokens that a tokenizer puts before a text, and those behind it.

    Of a folder they are what `AutoTokenizer` puts there, which goes by `tokenizer_config.json` and
    by the class that is named there as much as by `tokenizer.json`.

    Raises:
        UserError: `AutoTokenizer` can't read the files.
    """
    if preset.gguf:
        made = _from_gguf(preset)
        whole, text = (made.encode("a", add_special_tokens=both).ids for both in (True, False))
    else:
        theirs = load_auto_tokenizer(preset)
        whole, text = (theirs.encode("a", add_special_tokens=both) for both in (True, False))
    size = len(text)
    at = next(i for i in range(len(whole)) if whole[i : i + size] == text)
    return list(whole[:at]), list(whole[at + size :])


def byte_level(
    ids: dict[str, int],
    merges: list[tuple[str, str]],
    special: tuple[str, ...],
    *,
    split: Split = "gpt2",
) -> Tokenizer:
    """Puts together a byte-level BPE.

    Args:
        ids: Of tokens.
        merges: The best ones first.
        special: Tokens that no text becomes; those that `ids` has not get new ids.
        split: Whose rule parts a text into words.
    """
    from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers
    from tokenizers import pre_tokenizers as splits

    from textmill.splits import LLAMA3

    whole = split == "llama3"  # there a word of the vocabulary is one token, whatever the merges
    tokenizer = Tokenizer(models.BPE(vocab=ids, merges=merges, ignore_merges=whole))
    if split == "qwen2":
        tokenizer.normalizer = normalizers.NFC()
    plain = splits.ByteLevel(add_prefix_space=False, use_regex=split in ("gpt2", "smollm"))
    before: dict[Split, Any] = {"smollm": splits.Digits(individual_digits=True)}
    for pattern, digits in LLAMA3.items():
        before["llama3" if digits == 3 else "qwen2"] = splits.Split(Regex(pattern), "isolated")
    first = before.get(split)
    tokenizer.pre_tokenizer = splits.Sequence([first, plain]) if first else plain
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(t, normalized=False) for t in special])
    return bare(tokenizer)


def id_of(tokenizer: Tokenizer, token: str) -> int:
    """Returns the id of a token that the tokenizer has."""
    found = tokenizer.token_to_id(token)
    assert found is not None, token
    return found


def _from_gguf(preset: Preset) -> Tokenizer:
    from tokenizers import Tokenizer

    return Tokenizer.from_file(str(preset.file("tokenizer.json")))


def _from_keras(preset: Preset) -> Tokenizer:
    saved = preset.read("tokenizer.json") or {}
    kind = str(saved.get("class_name", ""))
    words, merges = (
        preset.file(f"assets/tokenizer/{n}") for n in ("vocabulary.json", "merges.txt")
    )
    if kind not in _KERAS or words is None or merges is None:
        raise UserError(
            f"{preset.name}: a serving graph for {kind or 'its tokenizer'} is not there yet",
            expected=one_of(_KERAS),
            received=kind or "no tokenizer",
            fix="name the model's Hugging Face folder, with its tokenizer.json",
        )
    config: dict[str, Any] = saved["config"]
    special = tuple(config.get("unsplittable_tokens") or (END,))
    ids = read_json(words)
    return byte_level(ids, _merges(merges), special, split=_KERAS[kind])


def _merges(file: Path) -> list[tuple[str, str]]:
    lines = file.read_text("utf-8").split("\n")
    pairs = (line.split(" ") for line in lines if line and not line.startswith("#version"))
    return [(left, right) for left, right in pairs]


def _ends(preset: Preset, tokenizer: Tokenizer) -> Ends:
    """Returns the tokens that the preset's files name."""
    about = preset.read("textmill/task.json") if preset.local else None
    if about and "begin" in about:
        return Ends(about["begin"], about["end"])
    named = preset.read("tokenizer_config.json") or {}
    known = preset.read("generation_config.json") or {}
    config = preset.config()

    def token(key: str) -> str | None:
        found = named.get(f"{key}_token")
        if isinstance(found, dict):
            found = found.get("content")
        if found is None:
            number = known.get(f"{key}_token_id", config.get(f"{key}_token_id"))
            number = number[0] if isinstance(number, list) else number
            found = None if number is None else tokenizer.id_to_token(number)
        return (
            str(found) if found is not None and tokenizer.token_to_id(found) is not None else None
        )

    end = token("eos") or (END if tokenizer.token_to_id(END) is not None else None)
    if end is None:
        raise preset.lacks("token that ends a text (eos_token in tokenizer_config.json)")
    return Ends(token("bos") or end, end)
