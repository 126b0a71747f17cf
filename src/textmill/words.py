r"""Words of a text: what tagging gives a label to, in training and in the served graph alike.

A word is a run of characters between white space, or a punctuation mark or a Chinese character by
itself, as BERT's pre-tokenizer has it. One regular expression says so, which Arrow and TensorFlow
both run with RE2. It sets `CUT` between the parts of a text, whose lengths are the words' places.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa

    Ints = npt.NDArray[np.int64]

CUT = "\x1f"  # the unit separator; in a text it counts as a space
_MARKS = r"!-/:-@\[-`{-~\p{P}"
_CHINESE = (
    r"\x{3400}-\x{4dbf}\x{4e00}-\x{9fff}\x{f900}-\x{faff}"
    r"\x{20000}-\x{2a6df}\x{2a700}-\x{2ceaf}\x{2f800}-\x{2fa1f}"
)
PARTS = rf"([{_MARKS}{_CHINESE}]|[\s\p{{Z}}]+)"
SPACE = r"[\s\p{Z}]*"


class Words(NamedTuple):
    """The words of texts.

    Attributes:
        words: string [words], of all texts one behind the other.
        texts: int64 [words], the text that a word is in.
        begins: int64 [words], its first character's place in the text.
        ends: int64 [words], the place behind its last character.
    """

    words: pa.Array
    texts: Ints
    begins: Ints
    ends: Ints


def words_of(texts: pa.Array) -> Words:
    """Returns the words of texts.

    Args:
        texts: string [texts].

    Example:
        >>> import pyarrow as pa
        >>> found = words_of(pa.array(["Ann's here.", "", "好看"]))
        >>> found.words.to_pylist(), found.texts.tolist(), found.begins.tolist()
        (['Ann', "'", 's', 'here', '.', '好', '看'], [0, 0, 0, 0, 0, 2, 2], [0, 3, 4, 6, 10, 0, 1])
    """
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    plain = pc.replace_substring(texts, CUT, " ")
    parts = pc.split_pattern(pc.replace_substring_regex(plain, PARTS, rf"{CUT}\1{CUT}"), CUT)
    flat = parts.flatten()
    sizes = pc.utf8_length(flat).to_numpy().astype(np.int64)
    text = np.repeat(np.arange(len(texts)), np.diff(parts.offsets.to_numpy()))
    ends = np.cumsum(sizes)
    of_text = np.bincount(text, sizes, len(texts)).astype(np.int64)
    ends -= (np.cumsum(of_text) - of_text)[text]
    is_word = pc.invert(pc.match_substring_regex(flat, rf"^{SPACE}$")).to_numpy(
        zero_copy_only=False
    )
    return Words(
        flat.filter(pa.array(is_word)), text[is_word], (ends - sizes)[is_word], ends[is_word]
    )
