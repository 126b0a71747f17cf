"""The search's side of the processes in which trials run."""

from __future__ import annotations

import contextlib
import importlib
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from multiprocessing.reduction import ForkingPickler, send_handle
from types import ModuleType
from typing import IO, Any

from textmill.errors import UserError
from textmill.models import search_worker
from textmill.models.search_job import Figures, Job, Result, Verdict
from textmill.progress import advance, warn


class Interrupted(Exception):
    """A trial that ended before its end, and may go on another time from where it stood.

    Attributes:
        result: What there is of it.
    """

    def __init__(self, result: Result) -> None:
        super().__init__(result.reason)
        self.result = result


class Nursery:
    """Gives each trial a process of its own, and memory back when it ends.

    Args:
        verdict: Why a trial with this history is to stop, or "".
        search: What tells this search from others; kept with the trials that it makes.

    Attributes:
        training_seconds: How long the last trial trained, without what led to it.
    """

    def __init__(self, verdict: Verdict, *, search: str = "") -> None:
        self.verdict, self.search = verdict, search
        self.training_seconds = 0.0
        self._process: subprocess.Popen[bytes] | None = None
        self._control: Connection | None = None
        self._said: IO[bytes] | None = None
        self._choices: dict[str, Any] = {}

    def digest(self) -> str:
        """Returns the same always: a trial that ends by itself gives the same in any process."""
        return "nursery"

    def __repr__(self) -> str:
        return "Nursery()"

    def __enter__(self) -> Nursery:
        self._launch()  # it imports TensorFlow while the search tokenizes
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Ends the processes."""
        if self._control is not None:
            self._control.close()
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        if self._said is not None:
            self._said.close()
        self._process = self._control = self._said = None

    def explore(self, job: Job) -> dict[str, Any]:
        """Returns the configuration of a space, with the entries that a hypermodel asks for added.

        Args:
            job: `values` is the configuration of the space.

        Raises:
            UserError: The hypermodel fails.
        """
        try:
            word, found = self._run(replace(job, explore=True), lambda history: "")
        except Interrupted as error:
            word, found = "failed", error.result.reason
        if word == "failed":
            raise UserError(
                "tune.hypermodel: it makes no model",
                expected="a function (hp, tokens) that returns a compiled Keras model",
                received=str(found),
                fix="call it with keras_tuner.HyperParameters() and mend what it says",
            )
        space: dict[str, Any] = found
        return space

    def run(self, job: Job) -> Result:
        """Runs a trial to its end, or until the verdict stops it.

        Raises:
            Interrupted: Its process was killed.
        """
        # What a short probe found to be quickest need not be probed again in every trial.
        settings = replace(job.point.settings, **self._choices)
        job = replace(job, point=replace(job.point, settings=settings))
        reason, history = "", list[Figures]()

        def verdict(now: list[Figures]) -> str:
            nonlocal reason, history
            reason, history = self.verdict(now), now
            return reason

        word, found = self._run(job, verdict)
        if word == "failed":
            return Result("failed", history, found)
        history, self.training_seconds = found["history"], found.get("seconds", 0.0)
        facts = found.get("facts", {})
        if "precision" in facts:
            xla = "on" if facts["xla"] else "off"
            self._choices = {"precision": facts["precision"], "xla": xla}
        if reason and len(history) < settings.epochs:
            return Result("stopped", history, reason)
        return Result("completed", history)

    def _run(self, job: Job, verdict: Verdict) -> tuple[str, Any]:
        """Returns the last word of a trial's process: "done" or "failed", and what."""
        history: list[Figures] = []
        with self._start() as connection:
            try:
                connection.send(job)
                while True:
                    word, said = connection.recv()
                    if word == "epoch":
                        history = said
                        connection.send(not verdict(said))
                    elif word == "advanced":
                        advance(*said)
                    elif word == "warned":
                        warn(said)
                    else:
                        break
            except (EOFError, ConnectionError):
                word, said = "died", None
        code = self._exit_code()
        if word == "died":
            raise Interrupted(Result("failed", history, _death(code, job)))
        return word, said

    @contextlib.contextmanager
    def _start(self) -> Iterator[Connection]:
        """Gives a connection to a new process, which waits for its job."""
        if self._process is None or self._process.poll() is not None:
            self.close()
            self._launch()
        assert self._control is not None
        assert self._process is not None
        ours, theirs = Pipe()
        try:
            send_handle(self._control, theirs.fileno(), self._process.pid)
        finally:
            theirs.close()
        with ours:
            yield ours

    def _launch(self) -> None:
        self._control, theirs = Pipe()
        name = search_worker.__name__
        self._said = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the process
        self._process = subprocess.Popen(
            [sys.executable, "-c", f"from {name} import main; main({theirs.fileno()})"],
            stdin=subprocess.DEVNULL,
            stdout=self._said,
            stderr=self._said,
            env={**os.environ, **search_worker.ONE_THREAD},
            pass_fds=[theirs.fileno()],
            start_new_session=True,  # Ctrl-C is for the search to answer
        )
        theirs.close()
        self._control.send(sys.path)

    def _exit_code(self) -> int:
        assert self._control is not None
        assert self._process is not None
        try:
            return int(self._control.recv())
        except (EOFError, ConnectionError):  # no fork: the trial had the process to itself
            return self._process.wait()


def check_portable(what: str, given: object) -> None:
    """Makes sure that another process can import a user's function, class or task.

    Raises:
        UserError: It can't.
    """
    if getattr(given, "__module__", None) != "__main__":
        try:
            ForkingPickler.dumps(given)
            return
        except Exception as error:  # pickle has many
            received = f"{type(error).__name__}: {error}".partition("\n")[0]
    else:
        received = "one that is defined in the program that runs"
    raise UserError(
        f"tune: {what} can't be taken to the process of a trial",
        expected="a function or a class at the top of a module that can be imported",
        received=received,
        fix="move it to a file of its own and import it from there",
    )


def _death(code: int, job: Job) -> str:
    """Returns why a process died, with the last line that it wrote."""
    log = job.folder / "log.txt"
    lines = log.read_text("utf-8", "replace").split("\n") if log.is_file() else []
    last = next((line.strip() for line in reversed(lines) if line.strip()), "")
    if code == -signal.SIGKILL:
        return "killed (SIGKILL), as the system does when memory runs out"
    if code < 0:
        return f"killed by {signal.Signals(-code).name}" + (f": {last}" if last else "")
    return f"its process ended with code {code}" + (f": {last}" if last else "")


def _by_name(module: ModuleType) -> tuple[Callable[..., Any], tuple[Any, ...]]:
    return importlib.import_module, (module.__name__,)


# A task may be a module, which pickle leaves out.
ForkingPickler.register(ModuleType, _by_name)
