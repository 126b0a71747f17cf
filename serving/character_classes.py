"""Letters, numbers and white space, as the regular expressions of `tokenizers` see them."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from textmill.serving.code_points import CODE_POINTS, PAGE, SURROGATES

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import tensorflow as tf

LETTER, NUMBER, SPACE, OTHER = range(4)


@cache
def character_classes() -> npt.NDArray[np.uint8]:
    r"""Returns the class of each code point [CODE_POINTS]: `\p{L}`, `\p{N}`, `\s`, or another.

    It asks the library, for what is a letter differs from one version of Unicode to the next.

    Example:
        >>> character_classes()[[ord(c) for c in "a1 !"]].tolist()
        [0, 1, 2, 3]
    """
    import numpy as np

    classes = np.full(CODE_POINTS, OTHER, np.uint8)
    for number, pattern in ((LETTER, r"\p{L}"), (NUMBER, r"\p{N}"), (SPACE, r"\s")):
        classes[matching(pattern)] = number
    return classes


@cache
def matching(pattern: str) -> npt.NDArray[np.bool_]:
    """Returns which code points a regular expression of one character matches [CODE_POINTS]."""
    import numpy as np
    from tokenizers import Regex, normalizers

    matches = np.ones(CODE_POINTS, np.bool_)
    matches[SURROGATES.start : SURROGATES.stop] = False
    every = "".join(map(chr, np.flatnonzero(matches)))
    left = normalizers.Replace(Regex(pattern), "").normalize_str(every)
    matches[[ord(c) for c in left]] = False
    return matches


def paged(
    values: npt.NDArray[np.generic],
) -> tuple[npt.NDArray[np.uint16], npt.NDArray[np.generic]]:
    """Returns a table of all code points as the page of each block of them, and the pages.

    Args:
        values: [CODE_POINTS], alike in most of Unicode.
    """
    import numpy as np

    pages, starts = np.unique(values.reshape(-1, PAGE), axis=0, return_inverse=True)
    return starts.reshape(-1).astype(np.uint16), pages


def look_up(
    table: tuple[npt.NDArray[np.uint16], npt.NDArray[np.generic]], code: tf.Tensor
) -> tf.Tensor:
    """Returns the values of code points, of a table that `paged` made: int32 [n] -> [n]."""
    import tensorflow as tf

    starts, pages = table
    page = tf.cast(tf.gather(tf.constant(starts), code // PAGE), tf.int32)
    return tf.gather(tf.constant(pages.reshape(-1)), page * PAGE + code % PAGE)
