"""What stands around a prompt, so that the tokens behind it are what a model learned to write."""

from __future__ import annotations

from typing import NamedTuple


class PromptFrame(NamedTuple):
    """What stands around a prompt.

    The tokens that a model reads are `before`, those of `before_text` + prompt + `after_text`, and
    `after`. Of a document `before` is the token that begins it, and the rest is empty; of a
    conversation they are what its chat template puts around the first turn of a user.
    """

    before: list[int]
    before_text: str
    after_text: str
    after: list[int]
