"""The processes in which trials run: one that has everything imported, and a fork of it for each.

A fork begins with TensorFlow in memory and ends with all that its trial took. Forking is safe only
while the process has one thread and has computed nothing; where that can't be seen or is not so,
the process runs one trial itself and ends.
"""

from __future__ import annotations

import importlib
import os
import sys
import threading
import time
from multiprocessing.connection import Connection
from multiprocessing.reduction import recv_handle
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from textmill.errors import UserError
from textmill.models.search_job import Figures, Job

# The parent sets it for this process: NumPy's linear algebra starts threads when it is imported.
ONE_THREAD = {"OPENBLAS_NUM_THREADS": "1"}
# What every trial needs. No device is touched by importing, so that a fork can have them.
MODULES = (
    "keras_hub",
    "safetensors.numpy",
    "sklearn.metrics",
    "textmill.models.checkpoint",
    "textmill.models.learners",
    "textmill.models.text_classification",
    "textmill.models.training",
)


def main(descriptor: int) -> None:
    """Runs trials until the search hangs up.

    Args:
        descriptor: Of a connection that gives Python's search path, and then a socket a trial, on
            which the trial gets its job and says how it goes; answers with a trial's exit code.
    """
    control = Connection(descriptor)
    try:
        sys.path[:] = control.recv()
        for name in MODULES:
            importlib.import_module(name)
        while True:
            connection = Connection(recv_handle(control))
            child = os.fork() if _may_fork() else 0
            if child == 0:
                control.close()
                _work(connection)
                os._exit(0)
            connection.close()
            _, status = os.waitpid(child, 0)
            control.send(os.waitstatus_to_exitcode(status))
    except (EOFError, OSError):
        return


def _may_fork() -> bool:
    threads = Path("/proc/self/task")
    return threads.is_dir() and len(list(threads.iterdir())) == 1


def _work(connection: Connection) -> None:
    """Runs one trial and sends what came of it."""
    try:
        job: Job = connection.recv()
        _log(job.folder)
        voice = _Voice(connection)
        try:
            if job.explore or job.hypermodel or job.tuner:
                from textmill.models import search_hypermodel

                run = search_hypermodel.explore if job.explore else search_hypermodel.run
                found: Any = run(job, voice.goes_on)
            else:
                found = _train(job, voice)
            connection.send(("done", found))
        except BaseException as error:
            connection.send(("failed", _in_words(error)))
    except (EOFError, OSError):  # the search is gone
        os._exit(1)


def _train(job: Job, voice: _Voice) -> dict[str, Any]:
    from textmill.models.learners import learner_of
    from textmill.models.training import Training
    from textmill.progress import listening

    with listening(voice, "trial"):
        training = Training(
            job.tokens,
            preset=job.point.preset,
            task=job.task,
            dropout=job.point.dropout,
            settings=job.point.settings,
            folder=job.folder,
            learner=learner_of(job.task),
        )
        began = time.monotonic()
        learned = training.run(voice.goes_on)
    seconds = time.monotonic() - began
    return {"history": learned.history, "facts": learned.facts, "seconds": seconds}


class _Voice:
    """How a trial speaks with the search; when the search is gone, the process ends at once."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._answers: SimpleQueue[bool] = SimpleQueue()
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        try:
            while True:
                self._answers.put(self._connection.recv())
        except (EOFError, OSError):
            os._exit(1)

    def goes_on(self, history: list[Figures]) -> bool:
        """Tells the history and returns whether to train on."""
        self._connection.send(("epoch", history))
        return self._answers.get()

    def advanced(self, step: str, done: float, total: float | None, note: str) -> None:
        """Passes on how far the training is."""
        self._connection.send(("advanced", (done, total, note)))

    def warned(self, step: str, text: str) -> None:
        """Passes on a warning."""
        self._connection.send(("warned", text))

    def started(self, step: str) -> None:
        """Says nothing."""

    def finished(self, step: str, status: str, seconds: float, note: str) -> None:
        """Says nothing."""


def _log(folder: Path) -> None:
    """Sends what libraries print, up to the last words of a crash, to a file."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "log.txt").open("ab", buffering=0) as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)


def _in_words(error: BaseException) -> str:
    if isinstance(error, UserError):
        return f"{error.what}: {error.received}"
    text = str(error).strip().partition("\n")[0][:300]
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
