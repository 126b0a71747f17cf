"""The command line, as a user runs it: in a process of its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from textmill.testing import tiny_reviews

HEAVY = ("tensorflow", "keras", "daft", "sklearn", "transformers", "sqlalchemy")


def textmill(*arguments: str | Path, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Runs the command; what it imported is the last line of standard error."""
    program = (
        "import atexit, sys\n"
        f"atexit.register(lambda: print('heavy:', [m for m in {HEAVY!r} if m in sys.modules],"
        " file=sys.stderr))\n"
        "from textmill.cli import main\nmain()"
    )
    command = [sys.executable, "-c", program, *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)


CONFIG = """
pipeline = "text_classification"
workspace = "runs"
[data]
source = "reviews.csv"
[model]
scratch = "tiny"
vocabulary_size = 300
max_length = 24
[push]
to = "models"
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder with a data file and a config, as a user has them."""
    tiny_reviews(tmp_path)
    (tmp_path / "textmill.toml").write_text(CONFIG)
    return tmp_path


def test_help_names_every_command_and_imports_nothing_heavy() -> None:
    said = textmill("--help")
    assert said.returncode == 0
    for command in ("run", "predict", "check", "deploy", "lineage", "doctor", "new"):
        assert command in said.stdout
    assert "heavy: []" in said.stderr


def test_dry_run_needs_nothing_heavy_and_writes_nothing(project: Path) -> None:
    said = textmill("run", "textmill.toml", "--dry-run", cwd=project)
    assert said.returncode == 0, said.stderr
    lines = said.stdout.splitlines()
    assert [line.split()[:2] for line in lines] == [
        ["miss", step]
        for step in (
            "ingest",
            "validate",
            "tokenize",
            "train",
            "evaluate",
            "export",
            "check",
            "push",
        )
    ]
    assert "heavy: []" in said.stderr
    assert not (project / "runs").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "nosuch.toml"], "nosuch.toml: no such config"),
        (["run", "textmill.toml", "--set", "train.epoch=1"], "did you mean epochs?"),
        (["run", "textmill.toml", "--set", "trian.epochs=1"], "did you mean train?"),
        (["run", "textmill.toml", "--set", "train.epochs=none"], "a valid integer"),
        (["run", "textmill.toml", "--set", "pipeline=text_clasification"], "text_classification"),
        (["run", "textmill.toml", "--force", "trian"], "did you mean --force train?"),
        (["run", "textmill.toml", "--set", "data.source=nosuch.csv"], "nosuch.csv"),
        (["run", "textmill.toml", "--set", "data.label=lable"], "label"),
        (["run", "textmill.toml", "--set", "model.preset=nosuch"], "preset"),
        (["run", "textmill.toml", "--set", "lineage=nothing"], "not the URL of a database"),
        (["predict", "models"], "nothing to predict"),
        (["predict", "nosuch", "text"], "nosuch"),
        (["check", "nosuch"], "nosuch"),
        (["check", ".", "--server", "1.15"], "not a release of TensorFlow Serving"),
        (["check", ".", "--latency", "50"], "'50' is not a latency"),
        (["check", ".", "--python", "nosuch"], "--python nosuch: no such interpreter"),
        (["run", "textmill.toml", "--set", "check.server=2.3.0"], "not a release of TensorFlow"),
        (["run", "textmill.toml", "--set", "check.memory=lots"], "check.memory"),
        (["export", "nosuch", "out", "--precision", "bfloat61"], "did you mean bfloat16?"),
        (["run", "textmill.toml", "--set", "export.precision=half"], "export.precision"),
        (["lineage", "nosuch"], "no lineage here"),
        (["new", "."], "textmill.toml"),
        (["new", "fresh", "nosuch.csv"], "nosuch.csv"),
        (["new", "empty"], "which data?"),
    ],
)
def test_mistake_is_one_message_and_exit_code_2(
    project: Path, arguments: list[str], message: str
) -> None:
    said = textmill(*arguments, cwd=project)
    assert said.returncode == 2, said.stdout + said.stderr
    assert message in said.stderr
    for part in ("error: ", "expected: ", "received: ", "fix: "):
        assert part in said.stderr
    assert "Traceback" not in said.stderr


def test_doctor_lists_versions_and_devices() -> None:
    said = textmill("doctor")
    assert said.returncode == 0, said.stdout
    for name in ("textmill", "python", "keras-hub", "tensorflow", "devices"):
        assert name in said.stdout
    assert "Traceback" not in said.stderr
