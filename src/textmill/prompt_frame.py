"""What stands around a prompt, so that the tokens behind it are what a model learned to write."""

from __future__ import annotations

from typing import NamedTuple

STRIPS = ("", "both", "left", "right")  # where white space around a prompt is taken off


class PromptFrame(NamedTuple):
    """What stands around a prompt.

    The tokens that a model reads are `before`, those of `before_text` + prompt + `after_text`, and
    `after`. Of a document `before` is the token that begins it, and the rest is empty; of a
    conversation they are what its chat template puts around the first turn of a user. `strip` says
    where a prompt loses the white space around it, one of `STRIPS`.
    """

    before: list[int]
    before_text: str
    after_text: str
    after: list[int]
    strip: str = ""


def stripped(text: str, strip: str) -> str:
    r"""Returns a prompt without the white space that goes, as Python and Jinja's `trim` know it.

    Example:
        >>> stripped("\u3000a ", "both"), stripped(" a ", "left"), stripped(" a ", "")
        ('a', 'a ', ' a ')
    """
    return {"": text, "both": text.strip(), "left": text.lstrip(), "right": text.rstrip()}[strip]
