"""Hears the warnings of whatever runs inside a block."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from textmill.progress import Silent, listening


@contextmanager
def warnings_heard() -> Iterator[list[str]]:
    """Gives a list that the warnings of the block are added to."""
    heard: list[str] = []

    class Heard(Silent):
        def warned(self, step: str, text: str) -> None:
            heard.append(text)

    with listening(Heard(), "test"):
        yield heard
