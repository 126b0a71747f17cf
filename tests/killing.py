"""Trainings that are killed, and end with the bits of one that was not."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from textmill.artifact import Artifact, Model

# Of the folder that outlives a killed training: whether it is time to kill.
Time = Callable[[Path], bool]

SCRIPT = """
import sys
from pathlib import Path
from textmill.artifact import Model, Pretrained, Tokens
from textmill.components.{component} import {component}
from textmill.models import token_classification
from textmill.models.distillation import Lesson
from textmill.models.preset import Scratch
from textmill.models.settings import Settings
from textmill.progress import listening
class Heard:
    def advanced(self, step, done, total, note): pass
    def warned(self, step, text): print("warned", text, flush=True)
out = {kind}(Path(sys.argv[1]))
out.path.mkdir(parents=True, exist_ok=True)
with listening(Heard(), "training"):
    {component}(out, {arguments}, settings=Settings(**{settings!r}))
"""


def steps(count: int) -> Time:
    """Returns whether a checkpoint is there of so many steps or more."""

    def found(kept_in: Path) -> bool:
        kept = [s.name.removeprefix("step-") for s in kept_in.glob("step-*")]
        return any(int(name) >= count for name in kept if not name.endswith(".draft"))

    return found


def kill(command: list[str], kept_in: Path, when: Time, **options: Any) -> None:
    """Starts a training and kills it."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, **options)
    while not when(kept_in):
        assert process.poll() is None, "it was over before it could be killed"
        time.sleep(0.0002)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()


def ends_with_the_same_bits(
    folder: Path,
    component: str,
    arguments: str,
    *,
    kind: type[Artifact] = Model,
    kills: Sequence[Time] = (steps(4),),
    files: Sequence[str] = ("model.weights.h5", "history.csv"),
    **settings: Any,
) -> None:
    """Trains once undisturbed and once killed, in processes of their own, and compares files.

    Args:
        folder: For both.
        component: The module of the component, and its name.
        arguments: Its own, as Python; what it makes and the settings are given to it.
        kind: What it makes.
        kills: When it is killed, one after the other.
        files: That must be the same.
        settings: How it is trained, beside what a repetition takes.
    """
    how = {**settings, "deterministic": True, "checkpoint_steps": 2}
    script = SCRIPT.format(
        component=component, kind=kind.__name__, arguments=arguments, settings=how
    )

    def command(name: str) -> list[str]:
        return [sys.executable, "-c", script, str(folder / name)]

    subprocess.run(command("whole"), check=True, capture_output=True)
    for when in kills:
        kill(command("killed"), kind(folder / "killed").unfinished, when)
    said = subprocess.run(command("killed"), check=True, capture_output=True, text=True)
    assert "warned going on in epoch" in said.stdout
    for name in files:
        whole, killed = (folder / each / name for each in ("whole", "killed"))
        assert whole.read_bytes() == killed.read_bytes()
