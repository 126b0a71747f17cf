"""Is this machine ready? Versions, devices, what is missing and the line that mends it."""

from __future__ import annotations

import os
import platform
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, metadata, requires, version
from pathlib import Path
from typing import Literal

from packaging.requirements import Requirement

FOR_DEVELOPERS = {"dev", "docs", "test"}  # extras that a user of Textmill does not need


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        name: What.
        status: "passed", "failed", or "skipped" for something optional that is not there.
        found: What was found.
        fix: The line that mends it, "" where nothing is wrong.
    """

    name: str
    status: Literal["passed", "failed", "skipped"]
    found: str
    fix: str = ""


def examine() -> list[Finding]:
    """Returns everything that was looked at, the program itself first."""
    return [
        Finding("textmill", "passed", version("textmill")),
        _python(),
        *_packages(),
        *_tensorflow(),
        _disk(),
    ]


def _python() -> Finding:
    found = f"{platform.python_version()} on {platform.system()} {platform.machine()}"
    if (3, 11) <= sys.version_info[:2] <= (3, 13):
        return Finding("python", "passed", found)
    return Finding("python", "failed", found, "use Python 3.11, 3.12 or 3.13")


def _packages() -> Iterator[Finding]:
    """Yields a row for each package that Textmill's own metadata asks for."""
    offered = set(metadata("textmill").get_all("Provides-Extra") or ()) - FOR_DEVELOPERS
    for text in requires("textmill") or ():
        need = Requirement(text)
        extra = ""
        if need.marker and not need.marker.evaluate({"extra": ""}):
            fitting = [e for e in sorted(offered) if need.marker.evaluate({"extra": e})]
            if not fitting:
                continue
            extra = fitting[0]
        wanted = f'"{need.name}{need.specifier}"'
        try:
            found = version(need.name)
        except PackageNotFoundError:
            if extra:
                fix = f'for {extra}: pip install "textmill[{extra}]"'
                yield Finding(need.name, "skipped", "not installed", fix)
            else:
                yield Finding(need.name, "failed", "not installed", f"pip install {wanted}")
            continue
        if need.specifier.contains(found, prereleases=True):
            yield Finding(need.name, "passed", found)
        else:
            yield Finding(need.name, "failed", found, f"pip install {wanted}")


def _tensorflow() -> Iterator[Finding]:
    from textmill.quiet import import_tensorflow

    try:
        import_tensorflow()
        import tensorflow as tf
    except ImportError as error:
        yield Finding(
            "import of tensorflow", "failed", str(error), 'pip install "tensorflow>=2.21,<2.22"'
        )
        return
    gpus = tf.config.list_physical_devices("GPU")
    tpus = tf.config.list_physical_devices("TPU")
    names = [tf.config.experimental.get_device_details(g).get("device_name", "GPU") for g in gpus]
    found = ", ".join([*names, *(f"TPU {i}" for i in range(len(tpus)))]) or "CPU only"
    if not gpus and Path("/proc/driver/nvidia/version").exists():
        fix = 'pip install "tensorflow[and-cuda]>=2.21,<2.22"'
        yield Finding("devices", "failed", "an NVIDIA driver, but TensorFlow sees no GPU", fix)
    else:
        cores = os.cpu_count()
        yield Finding("devices", "passed", f"{found}; {cores} cores")


def _disk() -> Finding:
    free = shutil.disk_usage(".").free / 2**30
    found = f"{free:.1f} GiB free here"
    if free >= 2:
        return Finding("disk", "passed", found)
    return Finding("disk", "failed", found, "free some space: a run keeps its artifacts")
