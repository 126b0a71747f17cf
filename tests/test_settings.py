from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from textmill.models.settings import Settings, seconds


@pytest.mark.parametrize(
    ("text", "expected"), [("90s", 90), ("20m", 1200), ("1h30m", 5400), ("2h1s", 7201)]
)
def test_a_duration_is_hours_minutes_and_seconds(text: str, expected: float) -> None:
    assert seconds(Settings(budget=text).budget or "") == expected


@pytest.mark.parametrize("text", ["", "20", "m", "20 m", "1.5h", "30m1h", "20min"])
def test_anything_else_is_no_duration(text: str) -> None:
    with pytest.raises(ValidationError):
        Settings(budget=text)


@pytest.mark.parametrize(
    "wrong",
    [
        {"epochs": 0},
        {"learning_rate": 0.0},
        {"warmup": 1.0},
        {"clip_norm": -1.0},
        {"decay": "step"},
        {"precision": "float16"},
        {"epoch": 3},
        {"deterministic": True, "budget": "5m"},
    ],
)
def test_limits_are_kept(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Settings(**wrong)
