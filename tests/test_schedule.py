from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from textmill.models.schedule import learning_rate

DECAYS: list[Any] = ["linear", "cosine", "polynomial", "constant"]


def rates(decay: Any, warmup: float) -> list[float]:
    steps = np.linspace(0, 1, 101)
    return [learning_rate(p, peak=5e-5, warmup=warmup, decay=decay) for p in steps]


@pytest.mark.parametrize("warmup", [0.0, 0.3])
@pytest.mark.parametrize("decay", DECAYS)
def test_the_rate_falls_as_keras_own_schedules_do(decay: Any, warmup: float) -> None:
    import keras

    schedules = keras.optimizers.schedules
    total = 1000.0
    theirs = {
        "linear": schedules.PolynomialDecay(5e-5, total, end_learning_rate=0.0, power=1.0),
        "cosine": schedules.CosineDecay(5e-5, total),
        "polynomial": schedules.PolynomialDecay(5e-5, total, end_learning_rate=0.0, power=2.0),
        "constant": lambda step: 5e-5,
    }[decay]
    for share in (0.0, 0.2, 0.7, 1.0):
        ours = learning_rate(warmup + share * (1 - warmup), peak=5e-5, warmup=warmup, decay=decay)
        assert ours == pytest.approx(float(theirs(share * total)), abs=1e-11)


@pytest.mark.parametrize("decay", DECAYS)
def test_the_warmup_is_a_straight_line(decay: Any) -> None:
    ours = rates(decay, 0.3)[:31]
    np.testing.assert_allclose(ours, np.linspace(0, 5e-5, 31), atol=1e-11)


@pytest.mark.parametrize("decay", DECAYS)
def test_after_the_warmup_it_never_rises_nor_goes_below_zero(decay: Any) -> None:
    after = rates(decay, 0.3)[30:]
    assert all(a >= b >= 0 for a, b in pairwise(after))
    assert learning_rate(1.7, peak=1.0, warmup=0.1, decay="linear") == 0.0
