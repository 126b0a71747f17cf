"""How a step says how far it is, whoever listens: a terminal, a log or nobody."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Protocol


class Listener(Protocol):
    """Hears of the steps of a run as they go."""

    def started(self, step: str) -> None:
        """`step` begins."""

    def advanced(self, step: str, done: float, total: float | None, note: str) -> None:
        """`done` of `total` units of work in `step` are behind us; `note` says more."""

    def warned(self, step: str, text: str) -> None:
        """Something in `step` is worth a look, but stops nothing."""

    def finished(self, step: str, status: str, seconds: float, note: str) -> None:
        """`step` ended; status is "done", "cached" or "failed"."""


class Silent:
    """A listener that says nothing."""

    def started(self, step: str) -> None:
        """Says nothing."""

    def advanced(self, step: str, done: float, total: float | None, note: str) -> None:
        """Says nothing."""

    def warned(self, step: str, text: str) -> None:
        """Says nothing."""

    def finished(self, step: str, status: str, seconds: float, note: str) -> None:
        """Says nothing."""


_current: ContextVar[tuple[Listener, str] | None] = ContextVar("textmill_step", default=None)


@contextmanager
def listening(listener: Listener, step: str) -> Iterator[None]:
    """Sends what `advance` says inside the block to `listener` under the name `step`."""
    token = _current.set((listener, step))
    try:
        yield
    finally:
        _current.reset(token)


def advance(done: float, total: float | None = None, note: str = "") -> None:
    """Tells whoever listens that `done` of `total` units are done. Outside a run: nothing.

    Args:
        done: Units of work behind us: rows, steps, bytes.
        total: Units in all, or None where nobody knows.
        note: A few words, such as "epoch 2/3, loss 0.31".

    Example:
        >>> advance(10, 100, "rows")
    """
    current = _current.get()
    if current is not None:
        listener, step = current
        listener.advanced(step, done, total, note)


def warn(text: str) -> None:
    """Tells whoever listens of something that is worth a look but stops nothing.

    Example:
        >>> warn("31 % of the rows are duplicates")
    """
    current = _current.get()
    if current is not None:
        listener, step = current
        listener.warned(step, text)
