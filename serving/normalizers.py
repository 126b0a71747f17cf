"""Normalizers of the `tokenizers` library as a graph, those that SentencePiece models have."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from textmill.serving.character_map import CharacterMap, character_map, library_map, replaced
from textmill.serving.charsmap import normalize, read_charsmap
from textmill.serving.library_forms import library_forms
from textmill.serving.metaspace import WHITE_SPACE
from textmill.serving.normal_form import normalize_characters
from textmill.serving.tokenizer_rules import inexact

if TYPE_CHECKING:
    import tensorflow as tf

    Texts = Callable[[tf.Tensor], tf.Tensor]
    Characters = Callable[[tf.RaggedTensor], tf.RaggedTensor]

# Regular expressions of published tokenizers, in the syntax of RE2.
EXPRESSIONS = {
    " {2,}": " {2,}",
    r"\s{2,}|[\n\r\t]": rf"{WHITE_SPACE}{{2,}}|[\n\r\t]",
    r"\s+": f"{WHITE_SPACE}+",
    r"\A +| +\z": r"\A +| +\z",
}
FORMS = ("NFC", "NFD", "NFKC", "NFKD")
BY_CHARACTER = ("Lowercase", "StripAccents", "Nmt")


def normalizer(tokenizer_file: Path, steps: Sequence[dict[str, Any]]) -> Texts:
    """Returns a function from texts to normalized texts, string [batch] to string [batch].

    Args:
        tokenizer_file: Where the steps come from, to say so in an error.
        steps: As they are in the file.

    Raises:
        UserError: A step can't be done exactly.
    """
    made: list[tuple[bool, Any]] = []
    for step in steps:
        kind = step["type"]
        if kind == "Precompiled":
            if step["precompiled_charsmap"]:
                made.append((True, _precompiled(step["precompiled_charsmap"])))
        elif kind in FORMS:
            made.append((True, _form(kind)))
        elif kind in BY_CHARACTER:
            made.append((True, _by_character(kind)))
        elif kind == "Replace":
            made.append((False, _replace(tokenizer_file, step["pattern"], step["content"])))
        elif kind == "Strip":
            made.append((False, _strip(step["strip_left"], step["strip_right"])))
        elif kind == "Prepend":
            made.append((False, _prepend(step["prepend"])))
        else:
            known = ", ".join(("Precompiled", *FORMS, *BY_CHARACTER, "Replace", "Strip"))
            raise inexact(tokenizer_file, "normalizer", known, kind)

    def normalized(text: tf.Tensor) -> tf.Tensor:
        import tensorflow as tf

        text = tf.strings.unicode_transcode(text, "UTF-8", "UTF-8")
        characters = None
        for on_characters, step in made:
            if on_characters:
                if characters is None:
                    characters = tf.strings.unicode_decode(text, "UTF-8")
                characters = step(characters)
            else:
                if characters is not None:
                    text = tf.strings.unicode_encode(characters, "UTF-8")
                    characters = None
                text = step(text)
        return text if characters is None else tf.strings.unicode_encode(characters, "UTF-8")

    return normalized


def _precompiled(precompiled: str) -> Characters:
    charsmap = read_charsmap(precompiled)
    return lambda characters: normalize(characters, charsmap)


def _form(kind: str) -> Characters:
    rules = library_forms(kind)
    # A text of characters before those below is in any normal form.
    least = min(*rules.classes, *rules.decompositions)

    def normalized(characters: tf.RaggedTensor) -> tf.RaggedTensor:
        import tensorflow as tf

        made = tf.cond(
            tf.reduce_any(characters.flat_values >= least),
            lambda: _parts(normalize_characters(characters, rules)),
            lambda: _parts(characters),
        )
        return tf.RaggedTensor.from_value_rowids(*made, characters.nrows(), validate=False)

    return normalized


def _parts(characters: tf.RaggedTensor) -> tuple[tf.Tensor, tf.Tensor]:
    return characters.flat_values, characters.value_rowids()


def _by_character(kind: str) -> Characters:
    from tokenizers import normalizers

    made: CharacterMap = character_map(library_map(getattr(normalizers, kind)().normalize_str))
    return lambda characters: replaced(characters, made)


def _replace(tokenizer_file: Path, pattern: dict[str, str], content: str) -> Texts:
    if "String" in pattern:
        expression = re.escape(pattern["String"])
        if not pattern["String"]:
            raise inexact(tokenizer_file, "normalizer", "a pattern", "an empty one")
    elif pattern["Regex"] in EXPRESSIONS:
        expression = EXPRESSIONS[pattern["Regex"]]
    else:
        known = " or ".join(map(repr, EXPRESSIONS))
        raise inexact(tokenizer_file, "normalizer", f"the regular expression {known}", pattern)
    return _substitute(expression, content.replace("\\", r"\\"))


def _strip(left: bool, right: bool) -> Texts:
    ends = [rf"\A{WHITE_SPACE}+"] * left + [rf"{WHITE_SPACE}+\z"] * right
    return _substitute("|".join(ends), "") if ends else lambda text: text


def _prepend(prefix: str) -> Texts:
    return _substitute(r"(?s)\A(.)", prefix.replace("\\", r"\\") + r"\1")


def _substitute(pattern: str, rewrite: str) -> Texts:
    import tensorflow as tf

    return lambda text: tf.strings.regex_replace(text, pattern, rewrite)
