"""Where a training stands: saved every few minutes, and found again after a kill."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from textmill.workspace import flush, flush_folder

if TYPE_CHECKING:
    import keras
    import numpy as np
    import numpy.typing as npt

    Arrays = list[npt.NDArray[np.generic]]


@dataclass
class State:
    """All of a training but its weights.

    Attributes:
        epoch: Epochs that are over.
        step: Steps done in the epoch that is not.
        steps: Steps done in all.
        seconds: Time spent, over all attempts.
        loss: Sum of the losses of the rows that this epoch has seen.
        right: How many of them were predicted right; NaN where a task does not say.
        rows: How many they are.
        history: A row of figures for each epoch that is over.
        best_epoch: Epoch, from 0, with the best weights so far; -1: none yet.
        choices: What was chosen for this machine, so that a resumed training does not choose anew.
    """

    epoch: int = 0
    step: int = 0
    steps: int = 0
    seconds: float = 0.0
    loss: float = 0.0
    right: float = 0.0
    rows: int = 0
    history: list[dict[str, float]] = field(default_factory=list)
    best_epoch: int = -1
    choices: dict[str, Any] = field(default_factory=dict)


def save(folder: Path, state: State, variables: Sequence[keras.Variable], best: Arrays) -> None:
    """Keeps where a training stands in `folder`, whole or not at all; replaces what was there.

    Args:
        folder: Holds `step-<number>/` of the last save, and `best-<epoch>/`.
        state: Numbers.
        variables: Weights, optimizer's moments, and the states of random generators.
        best: The weights of the best epoch; [] while there is none.
    """
    if best:
        name = f"best-{state.best_epoch}"
        if not (folder / name).is_dir():
            _write(folder / name, best, {})
    kept = folder / f"step-{state.steps}"
    if kept.is_dir():  # saved a moment ago, when the epoch's last step was done
        shutil.rmtree(kept)
    _write(kept, [v.numpy() for v in variables], dataclasses.asdict(state))
    wanted = {kept.name, f"best-{state.best_epoch}"}
    for other in [*folder.glob("step-*"), *folder.glob("best-*")]:
        if other.name not in wanted:
            shutil.rmtree(other)


def find(folder: Path) -> State | None:
    """Returns where the last attempt stood, or None."""
    saves = [s for s in folder.glob("step-*") if s.name.removeprefix("step-").isdigit()]
    if not saves:
        return None
    newest = max(saves, key=lambda s: int(s.name.removeprefix("step-")))
    return State(**json.loads((newest / "state.json").read_text("utf-8")))


def restore(folder: Path, state: State, variables: Sequence[keras.Variable]) -> Arrays:
    """Puts the saved values into `variables`; returns the weights of the best epoch."""
    for variable, value in zip(variables, _read(folder / f"step-{state.steps}"), strict=True):
        variable.assign(value)
    return _read(folder / f"best-{state.best_epoch}") if state.best_epoch >= 0 else []


def _write(folder: Path, arrays: Arrays, numbers: dict[str, Any]) -> None:
    import numpy as np
    from safetensors.numpy import save_file

    draft = folder.with_name(folder.name + ".draft")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    try:
        named = {str(i): np.asarray(array, order="C") for i, array in enumerate(arrays)}
        save_file(named, draft / "variables.safetensors")
        (draft / "state.json").write_text(json.dumps(numbers), "utf-8")
        flush(draft)
        draft.rename(folder)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    flush_folder(folder.parent)


def _read(folder: Path) -> Arrays:
    from safetensors.numpy import load_file

    named = load_file(folder / "variables.safetensors")
    return [named[str(i)] for i in range(len(named))]
