from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from textmill.errors import UserError
from textmill.models import devices
from textmill.models.choices import choose
from textmill.models.settings import Settings


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ("fpu avx2 fma", False),
        ("fpu avx512f avx512_bf16", True),
        ("fpu amx_bf16 amx_tile", True),
        ("fp asimd bf16", True),
        ("fpu avx512_bf16_not", False),
    ],
)
def test_bfloat16_is_read_from_the_processors_flags(
    tmp_path: Path, flags: str, expected: bool
) -> None:
    (tmp_path / "cpuinfo").write_text(f"processor : 0\nflags : {flags}\n")
    assert devices.has_bfloat16(tmp_path / "cpuinfo") == expected
    assert not devices.has_bfloat16(tmp_path / "missing")


def test_one_device_needs_no_strategy() -> None:
    import tensorflow as tf

    for name in ("one", "auto", "mirrored"):
        found = devices.distribution(name)  # type: ignore[arg-type]
        assert found is tf.distribute.get_strategy(), name


def test_a_tpu_that_is_not_there_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match="no TPU answers"):
        devices.distribution("tpu")
    monkeypatch.setenv("TPU_NAME", "")
    with pytest.raises(UserError, match="no TPU answers"):
        devices.distribution("auto")


class Trials:
    """Stands in for steps of models: hears what is tried."""

    def __init__(self) -> None:
        self.tried: list[tuple[str, bool]] = []

    def __call__(self, precision: str, xla: bool) -> Any:
        self.tried.append((precision, xla))
        return lambda: None


@pytest.mark.parametrize(
    ("kind", "bfloat16", "settings", "tried"),
    [
        ("CPU", False, {}, []),
        ("CPU", True, {}, [("float32", False), ("mixed_bfloat16", False)]),
        ("CPU", True, {"deterministic": True}, []),
        ("CPU", True, {"precision": "mixed_bfloat16"}, []),
        ("GPU", False, {}, [("float32", False), ("float32", True)]),
        ("GPU", False, {"xla": "off"}, []),
        (
            "TPU",
            True,
            {},
            [
                ("float32", False),
                ("float32", True),
                ("mixed_bfloat16", False),
                ("mixed_bfloat16", True),
            ],
        ),
    ],
)
def test_only_what_the_hardware_has_is_tried(
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
    bfloat16: bool,
    settings: dict[str, Any],
    tried: list[tuple[str, bool]],
) -> None:
    monkeypatch.setattr(devices, "kind", lambda: kind)
    monkeypatch.setattr(devices, "has_bfloat16", lambda: bfloat16)
    trials = Trials()
    found, why = choose(Settings(**settings), trials)
    assert trials.tried == tried
    assert tried == [] or (found["precision"], found["xla"]) in tried
    assert settings.get("precision", found["precision"]) == found["precision"]
    assert bool(why) == (settings.get("precision") is None)


def test_the_quickest_is_taken_and_the_figures_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "kind", lambda: "CPU")
    monkeypatch.setattr(devices, "has_bfloat16", lambda: True)
    clock = iter([0.0, 0.9, 10.0, 10.3])  # 300 ms a step, then 100
    monkeypatch.setattr("time.perf_counter", lambda: next(clock))
    found, why = choose(Settings(), Trials())
    assert found == {"precision": "mixed_bfloat16", "xla": False}
    assert why == "mixed_bfloat16: float32 300 ms a step, mixed_bfloat16 100 ms a step"
