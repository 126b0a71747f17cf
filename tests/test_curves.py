from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from textmill.models.curves import draw

HISTORY = [
    {"epoch": 1, "loss": 0.7, "accuracy": 0.5, "val_accuracy": 0.6, "val_loss": 0.6},
    {"epoch": 2, "loss": 0.4, "accuracy": 0.8, "val_accuracy": 0.7, "val_loss": 0.5},
]


def test_equal_histories_give_equal_bytes_and_others_do_not(tmp_path: Path) -> None:
    pictures = []
    for history in (HISTORY, HISTORY, [HISTORY[0], {**HISTORY[1], "val_loss": 0.6}]):
        draw(history, tmp_path / "curve.png")
        pictures.append((tmp_path / "curve.png").read_bytes())
    assert pictures[0] == pictures[1] != pictures[2]


@pytest.mark.parametrize("columns", [("loss",), ("loss", "accuracy"), tuple(HISTORY[0])])
def test_what_there_is_is_drawn(tmp_path: Path, columns: tuple[str, ...]) -> None:
    from matplotlib.image import imread

    rows = [{"epoch": r["epoch"], **{name: r[name] for name in columns}} for r in HISTORY]
    draw(rows, tmp_path / "curve.png")
    picture = imread(tmp_path / "curve.png")[..., :3]
    share = float(np.mean(picture.min(axis=2) < 0.9))
    assert 0.01 < share < 0.3  # lines and text, on white
