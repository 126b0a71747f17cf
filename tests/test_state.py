from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from textmill.models import state
from textmill.models.state import State


class Variable:
    def __init__(self, value: Any) -> None:
        self.value = np.array(value)

    def numpy(self) -> Any:
        return self.value

    def assign(self, value: Any) -> None:
        self.value = value


def variables(*values: Any) -> Any:
    return [Variable(value) for value in values]


def test_what_is_saved_is_found_again_with_its_types(tmp_path: Path) -> None:
    kept = State(epoch=2, step=7, steps=99, history=[{"epoch": 1, "loss": 0.25}], best_epoch=0)
    values = (np.float32([[1, 2]]), np.int64(3), np.uint32([7, 8]))
    best = [np.float32([9.0])]
    state.save(tmp_path, kept, variables(*values), best)
    found = state.find(tmp_path)
    assert found == kept
    fresh = variables(0, 0, 0)
    again = state.restore(tmp_path, kept, fresh)
    for variable, value in zip(fresh, values, strict=True):
        assert variable.value.dtype == value.dtype
        assert variable.value.shape == value.shape
        np.testing.assert_array_equal(variable.value, value)
    np.testing.assert_array_equal(again[0], best[0])


def test_nothing_is_found_where_nothing_was_saved(tmp_path: Path) -> None:
    assert state.find(tmp_path / "never") is None
    (tmp_path / "step-4.draft").mkdir()  # a kill while it was written
    assert state.find(tmp_path) is None


def test_only_the_newest_step_and_the_best_epoch_take_room(tmp_path: Path) -> None:
    for steps, best_epoch in ((9, -1), (10, 0), (20, 0), (100, 1)):
        best = [np.float32([steps])] if best_epoch >= 0 else []
        state.save(tmp_path, State(steps=steps, best_epoch=best_epoch), variables(steps), best)
    assert sorted(f.name for f in tmp_path.iterdir()) == ["best-1", "step-100"]


def test_a_save_that_fails_leaves_the_one_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state.save(tmp_path, State(steps=1), variables(1), [])

    def full(*args: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("safetensors.numpy.save_file", full)
    with pytest.raises(OSError, match="No space"):
        state.save(tmp_path, State(steps=2), variables(2), [])
    assert state.find(tmp_path) == State(steps=1)
    assert [f.name for f in tmp_path.iterdir()] == ["step-1"]
