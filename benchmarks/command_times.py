"""How long do `textmill --help` and a fully cached `textmill run` take?

python benchmarks/command_times.py [REPEATS]

Beside each stands the time that Python itself takes to start, in the same rounds.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from machine import describe

from textmill.testing import tiny_reviews

CONFIG = """
pipeline = "text_classification"
workspace = "runs"
[data]
source = "reviews.csv"
[model]
scratch = "tiny"
vocabulary_size = 300
max_length = 24
[train]
epochs = 1
[push]
to = "models"
"""


def seconds(command: list[str], cwd: str) -> float:
    began = time.perf_counter()
    subprocess.run(command, cwd=cwd, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - began


def main(repeats: int = 9) -> None:
    textmill = str(Path(sys.executable).with_name("textmill"))
    commands = {
        "python -c pass": [sys.executable, "-c", "pass"],
        "textmill --help": [textmill, "--help"],
        "textmill run, all cached": [textmill, "run", "textmill.toml"],
    }
    with tempfile.TemporaryDirectory() as folder:
        tiny_reviews(Path(folder), rows=200)
        Path(folder, "textmill.toml").write_text(CONFIG)
        seconds([textmill, "run", "textmill.toml"], folder)
        times: dict[str, list[float]] = {name: [] for name in commands}
        for _ in range(repeats):
            for name, command in commands.items():
                times[name].append(seconds(command, folder))
    print(describe())
    print("\n| command | median | fastest |\n|---|---|---|")
    for name, taken in times.items():
        print(f"| `{name}` | {statistics.median(taken):.2f} s | {min(taken):.2f} s |")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
