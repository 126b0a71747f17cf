"""What the `tokenizer.json` of a byte-level BPE says, as far as a serving graph can follow it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, NamedTuple

from textmill.serving.tokenizer_rules import check_added, inexact, read_spec
from textmill.splits import LLAMA3


class BpeRules(NamedTuple):
    """What a `tokenizer.json` says, in plain values.

    Attributes:
        of_bytes: The id of each byte; -1 where the tokenizer drops it.
        pairs: Two ids that merge, the best ones first.
        merged: What each pair becomes.
        size: One more than the largest id.
        tokens: The characters of tokens -> their ids.
        whole: Words that are one token, most by what the merges make of them, those of some
            tokenizers whatever they make: their bytes -> the token.
        prefix_space: Whether a text that begins otherwise gets a space in front.
        split: Whose expression parts a text into words.
        digits: Most digits in a word; 0 for any number.
        normalizers: Steps of the normalizer, as the file has them: none, Lowercase or NFC.
    """

    of_bytes: list[int]
    pairs: list[tuple[int, int]]
    merged: list[int]
    size: int
    tokens: dict[str, int]
    whole: dict[bytes, int]
    prefix_space: bool
    split: Literal["gpt2", "llama3"]
    digits: int
    normalizers: list[dict[str, Any]]

    @property
    def total(self) -> bool:
        """Whether every byte has a token."""
        return min(self.of_bytes) >= 0


def byte_alphabet() -> list[str]:
    """Returns the character that stands for each byte in a byte-level vocabulary.

    Source: `bytes_to_unicode` of https://github.com/openai/gpt-2, `src/encoder.py`.

    Example:
        >>> byte_alphabet()[ord("a")], byte_alphabet()[ord(" ")]
        ('a', 'Ġ')
    """
    shown = [*range(33, 127), *range(161, 173), *range(174, 256)]
    hidden = [byte for byte in range(256) if byte not in shown]
    characters = {byte: chr(byte) for byte in shown}
    characters |= {byte: chr(256 + n) for n, byte in enumerate(hidden)}
    return [characters[byte] for byte in range(256)]


def read_bpe_rules(tokenizer_file: Path) -> BpeRules:
    """Returns what a `tokenizer.json` of the kind BPE says.

    Raises:
        UserError: If it can't be read, or the graph could not follow it exactly.
    """
    spec = read_spec(tokenizer_file)
    model = spec["model"]
    check_added(tokenizer_file, spec)
    normalizer = spec["normalizer"]
    if normalizer is not None and normalizer["type"] not in ("Lowercase", "NFC"):
        raise inexact(
            tokenizer_file,
            "normalizer",
            "none, Lowercase or NFC, before byte-level BPE",
            normalizer,
        )
    for key in (
        "dropout",
        "continuing_subword_prefix",
        "end_of_word_suffix",
        "byte_fallback",
    ):
        if model.get(key):
            raise inexact(tokenizer_file, "model", f"no {key}", model[key])
    prefix_space, split, digits = _splitter(tokenizer_file, spec["pre_tokenizer"])
    ids: dict[str, int] = model["vocab"]
    lost = ids.get(model.get("unk_token") or "", -1)
    of_bytes = [ids.get(character, lost) for character in byte_alphabet()]
    if model.get("fuse_unk") and lost >= 0 and not all(c in ids for c in byte_alphabet()):
        raise inexact(
            tokenizer_file, "model", "a token for every byte, or fuse_unk = false", "fuse_unk"
        )
    merges: dict[tuple[int, int], tuple[int, int]] = {}
    for rank, (left, right) in enumerate(map(_pair, model["merges"])):
        merges[ids[left], ids[right]] = rank, ids[left + right]
    ranked = sorted(merges, key=merges.__getitem__)
    return BpeRules(
        of_bytes=of_bytes,
        pairs=ranked,
        merged=[merges[pair][1] for pair in ranked],
        size=1 + max(ids.values()),
        tokens=ids,
        whole=_whole(model),
        prefix_space=prefix_space,
        split=split,
        digits=digits,
        normalizers=[] if normalizer is None else [normalizer],
    )


def _pair(merge: Any) -> tuple[str, str]:
    left, right = merge.split(" ") if isinstance(merge, str) else merge
    return left, right


def _whole(model: dict[str, Any]) -> dict[bytes, int]:
    """Returns the words that are one token: their bytes -> the token."""
    from tokenizers import models

    merges = [_pair(merge) for merge in model["merges"]]
    merging = models.BPE(vocab=model["vocab"], merges=merges, unk_token=model.get("unk_token"))
    bytes_of = {character: byte for byte, character in enumerate(byte_alphabet())}
    return {
        bytes(bytes_of[character] for character in word): token
        for word, token in model["vocab"].items()
        if word and bytes_of.keys() >= set(word)
        if model.get("ignore_merges") or [t.id for t in merging.tokenize(word)] == [token]
    }


def _splitter(tokenizer_file: Path, spec: Any) -> tuple[bool, Literal["gpt2", "llama3"], int]:
    """Returns whether a space is put in front, whose expression splits, and most digits a word."""
    parts = spec["pretokenizers"] if spec and spec["type"] == "Sequence" else [spec]
    kinds = [part and part["type"] for part in parts]
    last = parts[-1]
    if kinds == ["ByteLevel"] and last["use_regex"]:
        return last["add_prefix_space"], "gpt2", 0
    single = kinds == ["Digits", "ByteLevel"] and parts[0]["individual_digits"]
    if single and last["use_regex"] and not last["add_prefix_space"]:
        return False, "gpt2", 1
    if kinds == ["Split", "ByteLevel"] and not (last["use_regex"] or last["add_prefix_space"]):
        digits = LLAMA3.get(parts[0]["pattern"].get("Regex", ""))
        if digits and parts[0]["behavior"] == "Isolated" and not parts[0]["invert"]:
            return False, "llama3", digits
    raise inexact(
        tokenizer_file,
        "pre-tokenizer",
        "ByteLevel with its own regular expression or that of Llama 3 or Qwen 2",
        spec,
    )
