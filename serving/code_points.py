"""What BERT's normalizer and pre-tokenizer make of each code point, as a table."""

from __future__ import annotations

from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

CODE_POINTS = 0x110000
SURROGATES = range(0xD800, 0xE000)  # no UTF-8 text decodes to one
# Where Unicode has characters; elsewhere are private ones or none, which all rules leave alone.
ASSIGNED = (range(0x40000), range(0xE0000, 0xE1000))
PAGE = 64  # code points a page; the size that makes the table smallest

SPACE = 0x20
NOTHING = -1  # fills a row of `CodePoints.rows`
SELF = 0  # in place of a code point: the one that was looked up
CODE = (1 << 21) - 1  # the bits of a code point
RANK = 21  # a mark's place in canonical order stands above the 21 bits of its code point
BREAK = 1 << 29  # a removed character that combining marks do not move across
ALONE = 1 << 30  # a character that is a word by itself


def assigned() -> list[str]:
    """Returns every code point that may have a meaning, but for surrogates."""
    return [chr(code) for part in ASSIGNED for code in part if code not in SURROGATES]


class CodePoints(NamedTuple):
    """A map from a code point to what the normalizer and the pre-tokenizer make of it.

    `rows[pages[starts[c // PAGE], c % PAGE]]` are the code points that `c` becomes, with the bits
    of `RANK`, `BREAK` and `ALONE`.
    """

    starts: npt.NDArray[np.uint16]  # [CODE_POINTS / PAGE]
    pages: npt.NDArray[np.uint16]  # [distinct pages, PAGE]
    rows: npt.NDArray[np.int32]  # [distinct outcomes, longest outcome]


@lru_cache(maxsize=4)
def code_points(clean: bool, isolate: bool, strip: bool, lowercase: bool) -> CodePoints:
    """Returns what BertNormalizer and BertPreTokenizer make of each code point.

    It asks the library, because what counts as punctuation, as a mark or as unassigned differs
    from one version of Unicode to the next. The arguments are those of BertNormalizer.
    """
    import numpy as np
    from tokenizers import normalizers, pre_tokenizers

    def bert(*settings: bool) -> Any:
        return normalizers.BertNormalizer(*settings).normalize_str

    cleaned, unmarked = bert(clean, isolate, False, False), bert(False, False, True, False)
    lowered, everything = (
        bert(False, False, False, lowercase),
        bert(clean, isolate, strip, lowercase),
    )
    decomposed = normalizers.NFD().normalize_str if strip else str
    split = pre_tokenizers.BertPreTokenizer().pre_tokenize_str

    def probe(text: str) -> str:
        # Between marks of the highest and of the lowest class, only a starter keeps its place.
        return "".join(f"a\u0345{c}\u0334" for c in text)

    def is_mark(char: str) -> bool:
        return strip and bool(decomposed(probe(char)) != probe(char))

    @cache
    def outcome(part: str) -> list[tuple[int, str]]:
        """What a decomposed character becomes: code points and bits, each with its mark or ''."""
        mark = part if is_mark(part) else ""
        if strip and not unmarked(part):
            return [] if mark else [(BREAK, "")]
        out = []
        for c in lowered(part):
            pieces = len(split(f"a{c}a"))  # a letter joins, a space parts, a symbol stands alone
            out.append((SPACE, "") if pieces == 2 else (ord(c) | ALONE * (pieces == 3), mark))
        return out

    outcomes: dict[int, list[tuple[int, str]]] = {}
    for first in range(0, CODE_POINTS, PAGE):
        if first in SURROGATES:
            continue
        page = "".join(map(chr, range(first, first + PAGE)))
        if everything(page) == page and len(split(page)) == 1 and not is_mark(page):
            continue  # most of Unicode stays as it is
        for c in page:
            out = [o for part in decomposed(cleaned(c)) for o in outcome(part)]
            if len(out) == 3 and out[0] == out[2] == (SPACE, "") and not out[1][1]:
                out = [(out[1][0] | ALONE, "")]  # what cleaning puts between spaces
            outcomes[ord(c)] = out

    marks = sorted({mark for out in outcomes.values() for _, mark in out if mark})
    behind = {m: sum(decomposed(m + other) == other + m for other in marks) for m in marks}
    classes = sorted(set(behind.values()))
    width = max(map(len, outcomes.values()))
    numbers = {(SELF, *[NOTHING] * (width - 1)): 0}  # outcome -> its place in rows
    index = np.zeros(CODE_POINTS, np.uint16)
    for code, out in outcomes.items():
        row = []
        for became, mark in out:
            ranked = became + ((1 + classes.index(behind[mark])) << RANK) if mark else became
            row.append(ranked - code if became & CODE == code else ranked)
        key = tuple(row + [NOTHING] * (width - len(row)))
        index[code] = numbers.setdefault(key, len(numbers))
    pages, starts = np.unique(index.reshape(-1, PAGE), axis=0, return_inverse=True)
    return CodePoints(
        starts.reshape(-1).astype(np.uint16), pages, np.array(list(numbers), np.int32)
    )
