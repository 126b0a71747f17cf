"""What a benchmark says about where it ran."""

from __future__ import annotations

import os
import platform
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path


def describe() -> str:
    """Returns one line: date, processor, cores, Python and the libraries that matter."""
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        lines = cpuinfo.read_text().splitlines()
        model = next((x.partition(": ")[2] for x in lines if x.startswith("model name")), model)
    today = datetime.now(UTC).date().isoformat()
    facts = [today, model, f"{os.cpu_count()} cores", f"Python {platform.python_version()}"]
    facts += [f"{name} {version(name)}" for name in ("tensorflow", "keras", "keras-hub")]
    return ", ".join(facts)
