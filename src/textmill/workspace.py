"""A folder of finished artifacts: locks, drafts, and the rename that makes a draft final."""

from __future__ import annotations

import errno
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from textmill.artifact import DRAFT, UNFINISHED, Artifact
from textmill.errors import UserError

KEEP_UNFINISHED = 30 * 24 * 3600.0  # seconds


class Workspace:
    """Artifacts under `path`, each in `<step>/<fingerprint>/`, whole or not there.

    Args:
        path: The folder; it is made at the first step.

    Example:
        >>> import tempfile
        >>> workspace = Workspace(Path(tempfile.mkdtemp()))
        >>> with workspace.draft("count", "ab12") as draft:
        ...     _ = (draft / "number").write_text("3")
        >>> (workspace.folder("count", "ab12") / "number").read_text()
        '3'
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def folder(self, step: str, key: str) -> Path:
        """Returns where the artifact of a step with this fingerprint belongs."""
        return self.path / step / key

    @contextmanager
    def locked(self, name: str) -> Iterator[None]:
        """Holds the lock `name`, which one process at a time can have; a killed one lets go.

        Raises:
            UserError: The workspace can't be written.
        """
        with self._lock(name):
            yield

    @contextmanager
    def draft(self, step: str, key: str) -> Iterator[Path]:
        """Gives a new folder to write to, and makes it the artifact if the block succeeds.

        The caller holds the artifact's lock. What the block writes is flushed to the disk before
        the rename, so that not even a power cut leaves half an artifact under its final name.

        Raises:
            UserError: The disk is full, or the workspace can't be written.
        """
        done = self.folder(step, key)
        draft = done.with_name(f"{key}{DRAFT}{os.getpid()}")
        with _explained(self.path):
            try:
                draft.mkdir(parents=True)
                yield draft
                flush(draft)
                if done.exists():  # forced, or damaged
                    shutil.rmtree(done)
                draft.rename(done)
                flush_folder(done.parent)
                shutil.rmtree(Artifact(draft).unfinished, ignore_errors=True)
            finally:
                shutil.rmtree(draft, ignore_errors=True)

    def sweep(self, step: str) -> None:
        """Removes what killed runs left: drafts, and unfinished work that nobody took up again.

        What a living run writes is locked, and stays.
        """
        old = time.time() - KEEP_UNFINISHED
        left = [f for f in (self.path / step).glob(f"*{UNFINISHED}") if f.stat().st_mtime < old]
        for draft in [*(self.path / step).glob(f"*{DRAFT}*"), *left]:
            key = draft.name.partition(".")[0]
            try:
                with self._lock(f"{step}-{key}", timeout=0):
                    shutil.rmtree(draft, ignore_errors=True)
            except Timeout:
                continue

    def _lock(self, name: str, timeout: float = -1) -> FileLock:
        locks = self.path / ".locks"
        with _explained(self.path):
            locks.mkdir(parents=True, exist_ok=True)
            lock = FileLock(locks / f"{name}.lock", timeout=timeout)
            (locks / f"{name}.lock").touch()
        return lock


def flush(folder: Path) -> None:
    """Waits until everything under `folder` is on the disk."""
    for path in [*folder.rglob("*"), folder]:
        if path.is_file():
            with path.open("rb") as file:
                os.fsync(file.fileno())
        elif path.is_dir():
            flush_folder(path)


def flush_folder(folder: Path) -> None:
    """Waits until the names in `folder` are on the disk."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    """Turns what a disk says into an error that a user can mend."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        if _disk_is_full(error):
            free = shutil.disk_usage(path).free
            raise UserError(
                f"workspace {path}: no space left on the disk",
                expected="room for the artifacts of this run",
                received=f"{free / 2**20:,.0f} MiB free",
                fix="free some space, or set workspace to a folder on another disk; "
                "finished steps are kept",
            ) from error
        if (
            isinstance(error, OSError)
            and error.errno
            in (
                errno.EACCES,
                errno.EPERM,
                errno.EROFS,
                errno.ENOTDIR,
                errno.EEXIST,
            )
            and str(error.filename or "").startswith(str(path))
        ):
            raise UserError(
                f"workspace {path}: cannot be written",
                expected="a folder that this user may write to",
                received=str(error),
                fix="set workspace to another folder, or mend its permissions",
            ) from error
        raise


def _disk_is_full(error: BaseException | None) -> bool:
    """Returns whether an error, or what caused it, says that the disk is full.

    Libraries wrap the system's error in types of their own; its text is what they share.
    """
    while error is not None:
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            return True
        if any(text in str(error) for text in ("No space left on device", "os error 28")):
            return True
        error = error.__cause__ or error.__context__
    return False
