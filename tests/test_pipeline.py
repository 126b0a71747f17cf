"""The whole pipeline from the command line: run, cache, kill, full disk."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from test_cli import CONFIG, textmill
from textmill.artifact import RECORD, read_json
from textmill.testing import tiny_reviews

STEPS = ("ingest", "validate", "tokenize", "train", "evaluate", "export", "check", "push")


def make_project(folder: Path, rows: int = 500) -> Path:
    folder.mkdir(exist_ok=True)
    tiny_reviews(folder, rows=rows)
    fast = "[train]\nepochs = 3\nlearning_rate = 0.003\ndeterministic = true\n"
    (folder / "textmill.toml").write_text(CONFIG + fast + '[gate]\naccuracy = ">= 0.9"\n')
    return folder


def digests(folder: Path) -> dict[str, str]:
    """Returns step -> digest of every artifact in the workspace."""
    records = [read_json(file) for file in (folder / "runs").glob(f"*/*/{RECORD}")]
    assert len(records) == len(STEPS)
    return {record["step"]: record["digest"] for record in records}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project whose pipeline has run once; tests change it only by adding to it."""
    folder = make_project(tmp_path_factory.mktemp("project"))
    said = textmill("run", "textmill.toml", cwd=folder)
    assert said.returncode == 0, said.stdout + said.stderr
    (folder / "said").write_text(said.stdout)
    return folder


def test_run_says_a_plain_line_a_step_and_the_pushed_path_last(project: Path) -> None:
    *steps, last = (project / "said").read_text().splitlines()
    assert [line.partition(":")[0] for line in steps] == list(STEPS)
    assert all(": done in " in line for line in steps)
    assert last.startswith("pushed models/1 in ")


def test_model_learned_and_serves_raw_text(project: Path) -> None:
    said = textmill(
        "predict",
        "models",
        "The plot of film 9 was wonderful.",
        "Once more the pace was dull.",
        cwd=project,
    )
    rows = [json.loads(line) for line in said.stdout.splitlines()]
    assert [row["label"] for row in rows] == ["pos", "neg"], said.stderr
    for row in rows:
        assert row["score"] == max(row["scores"].values())
        assert sum(row["scores"].values()) == pytest.approx(1, abs=1e-5)
    assert rows[0]["text"] == "The plot of film 9 was wonderful."


def test_predict_reads_lines_of_a_file(project: Path) -> None:
    (project / "texts.txt").write_text("warm and funny\n\ndull\n")
    said = textmill("predict", "models/1", "--file", "texts.txt", cwd=project)
    assert [json.loads(line)["text"] for line in said.stdout.splitlines()] == [
        "warm and funny",
        "",
        "dull",
    ]


def test_predict_takes_a_line_as_it_is_but_for_its_end(project: Path) -> None:
    # The mark is how Windows' Notepad begins UTF-8; CR, NEL, U+2028 alone are part of a text.
    lines = "warm and funny\r\nwarm and funny\n\r\na\rb\x85c\u2028d\r\r\nlast\r"
    texts = ["warm and funny", "warm and funny", "", "a\rb\x85c\u2028d\r", "last\r"]
    (project / "marked.txt").write_bytes(lines.encode("utf-8-sig"))
    said = textmill("predict", "models/1", "--file", "marked.txt", cwd=project)
    rows = [json.loads(line) for line in said.stdout.split("\n")[:-1]]
    assert [row["text"] for row in rows] == texts, said.stderr
    assert rows[0]["scores"] == pytest.approx(rows[1]["scores"], abs=1e-6)


def test_path_with_brackets_or_emoji_codes_is_printed_as_it_is(
    project: Path, tmp_path: Path
) -> None:
    folder, where = shutil.copytree(project, tmp_path / "copy"), "others/[v2]/:us:[/]"
    said = textmill("run", "textmill.toml", "--set", f'push.to="{where}"', cwd=folder)
    *_, push, last = said.stdout.splitlines()
    assert last.startswith(f"pushed {where}/1 in "), said.stderr
    assert push.startswith("push: done in ")


def test_check_passes_every_rule(project: Path) -> None:
    said = textmill("check", "models/1", "--json", cwd=project)
    assert said.returncode == 0, said.stdout
    rows = {row["rule"]: row["status"] for row in json.loads(said.stdout)}
    assert {rule for rule, status in rows.items() if status != "passed"} == {
        "loads elsewhere", "latency", "memory",
    }  # fmt: skip


def test_second_run_is_cached_and_imports_nothing_heavy(project: Path) -> None:
    said = textmill("run", "textmill.toml", cwd=project)
    *steps, last = said.stdout.splitlines()
    assert all(": cached in " in line for line in steps), said.stdout
    assert last.startswith("pushed models/1 in ")
    assert "heavy: []" in said.stderr
    said = textmill("run", "textmill.toml", "--dry-run", cwd=project)
    assert [line.split()[0] for line in said.stdout.splitlines()] == ["hit"] * len(STEPS)


def test_dry_run_names_the_changed_value(project: Path) -> None:
    said = textmill("run", "textmill.toml", "--dry-run", "--set", "train.epochs=4", cwd=project)
    lines = said.stdout.splitlines()
    assert [line.split()[0] for line in lines] == ["hit"] * 3 + ["miss"] * 5
    assert "parameter settings.epochs: 3 -> 4" in lines[3]


