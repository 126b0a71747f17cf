"""Processes that answer in turns: one that hangs or dies is told, and the others go on."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from textmill.artifact import Saved
from textmill.components.export import export
from textmill.serving.timing import Broken, Side, take_turns
from tiny_examples import empty, trained

ROWS = [{"text": "a warm film"}, {"text": "dull"}]


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = empty(Saved, tmp_path_factory.mktemp("timing") / "saved")
    export(made, trained()[2])
    return made.path


@pytest.fixture
def sides(saved: Path) -> Iterator[dict[str, Side]]:
    with ExitStack() as stack:
        yield {name: stack.enter_context(Side(saved)) for name in ("first", "second")}


def send(side: Side, number: signal.Signals) -> None:
    os.kill(side._process.pid, number)


def test_one_that_hangs_is_ended_and_told(saved: Path) -> None:
    with Side(saved) as side:
        assert len(side.answers(ROWS)["label"]) == 2
        assert 0 < side.slowest < side.patience
        side.patience = 0.2
        send(side, signal.SIGSTOP)
        with pytest.raises(Broken, match=r"no answer in 0\.2 s"):
            side.answers(ROWS)
        with pytest.raises(Broken, match="the process ended with code -9"):
            side.answers(ROWS)


def test_one_that_hangs_takes_no_more_than_a_pipe_holds(saved: Path) -> None:
    with Side(saved, patience=0.2) as side:
        send(side, signal.SIGSTOP)
        with pytest.raises(Broken, match=r"no answer in 0\.2 s"):
            side.answers([{"text": "a" * 1_000_000}])


def test_one_that_does_not_load_in_time_is_told(
    saved: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("textmill.serving.timing.SECONDS", 0.01)
    with pytest.raises(Broken, match=r"no answer in 0\.01 s"):
        Side(saved)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_others_go_on_without_one_that_is_lost(
    sides: dict[str, Side], number: signal.Signals, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = dict.fromkeys(sides, 0)
    ask = Side.times

    def times(side: Side, rows: Any, calls: int) -> list[float]:
        (name,) = [name for name in sides if sides[name] is side]
        asked[name] += 1
        if name == "second" and asked[name] == 4:  # in the second turn
            side.patience = 0.2
            send(side, number)
        return ask(side, rows, calls)

    monkeypatch.setattr(Side, "times", times)
    monkeypatch.setattr("textmill.serving.timing.TURN", 1.0)
    found = take_turns(sides, {"both": ROWS, "one": ROWS[:1]}, rounds=3)
    assert list(found.times) == ["first"]
    assert {batch: len(rounds) for batch, rounds in found.times["first"].items()} == {
        "both": 3,
        "one": 3,
    }
    assert list(found.lost) == ["second"]
    assert ("code -9" if number == signal.SIGKILL else "no answer in") in found.lost["second"]


def test_nothing_is_compared_with_a_first_that_is_lost(sides: dict[str, Side]) -> None:
    send(sides["first"], signal.SIGKILL)
    with pytest.raises(Broken, match="code -9"):
        take_turns(sides, {"both": ROWS}, rounds=3)
