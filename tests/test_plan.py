"""A dry run: hit or miss, and why."""

from __future__ import annotations

from pathlib import Path

import pytest

import steps
from textmill.plan import DryRun, Planned
from textmill.run import Run


@pytest.fixture
def numbers(tmp_path: Path) -> Path:
    file = tmp_path / "numbers.txt"
    file.write_text("1 22 333 4444")
    return file


def plan(workspace: Path, file: Path, force: tuple[str, ...] = (), **values: int) -> list[Planned]:
    run = DryRun(workspace, force=force)
    steps.pipeline(run, file, **values)
    return run.steps


def test_nothing_is_written(tmp_path: Path, numbers: Path) -> None:
    planned = plan(tmp_path / "w", numbers)
    assert [(p.step, p.hit, p.reasons) for p in planned] == [
        ("load", False, ("never ran",)),
        ("total", False, ("never ran",)),
        ("longest", False, ("never ran",)),
    ]
    assert not (tmp_path / "w").exists()


def test_everything_hits_after_a_run(tmp_path: Path, numbers: Path) -> None:
    steps.pipeline(Run(tmp_path / "w"), numbers)
    assert all(p.hit and not p.reasons for p in plan(tmp_path / "w", numbers))


def test_reasons_name_what_changed(tmp_path: Path, numbers: Path) -> None:
    steps.pipeline(Run(tmp_path / "w"), numbers)
    load, total, longest = plan(tmp_path / "w", numbers, base=2)
    assert (load.hit, total.hit) == (True, True)
    assert longest.reasons == ("parameter base: 10 -> 2",)

    load, total, longest = plan(tmp_path / "w", numbers, upto=4)
    assert load.reasons == ("parameter upto: 3 -> 4",)
    assert total.reasons == ("input numbers would be made anew",)

    numbers.write_text("7")
    load, *_ = plan(tmp_path / "w", numbers)
    assert load.reasons == ("input source changed",)


def test_force_and_damage_are_reasons(tmp_path: Path, numbers: Path) -> None:
    _, longest = steps.pipeline(Run(tmp_path / "w"), numbers)
    (longest.path / "longest").unlink()
    load, _, damaged = plan(tmp_path / "w", numbers, force=("load",))
    assert load.reasons == ("forced",)
    assert damaged.reasons == ("input numbers would be made anew",)
    *_, damaged = plan(tmp_path / "w", numbers)
    assert damaged.reasons == ("longest is missing",)
