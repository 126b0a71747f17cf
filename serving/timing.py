"""How long models take that answer in turns, each in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

from textmill.serving import timed_session
from textmill.serving.fresh_process import SECONDS, one_line

Rows = list[dict[str, str]]

TURN = 150.0  # milliseconds that a model has the machine for itself, if a call is no longer
CALLS = 10  # in a turn at most
AT_ONCE = 32  # rows that are asked together where only the answers count
SIGNATURE = "serving_default"


class Broken(Exception):
    """A model did not load, or did not answer; the message says why in a line."""


class Side:
    """A SavedModel in a process of its own, through the V1 Session loader as a server has it.

    It is to be used as a context, or `close` to be called.

    Args:
        folder: The SavedModel.
        patience: Seconds that an answer may take; a process that takes longer is ended. Loading
            may take as long as `check` lets it.

    Attributes:
        load_seconds: How long it took to load.
        slowest: Seconds of the answer that took the longest until now.
        memory_bytes: The most that it took beside TensorFlow's own, known when it is closed; None:
            this system does not tell.

    Raises:
        Broken: It can't be loaded.
    """

    def __init__(self, folder: Path, *, patience: float = SECONDS) -> None:
        environment = os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": ""}
        self.folder = folder
        self.patience = patience
        self.slowest = 0.0
        self.memory_bytes: int | None = None
        self._process = subprocess.Popen(
            [sys.executable, "-m", timed_session.__name__, str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=environment,
        )
        try:
            with self._within(SECONDS):
                self.load_seconds: float = self._read()["load_seconds"]
        except BaseException:
            self._end()
            raise

    def answers(self, rows: Rows) -> dict[str, list[Any]]:
        """Returns the outputs of `serving_default` for rows, asked some at a time.

        Raises:
            Broken: It did not answer.
        """
        found: dict[str, list[Any]] = {}
        # Texts of about one length share a batch: rows are padded to the longest.
        order = sorted(range(len(rows)), key=lambda i: len(rows[i]["text"]))
        for first in range(0, len(order), AT_ONCE):
            batch = order[first : first + AT_ONCE]
            answer = self._ask({"rows": [rows[i] for i in batch]})["answer"]
            for name, values in answer.items():
                into = found.setdefault(name, [None] * len(rows))
                for i, value in zip(batch, values, strict=True):
                    into[i] = value
        return found

    def times(self, rows: Rows, calls: int) -> list[float]:
        """Returns the milliseconds of some calls with these rows.

        Raises:
            Broken: It did not answer.
        """
        asked = self._ask({"rows": rows, "calls": calls}, calls)
        times: list[float] = asked["milliseconds"]
        return times

    def close(self) -> None:
        """Ends the process, and takes down its memory."""
        assert self._process.stdin
        try:
            with self._within(SECONDS):
                self._process.stdin.close()
                self.memory_bytes = self._read().get("memory_bytes")
        except (OSError, Broken):
            pass  # it ended before, which was told then
        self._end()

    def __enter__(self) -> Side:
        """Returns itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Closes it."""
        self.close()

    def _ask(self, request: dict[str, Any], calls: int = 1) -> dict[str, Any]:
        assert self._process.stdin
        began = time.monotonic()
        with self._within(self.patience * calls):
            try:
                self._process.stdin.write(json.dumps({"signature": SIGNATURE} | request) + "\n")
                self._process.stdin.flush()
            except OSError:
                raise Broken(f"the process ended with code {self._process.wait()}") from None
            found = self._read()
        self.slowest = max(self.slowest, (time.monotonic() - began) / calls)
        return found

    @contextmanager
    def _within(self, seconds: float) -> Iterator[None]:
        """Ends the process if what is done with it takes longer."""
        late = threading.Event()

        def end() -> None:
            late.set()
            self._process.kill()

        timer = threading.Timer(seconds, end)
        timer.daemon = True
        timer.start()
        try:
            yield
        except Broken:
            if late.is_set():
                raise Broken(f"there was no answer in {seconds:.4g} s") from None
            raise
        finally:
            timer.cancel()

    def _read(self) -> dict[str, Any]:
        assert self._process.stdout
        line = self._process.stdout.readline()
        if not line.endswith("\n"):
            raise Broken(f"the process ended with code {self._process.wait()}")
        found: dict[str, Any] = json.loads(line)
        if "error" in found:
            raise Broken(one_line(found["error"], self.folder))
        return found

    def _end(self) -> None:
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe and not pipe.closed:
                pipe.close()


class Turns(NamedTuple):
    """What came of taking turns.

    Attributes:
        times: Of each side that answered to the end and each batch, milliseconds: a list for each
            round.
        lost: Why the others did not.
    """

    times: dict[str, dict[str, list[list[float]]]]
    lost: dict[str, str]


def take_turns(sides: Mapping[str, Side], batches: Mapping[str, Rows], rounds: int) -> Turns:
    """Returns how long sides take for batches.

    All sides answer a batch before the next one comes, in an order that changes, so that whatever
    else the machine does is in the times of all. Each batch is asked once before anything counts,
    for TensorFlow optimizes a graph when it first runs; as often as the first side then can in a
    turn, all are asked.

    A side that stops answering is asked no more.

    Raises:
        Broken: The first side did not answer.
    """
    names = list(sides)
    first = names[0]
    lost: dict[str, str] = {}

    def times_of(name: str, rows: Rows, calls: int) -> list[float]:
        try:
            return sides[name].times(rows, calls)
        except Broken as why:
            if name == first:
                raise
            lost[name] = str(why)
            names.remove(name)
            return []

    times: dict[str, dict[str, list[list[float]]]] = {
        name: {batch: [] for batch in batches} for name in names
    }
    calls = {}
    for batch, rows in batches.items():
        for name in [*names]:
            times_of(name, rows, 2)
        (once,) = times_of(first, rows, 1)
        calls[batch] = max(1, min(CALLS, int(TURN / once)))
    for turn in range(rounds):
        for batch, rows in batches.items():
            begin = turn % len(names)
            for name in names[begin:] + names[:begin]:
                times[name][batch].append(times_of(name, rows, calls[batch]))
    return Turns({name: times[name] for name in names}, lost)


def batches_of(rows: Sequence[dict[str, str]]) -> dict[str, Rows]:
    """Returns the batches that are timed: 1, 8 and 32 rows that are short, long, or of all lengths.

    Short ones are about as long as the shortest tenth of all, long ones as the longest.

    Example:
        >>> made = batches_of([{"text": "a" * n} for n in range(100)])
        >>> list(made)[:3], [len(row["text"]) for row in made["8 long"]]
        (['1 short', '1 long', '1 mixed'], [86, 87, 88, 89, 90, 91, 92, 93])
    """
    ordered = sorted(rows, key=lambda row: (sum(map(len, row.values())), *row.values()))
    found: dict[str, Rows] = {}
    for count in (1, 8, 32):
        for kind, middle in (("short", 0.1), ("long", 0.9)):
            begin = round(len(ordered) * middle) - count // 2
            begin = max(0, min(begin, len(ordered) - count))
            found[f"{count} {kind}"] = [ordered[(begin + i) % len(ordered)] for i in range(count)]
        spread = [ordered[(2 * i + 1) * len(ordered) // (2 * count)] for i in range(count)]
        found[f"{count} mixed"] = spread
    return found
