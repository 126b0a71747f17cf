"""What the served graph does to logits, computed once more for golden rows, a text at a time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    from textmill.serving.endings import Endings
    from textmill.serving.processors import Processors


def processed(
    likely: npt.NDArray[Any],
    text: Sequence[int],
    *,
    step: int,
    endings: Endings,
    processors: Processors,
) -> npt.NDArray[Any]:
    """Returns log-probabilities of the next token as they are where a greedy token is taken.

    The tokens of `forced_eos` are not among what is done: where they come depends on how many
    tokens a request asks for.

    Args:
        likely: float64 [vocabulary].
        text: The prompt, and what was written behind it.
        step: How many tokens were written.
        endings: With what a text ends.
        processors: What is to be done.

    Example:
        >>> from textmill.serving.endings import Endings
        >>> from textmill.serving.processors import Processors
        >>> done = Processors(no_repeat_ngram_size=2, suppressed=[3])
        >>> found = processed(np.zeros(4), [0, 1, 0], step=1, endings=Endings(()), processors=done)
        >>> found.tolist()
        [0.0, -inf, 0.0, -inf]
    """
    found, text = likely.copy(), list(text)
    for sequence, bias in processors.sequence_bias:
        *before, last = sequence
        if text[len(text) - len(before) :] == before:
            found[last] += bias
    size = processors.no_repeat_ngram_size
    if size and len(text) >= size:
        last_ones = text[len(text) - size + 1 :]
        for at in range(len(text) - size + 1):
            if text[at : at + size - 1] == last_ones:
                found[text[at + size - 1]] = -np.inf
    for word in map(list, processors.bad_words):
        ends = len(word) == 1 and word[0] in endings.tokens
        if not ends and text[len(text) - len(word) + 1 :] == word[:-1]:
            found[word[-1]] = -np.inf
    if len(text) < processors.min_length:
        found[list(endings.tokens)] = -np.inf
    first, forced = len(text) - step, list(processors.forced_bos)
    if forced and len(text) == 1:
        found[:] = -np.inf
        found[forced] = 0
    found[list(processors.suppressed)] = -np.inf
    if step == (1 if forced and first == 1 else 0):
        found[list(processors.suppressed_first)] = -np.inf
    return found
