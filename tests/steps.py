"""Small steps and pipelines that tests run; a module of its own, as a user's would be."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from textmill.artifact import Examples, Statistics, Tokens
from textmill.errors import UserError
from textmill.progress import advance, warn
from textmill.run import Runner


@dataclass(frozen=True)
class Numbers:
    """A raw input: a file of numbers."""

    file: Path

    def digest(self) -> str:
        return self.file.read_text()


def load(out: Examples, source: Numbers, *, upto: int = 3) -> None:
    (out.path / "numbers").write_text(" ".join(source.file.read_text().split()[:upto]))


def total(out: Statistics, numbers: Examples) -> None:
    advance(1, 2, "half way")
    warn("sums can be large")
    (out.path / "total").write_text(str(sum(map(int, _read(numbers)))))


def longest(out: Tokens, numbers: Examples, *, base: int = 10) -> None:
    (out.path / "longest").write_text(str(max(len(n) * base for n in _read(numbers))))


def fail(out: Tokens, numbers: Examples) -> None:
    (out.path / "half").write_text("half")
    raise UserError("numbers: odd", expected="even", received="odd", fix="double them")


def pipeline(run: Runner, file: Path, upto: int = 3, base: int = 10) -> tuple[Statistics, Tokens]:
    numbers = run(load, Numbers(file), upto=upto)
    return run(total, numbers), run(longest, numbers, base=base)


def _read(numbers: Examples) -> list[str]:
    return (numbers.path / "numbers").read_text().split()