def test_lineage_leads_from_the_pushed_model_to_the_data(project: Path) -> None:
    said = textmill("lineage", "models/1", cwd=project)
    assert said.returncode == 0, said.stderr
    for part in ("Saved", "train(", "epochs=3", "reviews.csv", "keras-hub 0.", "as above"):
        assert part in said.stdout
    tree = json.loads(textmill("lineage", "models", "--json", cwd=project).stdout)
    assert tree["inputs"]["model"]["made_by"]["parameters"]["settings"]["epochs"] == 3
    (examples,) = (project / "runs" / "ingest").iterdir()
    # However long the parameters are, no line of a pipe is folded.
    assert any("train(" in line and line.endswith(")") for line in said.stdout.splitlines())
    said = textmill("lineage", examples, "--descendants", cwd=project)
    assert "Pushed" in said.stdout


def test_failed_gate_refuses_with_exit_code_1_and_pushes_nothing(project: Path) -> None:
    said = textmill("run", "textmill.toml", "--set", 'gate.accuracy="> 1"', cwd=project)
    assert said.returncode == 1, said.stdout
    assert "accuracy" in said.stderr
    assert "Traceback" not in said.stderr
    assert [d.name for d in (project / "models").iterdir() if not d.name.startswith(".")] == ["1"]


def test_module_form_is_the_same_command(project: Path) -> None:
    command = [sys.executable, "-m", "textmill.pipelines.text_classification", "textmill.toml"]
    said = subprocess.run(command, cwd=project, capture_output=True, text=True, check=False)
    assert said.returncode == 0, said.stderr
    assert said.stdout.splitlines()[-1].startswith("pushed models/1 in ")


def test_new_writes_a_config_that_runs_as_it_is(tmp_path: Path) -> None:
    tiny_reviews(tmp_path, rows=300)
    said = textmill("new", "fresh", "reviews.csv", cwd=tmp_path)
    assert said.returncode == 0, said.stderr
    said = textmill(
        "run", "fresh/textmill.toml", "--set", "model.scratch=tiny", "--set", "train.epochs=1",
        "--set", 'gate.accuracy="> 0"', cwd=tmp_path,
    )  # fmt: skip
    assert said.returncode == 0, said.stdout + said.stderr
    assert (tmp_path / "fresh" / "models" / "1" / "saved_model.pb").is_file()


@pytest.mark.slow
def test_run_killed_in_every_step_ends_like_an_undisturbed_one(
    project: Path, tmp_path: Path
) -> None:
    folder = make_project(tmp_path / "killed")
    command = [sys.executable, "-m", "textmill.cli", "run", "textmill.toml"]
    for step in STEPS:
        process = subprocess.Popen(
            command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        )
        while not list((folder / "runs").glob(f"{step}/*.draft-*")):
            assert process.poll() is None, f"{step} was over before it could be killed"
            time.sleep(0.0005)
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
        done = [s for s in STEPS if list((folder / "runs").glob(f"{s}/*/{RECORD}"))]
        assert done == list(STEPS[: STEPS.index(step)])
    said = textmill("run", "textmill.toml", cwd=folder)
    assert said.returncode == 0, said.stderr
    states = [line.split()[1] for line in said.stdout.splitlines()[:-1]]
    assert states == ["cached"] * 7 + ["done"]
    assert not list((folder / "runs").glob("*/*.draft-*"))
    assert [d.name for d in (folder / "models").iterdir() if not d.name.startswith(".")] == ["1"]
    assert digests(folder) == digests(project)


@pytest.mark.slow
def test_training_killed_inside_an_epoch_goes_on_to_the_same_model(
    project: Path, tmp_path: Path
) -> None:
    folder = make_project(tmp_path / "killed")
    often = ["--set", "train.checkpoint_steps=3"]
    process = subprocess.Popen(
        [sys.executable, "-m", "textmill.cli", "run", "textmill.toml", *often],
        cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
    )  # fmt: skip
    while not list((folder / "runs" / "train").glob("*.unfinished/step-[0-9]")):
        assert process.poll() is None, "it was over before it could be killed"
        time.sleep(0.0005)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    said = textmill("run", "textmill.toml", *often, cwd=folder)
    assert said.returncode == 0, said.stderr
    assert "train: warning: going on in epoch 1 after " in said.stdout
    assert not list((folder / "runs" / "train").glob("*.unfinished"))
    assert digests(folder) == digests(project)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 32 MiB of its own."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=32m", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("only root on Linux may mount a file system")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.mark.slow
@pytest.mark.parametrize("free_kib", [0, 2000, 4500])
def test_full_disk_is_told_and_leaves_nothing_half_written(small_disk: Path, free_kib: int) -> None:
    folder = make_project(small_disk / "project")
    filler = small_disk / "filler"
    filler.write_bytes(b"x" * (shutil.disk_usage(small_disk).free - free_kib * 1024))
    said = textmill("run", "textmill.toml", cwd=folder)
    assert said.returncode == 2, said.stdout + said.stderr
    assert "no space left on the disk" in said.stderr
    assert "Traceback" not in said.stderr
    assert not list((folder / "runs").glob("*/*.draft-*"))
    pushed = [d.name for d in (folder / "models").glob("[0-9]*")]
    assert pushed == []
    filler.unlink()
    said = textmill("run", "textmill.toml", cwd=folder)
    assert said.returncode == 0, said.stderr
    # What was finished before the disk was full is not done again.
    assert (": cached in " in said.stdout) == (free_kib > 0)
