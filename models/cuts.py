"""Where texts can be cut so that their tokens are those of the parts."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa
    from tokenizers import Tokenizer

CUT = "\U0010ffff"  # a code point that is no character; texts that have it are not cut
_WHITE_SPACE = r"\s\x{b}\x{1c}-\x{1f}\x{85}\p{Z}"  # at least what any library takes for it
_BY_CHARACTER = ("Precompiled", "NFC", "NFD", "NFKC", "NFKD", "Lowercase", "StripAccents", "Nmt")
_RUNS = (" {2,}", r"\s{2,}|[\n\r\t]")  # what becomes one space


class Cuts:
    """Cuts texts into parts whose ids, one behind the other, are those of the text.

    - WordPiece: BERT's normalizer goes by characters, each by itself but for the order of accents
      on a letter, and its pre-tokenizer parts words at white space and on both sides of a
      punctuation mark: so at white space, and beside an ASCII punctuation mark (or a Chinese
      character, where the normalizer sets these apart).
    - Byte-level BPE: a blank before another character than white space always begins a word, and
      what is before it ends a text as well as it ends there. Lowercasing goes by characters.
    - Unigram: between a printable ASCII character and a blank that another one follows. All three
      are grapheme clusters by themselves, in any normal form, and become neither nothing nor white
      space (this is looked at); the blank becomes the mark that begins a word.

    Where a tokenizer does more than these rules know of, texts stay whole.

    Args:
        tokenizer: Text kept apart from special tokens, as `load_tokenizer` returns it.

    Source: `pre_tokenizers` and `normalizers` of huggingface/tokenizers.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._patterns: list[tuple[str, str]] = []
        self._mark = CUT
        normalizer, splitter = _spec(tokenizer.normalizer), _spec(tokenizer.pre_tokenizer)
        kinds = [part["type"] for part in splitter]
        steps = [part["type"] for part in normalizer]
        if kinds == ["BertPreTokenizer"] and steps == ["BertNormalizer"]:
            chinese = r"\x{4e00}-\x{9fff}" if normalizer[0]["handle_chinese_chars"] else ""
            # Only that white space at which the normalizer parts words: it drops a form feed.
            self._patterns = [(rf"([!-/:-@\[-`{{-~{chinese}])|[\t\n\r]", r" \1 ")]
            self._mark = " "
        elif kinds == ["ByteLevel"] and steps in ([], ["Lowercase"]) and splitter[0]["use_regex"]:
            self._patterns = [(f" ([^{_WHITE_SPACE}])", rf"{CUT} \1")]
        elif kinds == ["Digits", "ByteLevel"] and not steps and splitter[1]["use_regex"]:
            self._patterns = [(r" (\p{L})", rf"{CUT} \1")]
        elif kinds[-1:] == ["Metaspace"] and _local(tokenizer, normalizer, splitter):
            # Twice, for the character behind a cut may stand before the next one.
            self._patterns = [(r"([!-~]) ([!-~])", rf"\1{CUT} \2")] * 2

    def __call__(self, texts: pa.Array) -> pa.ListArray:
        """Returns the parts of each text: string [texts] -> list of string [texts]."""
        import pyarrow.compute as pc

        marked = self._mark == CUT and pc.any(pc.match_substring(texts, CUT)).as_py()
        if marked or not self._patterns:
            return _whole(texts)
        for pattern, replacement in self._patterns:
            texts = pc.replace_substring_regex(texts, pattern, replacement)
        return pc.split_pattern(texts, self._mark)


def _whole(texts: pa.Array) -> pa.ListArray:
    import numpy as np
    import pyarrow as pa

    return pa.ListArray.from_arrays(pa.array(np.arange(len(texts) + 1, dtype=np.int32)), texts)


def _spec(part: Any) -> list[dict[str, Any]]:
    """Returns a normalizer or pre-tokenizer as its file has it, in single steps."""
    if part is None:
        return []
    return _flat(json.loads(part.__getstate__()))


def _flat(spec: dict[str, Any]) -> list[dict[str, Any]]:
    if spec["type"] != "Sequence":
        return [spec]
    inner = spec.get("normalizers") or spec.get("pretokenizers") or []
    return [step for part in inner for step in _flat(part)]


def _local(
    tokenizer: Tokenizer, normalizer: list[dict[str, Any]], splitter: list[dict[str, Any]]
) -> bool:
    """Returns whether a blank between printable ASCII characters parts texts."""
    metaspace = splitter[-1]
    before = [part["type"] for part in splitter[:-1]]
    if not metaspace["split"] or before not in ([], ["WhitespaceSplit"]):
        return False
    for step in normalizer:
        if step["type"] == "Strip":
            # What is stripped of a part is the blank that becomes a mark; it is put back.
            known = metaspace["prepend_scheme"] != "never"
        elif step["type"] == "Replace":
            pattern = step["pattern"]
            run = pattern.get("Regex") in _RUNS and step["content"] == " "
            known = run or (" " not in pattern.get("String", " ") and step["content"].strip())
        else:
            known = step["type"] in _BY_CHARACTER
        if not known:
            return False
    if tokenizer.normalizer is None:
        return True
    printable = map(chr, range(0x21, 0x7F))
    became = [tokenizer.normalizer.normalize_str(character) for character in printable]
    blank = tokenizer.normalizer.normalize_str("a b")
    return " " in blank and all(b and not any(c.isspace() for c in b) for b in became)
