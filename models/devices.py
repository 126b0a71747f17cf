"""What this machine computes with: its devices, and what they are quick at."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from textmill.errors import UserError

if TYPE_CHECKING:
    import tensorflow as tf

Strategy = Literal["auto", "one", "mirrored", "tpu"]
PROBE_STEPS = 3


def kind() -> Literal["CPU", "GPU", "TPU"]:
    """Returns the quickest kind of device here."""
    import tensorflow as tf

    if tf.config.list_logical_devices("TPU"):
        return "TPU"
    return "GPU" if tf.config.list_physical_devices("GPU") else "CPU"


def distribution(name: Strategy) -> tf.distribute.Strategy:
    """Returns how a training spreads over devices.

    Args:
        name: "one" device; "mirrored" on all GPUs of this machine, or all logical CPU devices where
            there is none; "tpu"; "auto": a TPU if TPU_NAME is set, else all GPUs, else one device.

    Raises:
        UserError: There is no TPU where one is asked for.
    """
    import tensorflow as tf

    # TPU_NAME is how a machine with TPUs says so; looking for one elsewhere waits for a network.
    if name == "tpu" or (name == "auto" and "TPU_NAME" in os.environ):
        try:
            resolver = tf.distribute.cluster_resolver.TPUClusterResolver.connect()
            return tf.distribute.TPUStrategy(resolver)
        except Exception as error:  # what it raises depends on which part of a TPU's setup lacks
            raise UserError(
                "train.strategy: no TPU answers",
                expected="a TPU that TensorFlow can reach",
                received=f"{type(error).__name__}: {error}".partition("\n")[0][:200],
                fix='set train.strategy = "one" or "mirrored", or set up the TPU',
            ) from error
    devices = tf.config.list_logical_devices("GPU")
    if name == "mirrored" and not devices:
        devices = tf.config.list_logical_devices("CPU")
    if name != "one" and len(devices) > 1:
        return _mirrored(tuple(device.name for device in devices))
    return tf.distribute.get_strategy()


@cache
def _mirrored(names: tuple[str, ...]) -> tf.distribute.Strategy:
    """Returns one strategy for all trainings of this process.

    Each numbers its sums over devices from the same number on, and TensorFlow remembers their
    shapes: a second one would be refused where its model has other shapes, as a student's has.
    """
    import tensorflow as tf

    return tf.distribute.MirroredStrategy(list(names))


def has_bfloat16(cpuinfo: Path = Path("/proc/cpuinfo")) -> bool:
    """Returns whether the device computes matrix products of bfloat16 in hardware."""
    import tensorflow as tf

    if kind() == "TPU":
        return True
    gpus = tf.config.list_physical_devices("GPU")
    if gpus:
        details = tf.config.experimental.get_device_details(gpus[0])
        return tuple(details.get("compute_capability", (0, 0))) >= (8, 0)  # Ampere
    flags = cpuinfo.read_text().split() if cpuinfo.is_file() else []
    return not {"avx512_bf16", "amx_bf16", "bf16"}.isdisjoint(flags)


def quickest(candidates: Mapping[str, Callable[[], object]]) -> tuple[str, str]:
    """Runs each candidate some steps and returns the quickest one's name, and the figures in words.

    The first step of each is not counted: it traces and compiles.

    Example:
        >>> quickest({"sleepy": lambda: time.sleep(0.02), "awake": lambda: None})[0]
        'awake'
    """
    times: dict[str, float] = {}
    for name, step in candidates.items():
        step()
        began = time.perf_counter()
        for _ in range(PROBE_STEPS):
            step()
        times[name] = (time.perf_counter() - began) / PROBE_STEPS
    found = min(times, key=times.__getitem__)
    return found, ", ".join(f"{name} {1000 * spent:.0f} ms a step" for name, spent in times.items())
