"""What Textmill offers to the tests of those who extend it."""

from __future__ import annotations

import csv
import itertools
from pathlib import Path

import pytest

import steps
from textmill.artifact import Examples, Tokens
from textmill.run import Run
from textmill.testing import check_component, tiny_reviews

counter = itertools.count()


def nothing(out: Examples) -> None:
    """Writes nothing."""


def undocumented(out: Examples, size: int = 3) -> None:
    (out.path / "x").write_text("x" * size)


def chance(out: Examples) -> None:
    """Writes something else each time."""
    (out.path / "x").write_text(str(next(counter)))


def meddle(out: Examples, numbers: Examples) -> None:
    """Changes what it reads."""
    (numbers.path / "numbers").write_text("0")
    (out.path / "x").write_text("x")


@pytest.fixture
def numbers(tmp_path: Path) -> Examples:
    file = tmp_path / "numbers.txt"
    file.write_text("1 22 333")
    return Run(tmp_path / "w")(steps.load, steps.Numbers(file))


@pytest.mark.parametrize(
    ("component", "problem"),
    [
        (nothing, "wrote nothing into out.path"),
        (undocumented, "no docstring"),
        (undocumented, "parameter size has a default: put it after a"),
        (chance, "two runs wrote different x"),
    ],
)
def test_problems_of_a_component_are_named(component: object, problem: str) -> None:
    with pytest.raises(AssertionError, match=problem):
        check_component(component)  # type: ignore[arg-type]


def test_component_that_changes_its_input_is_caught(numbers: Examples) -> None:
    with pytest.raises(AssertionError, match="it changed its input"):
        check_component(meddle, numbers)


def test_heavy_import_at_the_top_is_caught(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "heavy_step.py").write_text(
        "import sklearn.metrics\nfrom textmill.artifact import Examples\n"
        "def step(out: Examples) -> None:\n    'Writes.'\n    (out.path / 'x').write_text('')\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    import heavy_step

    with pytest.raises(AssertionError, match="imports sklearn at the top"):
        check_component(heavy_step.step)


def test_good_component_comes_back_with_its_artifact(numbers: Examples) -> None:
    def longest(out: Tokens, numbers: Examples, *, base: int) -> None:
        """Writes the longest."""
        steps.longest(out, numbers, base=base)

    made = check_component(longest, numbers, base=2)
    assert (made.path / "longest").read_text() == "6"


def test_tiny_reviews_are_balanced_and_distinct(tmp_path: Path) -> None:
    with tiny_reviews(tmp_path, rows=100).open() as file:
        rows = list(csv.DictReader(file))
    assert len({row["text"] for row in rows}) == 100
    assert sum(row["label"] == "pos" for row in rows) == 50
