"""The normal forms of the `tokenizers` library, which knows a Unicode version of its own."""

from __future__ import annotations

import unicodedata
from functools import cache
from typing import Any

from textmill.serving.character_map import SEPARATOR, library_map
from textmill.serving.code_points import assigned
from textmill.serving.normal_form import CODES, SYLLABLES, Rules

LOW, HIGH = "\u0334", "\u0345"  # marks of the lowest and of the highest combining class


@cache
def library_forms(form: str) -> Rules:
    """Returns what the library's NFC, NFD, NFKC or NFKD does.

    Source: the Unicode Standard, section 3.11; it is asked for decompositions, for the order of
    marks, and for compositions, one character or pair at a time.
    """
    from tokenizers import normalizers

    def of(name: str) -> Any:
        return getattr(normalizers, name)().normalize_str

    composes = form in ("NFC", "NFKC")
    canonical = library_map(of("NFD"))
    decompositions = library_map(of("NFKD")) if "K" in form else canonical
    pairs: dict[int, int] = {}
    if composes:
        pairs = _pairs(of("NFC"), canonical)
        first, count = SYLLABLES
        decompositions = {c: d for c, d in decompositions.items() if not first <= c < first + count}
    return Rules(decompositions, _classes(of("NFD"), canonical), pairs, "")


def _pairs(nfc: Any, canonical: dict[int, list[int]]) -> dict[int, int]:
    found = {}
    for code, parts in canonical.items():
        whole, first = chr(code), nfc("".join(map(chr, parts[:-1])))
        hangul = SYLLABLES[0] <= code < SYLLABLES[0] + SYLLABLES[1]
        if len(first) == 1 and not hangul and nfc(first + chr(parts[-1])) == whole:
            found[ord(first) * CODES + parts[-1]] = code
    return found


def _classes(nfd: Any, canonical: dict[int, list[int]]) -> dict[int, int]:
    """Returns the combining classes of marks: numbers that order them as the library does."""
    every = [char for char in assigned() if char != SEPARATOR]
    probes = [HIGH + char + LOW for char in every]
    out = nfd(SEPARATOR.join(probes)).split(SEPARATOR)
    # A starter stays between the two; a mark that decomposes never comes to be sorted.
    marks = [
        char
        for char, probe, became in zip(every, probes, out, strict=True)
        if became != probe and ord(char) not in canonical
    ]
    known: dict[int, str] = {}
    for mark in marks:
        if unicodedata.combining(mark):
            known.setdefault(unicodedata.combining(mark), mark)

    def alike(mark: str, other: str) -> bool:
        pair, back = mark + other, other + mark
        return bool(nfd(pair) == pair and nfd(back) == back)

    classes = {}
    for mark in marks:
        guesses = [unicodedata.combining(mark), *known]
        classes[ord(mark)] = next(k for k in guesses if k in known and alike(mark, known[k]))
    return classes
