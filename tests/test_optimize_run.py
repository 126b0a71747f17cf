"""`[optimize]` in a run: the candidates, the choice, the gate, and the cache."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from test_cli import textmill
from test_pipeline import make_project
from textmill.artifact import read_json
from textmill.errors import UserError
from textmill.pipelines.sections import Export, Optimize

STEPS = [
    *("ingest", "validate", "tokenize", "train", "evaluate"),
    *("export", "variant", "measure", "choose", "served", "check", "push"),
]
OPTIMIZE = """
[optimize]
candidates = ["pruned_vocabulary+bfloat16", "int8"]
max_loss = 0.5
rounds = 3
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = make_project(tmp_path_factory.mktemp("project"))
    file = folder / "textmill.toml"
    file.write_text(file.read_text() + OPTIMIZE)
    return folder


def test_a_dry_run_knows_the_steps(project: Path) -> None:
    said = textmill("run", "textmill.toml", "--dry-run", cwd=project)
    assert [line.split()[1].rstrip(":") for line in said.stdout.splitlines()] == STEPS
    assert "heavy: []" in said.stderr


def test_a_run_pushes_what_it_chose_and_then_has_it_all(project: Path) -> None:
    said = textmill("run", "textmill.toml", cwd=project)
    assert said.returncode == 0, said.stdout + said.stderr
    assert [line.partition(":")[0] for line in said.stdout.splitlines()[:-1]] == STEPS
    manifest = read_json(project / "models" / "1" / "assets.extra" / "manifest.json")
    (choice,) = (project / "runs" / "choose").glob("*/logs/optimize.json")
    decided = read_json(choice)
    assert manifest["variant"] == decided["chosen"]
    assert manifest["metrics"] == decided["candidates"][decided["chosen"]]["figures"]
    assert "skipped" in decided["candidates"]["int8"]
    assert not (project / "models" / "1" / "logs").exists()

    tree = json.loads(textmill("lineage", "models", "--json", cwd=project).stdout)
    names = ["candidates.float32", "candidates.pruned_vocabulary+bfloat16"]
    inputs = tree["inputs"]
    assert [name for name in sorted(inputs) if name.startswith("candidates")] == names
    assert {inputs[name]["made_by"]["step"] for name in names} == {"export", "variant"}

    again = textmill("run", "textmill.toml", cwd=project)
    assert all(": cached in " in line for line in again.stdout.splitlines()[:-1]), again.stdout
    assert "heavy: []" in again.stderr


DISTILL = ("--set", "distill.layers=1")


def steps_of(project: Path, candidates: str) -> list[str]:
    setting = f"optimize.candidates={candidates}"
    said = textmill("run", "textmill.toml", "--dry-run", *DISTILL, "--set", setting, cwd=project)
    assert said.returncode == 0, said.stderr
    return [line.split()[1].rstrip(":") for line in said.stdout.splitlines()]


def test_a_smaller_model_is_a_candidate_where_it_is_named(project: Path) -> None:
    before, after = STEPS[:5], STEPS[7:]
    distilled = [*before, "distill", "evaluate"]
    assert steps_of(project, '["distilled"]') == [*distilled, "export", "variant", *after]
    twice = '["distilled+bfloat16", "bfloat16 + distilled"]'
    assert steps_of(project, twice) == [*distilled, "export", "variant", *after]
    assert steps_of(project, "[]") == [*distilled, "export", *after]


@pytest.mark.slow
def test_a_smaller_model_is_measured_beside_its_teacher(project: Path) -> None:
    both = '["distilled", "distilled+pruned_vocabulary"]'
    settings = ("--set", f"optimize.candidates={both}", "--set", "push.to=students")
    gate = ("--set", 'gate={"teacher.accuracy" = "> 0.5"}')
    said = textmill("run", "textmill.toml", *DISTILL, *settings, *gate, cwd=project)
    assert said.returncode == 0, said.stdout + said.stderr
    manifest = read_json(project / "students" / "1" / "assets.extra" / "manifest.json")
    assert manifest["metrics"]["teacher"]["accuracy"] > 0.5
    tables = (project / "runs" / "choose").glob("*/logs/optimize.json")
    (found,) = [t for t in map(read_json, tables) if "distilled" in t["candidates"]]
    sizes = [found["candidates"][name]["bytes"] for name in ("float32", "distilled")]
    assert sizes[1] < sizes[0]


def test_a_gate_on_what_answers_do_not_tell_is_told_before_anything_runs() -> None:
    optimize = Optimize(candidates=())
    optimize.check(Export(), kind="one", gate=("loss",))
    optimize.check(Export(), kind="spans", gate=("f1_micro", "teacher.loss"))
    with pytest.raises(UserError, match=r"gate\.loss is not known"):
        optimize.check(Export(), kind="spans", gate=("loss",))


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ('optimize.candidates=["bfloat61"]', "did you mean bfloat16?"),
        ("optimize.max_lost=1", "did you mean max_loss?"),
        ("optimize.rounds=1", "optimize.rounds"),
        ("export.precision=bfloat16", "both say in what numbers"),
        ('optimize.candidates=["distilled"]', "needs a smaller model"),
    ],
)
def test_a_wrong_value_is_told_before_anything_runs(
    project: Path, setting: str, message: str
) -> None:
    said = textmill("run", "textmill.toml", "--set", setting, cwd=project)
    assert said.returncode == 2
    assert message in said.stderr
    assert "train" not in said.stdout
