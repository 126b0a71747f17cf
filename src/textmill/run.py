"""Runs components: the only code that knows about caching, records and clocks."""

from __future__ import annotations

import dataclasses
import inspect
import os
import platform
import time
import typing
from collections.abc import Callable, Collection
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, Protocol, TypeVar

from textmill.artifact import RECORD, Artifact, content, digest_files, read_json, write_json
from textmill.errors import UserError
from textmill.fingerprint import Recipe, artifacts_in, recipe_of
from textmill.progress import Listener, Silent, listening
from textmill.quiet import import_tensorflow
from textmill.workspace import Workspace

if TYPE_CHECKING:
    from textmill.store import Store

A = TypeVar("A", bound=Artifact)
P = ParamSpec("P")


class Runner(Protocol):
    """What a pipeline calls its steps through: a `Run`, a `DryRun`, or a compiler for a cluster."""

    def __call__(
        self, component: Callable[Concatenate[A, P], None], *args: P.args, **kwargs: P.kwargs
    ) -> A:
        """Returns the artifact that `component(out, *args, **kwargs)` writes."""


class Run:
    """Calls components and keeps what they write under `workspace`.

    Args:
        workspace: Folder for artifacts and, by default, for lineage.
        lineage: SQLAlchemy URL of the lineage store, default `<workspace>/lineage.db`.
        force: Names of steps to run although nothing changed.
        listener: Hears of progress.

    Example:
        >>> import tempfile
        >>> def count(out: Artifact, *, upto: int) -> None:
        ...     _ = (out.path / "numbers").write_text(" ".join(map(str, range(upto))))
        >>> run = Run(Path(tempfile.mkdtemp()))
        >>> (run(count, upto=3).path / "numbers").read_text()
        '0 1 2'
    """

    def __init__(
        self,
        workspace: Path,
        *,
        lineage: str | None = None,
        force: Collection[str] = (),
        listener: Listener | None = None,
    ) -> None:
        self.workspace = Workspace(workspace)
        self.lineage = lineage or f"sqlite:///{workspace / 'lineage.db'}"
        self.force = frozenset(force)
        self.listener = listener or Silent()

    def __call__(
        self, component: Callable[Concatenate[A, P], None], *args: P.args, **kwargs: P.kwargs
    ) -> A:
        """Returns what `component` writes, from the cache if nothing it depends on changed.

        Raises:
            UserError: What the step was given is at fault, or the workspace can't be written.
        """
        step, kind = component.__name__, output_type(component)
        began = time.monotonic()
        self.listener.started(step)
        try:
            with listening(self.listener, step):
                recipe = recipe_of(component, *args, **kwargs)
                key = recipe.fingerprint()
                done = self.workspace.folder(step, key)
                self.workspace.sweep(step)
                # A second run of the same step waits here, and then finds it done.
                with self.workspace.locked(f"{step}-{key}"):
                    hit = step not in self.force and unusable(kind, done) is None
                    if not hit:
                        self._execute(component, kind, recipe, args, kwargs)
        except BaseException:
            self.listener.finished(step, "failed", time.monotonic() - began, "")
            raise
        status = "cached" if hit else "done"
        self.listener.finished(step, status, time.monotonic() - began, str(done))
        return kind(done, read_json(done / RECORD)["digest"])

    def _execute(
        self,
        component: Callable[..., None],
        kind: type[Artifact],
        recipe: Recipe,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> None:
        """Writes the artifact and its record, or leaves nothing."""
        from textmill.store import Store  # a cached run has no use for a database

        with self.workspace.locked("lineage"):
            store = Store(self.lineage)  # a database out of reach is told before hours of work
        step, key = component.__name__, recipe.fingerprint()
        clock = time.monotonic()
        record: dict[str, Any] = {
            "type": kind.__name__,
            "step": step,
            "fingerprint": key,
            "path": f"{step}/{key}",
            **dataclasses.asdict(recipe),
            "inputs": _inputs(component, recipe, self.workspace.path, args, kwargs),
            "environment": environment(),
            "started": datetime.now(UTC).isoformat(),
        }
        if "tensorflow" in recipe.packages:
            import_tensorflow()
        try:
            with self.workspace.draft(step, key) as draft:
                component(kind(draft), *args, **kwargs)
                files = content(draft)
                record["files"] = {name: file.stat().st_size for name, file in files.items()}
                record["digest"] = digest_files(files)
                record["seconds"] = round(time.monotonic() - clock, 3)
                write_json(draft / RECORD, record)
                # Recorded before the folder gets its name: a kill in between leaves a row without
                # a folder, which the next run repeats. The other order could leave an artifact
                # that lineage has never heard of.
                self._remember(store, record)
        except BaseException as error:
            record["seconds"] = round(time.monotonic() - clock, 3)
            self._remember(store, record, f"{type(error).__name__}: {error}")
            raise

    def _remember(self, store: Store, record: dict[str, Any], error: str | None = None) -> None:
        try:
            with self.workspace.locked("lineage"):
                store.record(record, self.workspace.path, error)
        except UserError as lost:
            # Hours of training are worth more than a row about them, and artifact.json has it.
            self.listener.warned(record["step"], f"not recorded: {lost.what}: {lost.received}")


def output_type(component: Callable[Concatenate[A, P], None]) -> type[A]:
    """Returns the type of artifact that a component fills: its first parameter's.

    Example:
        >>> from textmill.artifact import Statistics
        >>> def count(out: Statistics) -> None: ...
        >>> output_type(count).__name__
        'Statistics'
    """
    first = next(iter(inspect.signature(component).parameters), None)
    hint = typing.get_type_hints(component).get(first or "")
    if not (isinstance(hint, type) and issubclass(hint, Artifact)):
        raise TypeError(
            f"{component.__qualname__}: the first parameter of a component is the artifact to "
            f"fill, annotated with its type; found {first}: {hint}"
        )
    return typing.cast("type[A]", hint)


def unusable(kind: type[Artifact], done: Path) -> str | None:
    """Returns why the folder `done` can't be taken as the finished artifact, or None."""
    if not (done / RECORD).is_file():
        return "it never ran with these"
    return kind(done).damage()


def environment() -> dict[str, Any]:
    """Returns what lineage keeps about this machine: nothing that names a person or a host."""
    return {
        "textmill": version("textmill"),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.release()}",
        "processor": platform.machine(),
        "cores": os.cpu_count(),
    }


def _inputs(
    component: Callable[..., None],
    recipe: Recipe,
    workspace: Path,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> dict[str, dict[str, str]]:
    """Returns what lineage keeps about each input: its type, its digest, and where it is.

    An artifact's path is relative to the workspace, so that a workspace can move.
    """
    given = inspect.signature(component).bind(None, *args, **kwargs).arguments
    values: dict[str, Any] = {
        key: each
        for name, value in given.items()
        for key, each in (artifacts_in(name, value) or {name: value}).items()
    }
    found = {}
    for name, digest in recipe.inputs.items():
        value = values[name]
        place = (
            {"path": Path(os.path.relpath(value.path, workspace)).as_posix()}
            if isinstance(value, Artifact)
            else {"given": str(value)}
        )
        found[name] = {"type": type(value).__name__, "digest": digest, **place}
    return found
