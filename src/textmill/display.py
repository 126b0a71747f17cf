"""What a person sees of a run: a live line a step on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeRemainingColumn
from rich.table import Column
from rich.text import Text

MARKS = {"done": ("✓", "green"), "cached": ("=", "blue"), "failed": ("✗", "red")}
PLAIN_INTERVAL = 20.0  # seconds between two lines about one step, where lines stay


def listener_for(console: Console) -> Live | Plain:
    """Returns the listener that fits where `console` writes to."""
    return Live(console) if console.is_terminal else Plain(console)


class Live:
    """One line a step: a spinner and a bar while it runs, a mark and its time afterwards."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._bar: Progress | None = None
        self._task: Any = None

    def started(self, step: str) -> None:
        """Shows the step's line."""
        self._bar = Progress(
            SpinnerColumn(),
            TextColumn("{task.description:<9}", markup=False),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[note]}", markup=False, table_column=Column(no_wrap=True)),
            TimeRemainingColumn(compact=True),
            console=self._console,
            transient=True,
        )
        self._task = self._bar.add_task(step, total=None, note="")
        self._bar.start()

    def advanced(self, step: str, done: float, total: float | None, note: str) -> None:
        """Moves the bar."""
        if self._bar is not None:
            self._bar.update(self._task, completed=done, total=total, note=note)

    def warned(self, step: str, text: str) -> None:
        """Prints the warning above the line."""
        self._console.print(Text.assemble(("!", "yellow"), f" {step:<9} {text}"), soft_wrap=True)

    def finished(self, step: str, status: str, seconds: float, note: str) -> None:
        """Replaces the line by its end."""
        if self._bar is not None:
            self._bar.stop()
        line = f" {step:<9} {duration(seconds):>9}  "
        end = Text.assemble(MARKS[status], line, (f"{status}  {note}", "dim"))
        self._console.print(end, soft_wrap=True)


class Plain:
    """Lines that a log can keep."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._said = 0.0

    def started(self, step: str) -> None:
        """Remembers when, so that a quick step says one line only."""
        self._said = time.monotonic()

    def advanced(self, step: str, done: float, total: float | None, note: str) -> None:
        """Prints a line if the last one is a while ago."""
        if time.monotonic() - self._said >= PLAIN_INTERVAL:
            self._said = time.monotonic()
            share = f"{done / total:4.0%} " if total else f"{done:,.0f} " if done else ""
            self._print(f"{step}: {share}{note}".rstrip())

    def warned(self, step: str, text: str) -> None:
        """Prints the warning."""
        self._print(f"{step}: warning: {text}")

    def finished(self, step: str, status: str, seconds: float, note: str) -> None:
        """Prints how the step ended."""
        self._print(f"{step}: {status} in {duration(seconds)} {note}".rstrip())

    def _print(self, line: str) -> None:
        # A path or a name may hold what rich takes for markup or an emoji: [v2], :us:, a tab.
        print(line, file=self._console.file, flush=True)


def duration(seconds: float) -> str:
    """Returns a time as a person would say it.

    Example:
        >>> duration(0.04), duration(12.34), duration(200), duration(7300)
        ('0.04 s', '12.3 s', '3 min 20 s', '2 h 1 min')
    """
    if seconds < 9.995:
        return f"{seconds:.2f} s"
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min"
