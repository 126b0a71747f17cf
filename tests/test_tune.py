from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

import searching
from test_cli import CONFIG, textmill
from textmill.artifact import RECORD, Examples, Tuned, digest_files, read_json
from textmill.components.best import best
from textmill.components.cleaning import UNTOUCHED, Cleaning
from textmill.components.ingest import ingest
from textmill.components.sample import sample
from textmill.components.sources.by_name import open_source
from textmill.components.tokenized import WritingTokens
from textmill.components.tune import tune
from textmill.errors import UserError
from textmill.models import (
    multi_label_classification,
    text_regression,
    token_classification,
)
from textmill.models.causal_learner import NextToken
from textmill.models.objective import Objective
from textmill.models.preset import Scratch
from textmill.models.search_space import read_space
from textmill.models.settings import Settings
from textmill.progress import Silent
from textmill.run import Run
from textmill.testing import check_component, tiny_reviews
from tiny_examples import SCRATCH, make_examples, review_examples

RATES = {"learning_rate": {"choice": [1e-3, 3e-3]}}
SETTINGS = Settings(epochs=1, batch_size=16)
# A program that searches, for tests that kill it.
PROGRAM = """
import json, sys
from pathlib import Path
sys.path[:0] = {tests!r}
from test_tune import examples_in, search
search(Path({folder!r}), examples_in(Path({folder!r})), **json.loads(sys.argv[1]))
"""


def examples_in(folder: Path) -> Examples:
    if not (folder / "made").exists():
        review_examples(folder / "made", 60)
    return Examples(folder / "made" / "examples", "made")


def search(folder: Path, examples: Examples, **given: Any) -> Tuned:
    space = read_space(given.pop("space", RATES), own_names=True)
    settings = given.pop("settings", SETTINGS)
    if isinstance(settings, dict):
        settings = Settings(**settings)
    run = Run(folder / "runs", listener=given.pop("listener", None))
    values = {"algorithm": "grid", "max_length": 24, **given}
    preset = values.pop("preset", SCRATCH)
    return run(tune, examples, preset=preset, space=space, settings=settings, **values)


def rows(tuned: Tuned) -> list[dict[str, str]]:
    with (tuned.path / "trials.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def trials(folder: Path) -> dict[str, float]:
    """Returns trial -> when it was made."""
    found = (folder / "runs" / "tune" / "trials" / "trial").glob(f"*/{RECORD}")
    whole = (file for file in found if "." not in file.parent.name)
    return {file.parent.name: file.stat().st_mtime for file in whole}


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace in which a grid of two trials was searched; tests only add to it."""
    folder = tmp_path_factory.mktemp("searched")
    search(folder, examples_in(folder))
    return folder


def test_search_says_what_is_best(searched: Path) -> None:
    tuned = search(searched, examples_in(searched))
    table = rows(tuned)
    assert [row["learning_rate"] for row in table] == ["0.001", "0.003"]
    assert [row["status"] for row in table] == ["completed"] * 2
    values = [float(row["val_accuracy"]) for row in table]
    assert tuned.best()["value"] == max(values)
    assert tuned.best()["parameters"] == {
        "learning_rate": float(table[values.index(max(values))]["learning_rate"])
    }
    parameters = Run(searched / "runs")(best, tuned)
    assert parameters.values() == tuned.best()["parameters"]


def test_a_trial_trains_as_train_does(searched: Path) -> None:
    from dataclasses import replace

    from textmill.components.tokenize import tokenize
    from textmill.components.train import train

    run = Run(searched / "runs")
    tokens = run(tokenize, examples_in(searched), preset=SCRATCH, max_length=24)
    settings = replace(SETTINGS, learning_rate=1e-3)
    model = run(train, tokens, preset=SCRATCH, settings=settings)
    with (model.path / "history.csv").open(encoding="utf-8") as file:
        (epoch,) = csv.DictReader(file)
    first = rows(search(searched, examples_in(searched)))[0]
    assert float(first["val_accuracy"]) == pytest.approx(float(epoch["val_accuracy"]), abs=0.1)


def test_a_wider_search_reuses_trials_and_knows_them(searched: Path) -> None:
    made = trials(searched)
    space = {"learning_rate": {"min": 5e-4, "max": 5e-3, "log": True}}
    tuned = search(searched, examples_in(searched), space=space, algorithm="bayesian", trials=1)
    assert len(rows(tuned)) == 3
    assert {float(row["learning_rate"]) for row in rows(tuned)[:2]} == {1e-3, 3e-3}
    now = trials(searched)
    assert len(now) == 3
    assert made.items() <= now.items()


@pytest.mark.slow
def test_trials_with_more_epochs_are_others(searched: Path) -> None:
    before = trials(searched)
    settings = Settings(epochs=2, batch_size=16)
    tuned = search(searched, examples_in(searched), settings=settings, trials=1)
    assert len(trials(searched)) == len(before) + 1
    assert rows(tuned)[0]["epochs"] == "2"


def test_mistakes_are_told_before_any_trial(searched: Path, tmp_path: Path) -> None:
    made = examples_in(searched)
    for match, given in (
        ("did you mean val_accuracy", {"objective": "val_acuracy"}),
        ("values that can be counted", {"space": {"learning_rate": {"min": 1e-5, "max": 1e-4}}}),
        (
            "deals out the epochs",
            {"space": {"epochs": {"min": 1, "max": 2}}, "algorithm": "hyperband"},
        ),
        ("tune.space is empty", {"space": {}}),
        ("can't be taken to the process", {"hypermodel": lambda hp, tokens: None}),
        (
            "does not tell whether less or more of 'val_width' is better",
            {"objective": "val_width", "tuner": searching.Formula},
        ),
        ("tune.direction is 'lowest'", {"direction": "lowest"}),
        ("makes one figure good", {"objective": ["val_loss", "val_accuracy"]}),
    ):
        with pytest.raises(UserError, match=match):
            search(tmp_path, made, **given)
    without = make_examples(tmp_path / "none", train=[("a", "x"), ("b", "y")])
    with pytest.raises(UserError, match="no validation rows"):
        search(tmp_path, Examples(without.path, "none"))
    assert not trials(tmp_path)


def test_failed_trials_are_recorded_and_not_tried_again(
    searched: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    space = {"learning_rate": {"choice": [1e-3, 3e-3, 8e-3]}}
    made = examples_in(searched)
    tuned = search(tmp_path, made, space=space, tuner=searching.Formula)
    assert [row["status"] for row in rows(tuned)] == ["completed", "failed", "failed"]
    assert rows(tuned)[1]["reason"] == "RuntimeError: too fast"
    assert rows(tuned)[2]["reason"].startswith("killed (SIGKILL)")
    assert tuned.best()["value"] == 1e-3
    # The one that was killed may get through another time; the other one would fail again.
    assert len(trials(tmp_path)) == 2


@pytest.mark.slow
@pytest.mark.parametrize(
    ("given", "best", "direction"),
    [
        ({"objective": "val_mae"}, 1e-4, "min"),
        ({"objective": "val_f1_score"}, 1e-3, "max"),
        ({"objective": Objective("val_width", "min")}, 1e-4, "min"),
    ],
)
def test_a_tuner_of_ones_own_is_judged_by_its_metric(
    searched: Path, given: dict[str, Any], best: float, direction: str
) -> None:
    """`Formula` says that its objective is the learning rate."""
    space = {"learning_rate": {"choice": [1e-3, 1e-4, 3e-4]}}
    tuned = search(searched, examples_in(searched), space=space, tuner=searching.Formula, **given)
    assert tuned.best()["parameters"] == {"learning_rate": best}
    assert tuned.best()["direction"] == direction
    assert {row["direction"] for row in rows(tuned)} == {direction}


@pytest.mark.slow
def test_when_all_fail_the_first_reason_is_told(searched: Path, tmp_path: Path) -> None:
    made = examples_in(searched)
    space = {"learning_rate": {"choice": [3e-3, 4e-3]}}
    with pytest.raises(UserError, match="none of 2 trials") as told:
        search(tmp_path, made, space=space, tuner=searching.Formula)
    assert told.value.received == "RuntimeError: too fast"


@pytest.mark.slow
def test_a_search_ends_with_its_time(
    searched: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "slow").touch()
    space = {"learning_rate": {"min": 1e-5, "max": 1e-3}}
    tuned = search(
        tmp_path,
        examples_in(searched),
        space=space,
        algorithm="random",
        trials=10_000,
        budget="8s",
        tuner=searching.Formula,
    )
    assert 1 <= len(rows(tuned)) < 200
    made = trials(tmp_path)
    # With more time, it begins with what it did.
    longer = search(
        tmp_path,
        examples_in(searched),
        space=space,
        algorithm="random",
        trials=len(made) + 1,
        budget="1h",
        tuner=searching.Formula,
    )
    assert rows(longer)[: len(made)] == rows(tuned)
    assert made.items() <= trials(tmp_path).items()
    assert len(trials(tmp_path)) == len(made) + 1


@pytest.mark.slow
def test_a_hypermodel_adds_to_the_space(searched: Path, tmp_path: Path) -> None:
    given = {
        "space": {"learning_rate": {"choice": [1e-2]}},
        "settings": Settings(epochs=3, batch_size=8),
        "hypermodel": searching.bag_of_words,
        "algorithm": "random",
        "trials": 4,
        "seed": 2,
    }
    tuned = search(tmp_path, examples_in(searched), **given)
    table = rows(tuned)
    assert {row["status"] for row in table} <= {"completed", "stopped"}
    assert {row["width"] for row in table} == {"8", "16"}
    assert all((row["hidden"] != "") == (row["width"] == "16") for row in table)
    assert set(tuned.best()["parameters"]) >= {"learning_rate", "width"}
    assert float(table[0]["val_accuracy"]) > 0
    again = search(tmp_path / "again", examples_in(searched), **given)
    assert again.digest == tuned.digest


@pytest.mark.slow
def test_a_hypermodel_is_given_its_own_inputs_by_name(searched: Path, tmp_path: Path) -> None:
    """Keras would give a model of a dictionary the first values of a larger one."""
    given = {
        "space": {"form": {"choice": ["dictionary", "list", "tensor", "wrong"]}},
        "settings": Settings(epochs=1),
        "hypermodel": searching.mean_token,
        "objective": "val_mean",
        "direction": "max",
        "algorithm": "grid",
        "trials": 4,
    }
    table = rows(search(tmp_path, examples_in(searched), **given))
    assert [row["val_mean"] for row in table[:3]] == ["2.0"] * 3  # [CLS], where a mask has 1
    assert table[3]["reason"].startswith("tune.hypermodel: its model has inputs")
    with pytest.raises(UserError, match="run_trial gives a model other inputs"):
        search(
            tmp_path / "plain",
            examples_in(searched),
            **{**given, "space": {"form": {"choice": ["dictionary"]}}, "trials": 1},
            tuner=searching.Plain,
        )


@pytest.mark.slow
def test_a_broken_hypermodel_is_told(searched: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="it makes no model") as told:
        search(tmp_path, examples_in(searched), hypermodel=searching.broken)
    assert told.value.received == "ValueError: no such layer"


@pytest.mark.slow
def test_a_keras_tuner_trains_in_processes_of_their_own(
    searched: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    tuned = search(tmp_path, examples_in(searched), tuner=searching.Twice)
    processes = (tmp_path / "trials.txt").read_text().split()
    assert len(set(processes)) == len(rows(tuned)) == 2
    assert (tmp_path / "search.txt").read_text() == str(os.getpid())
    assert str(os.getpid()) not in processes
    assert {row["status"] for row in rows(tuned)} == {"completed"}


def children(pid: int) -> list[int]:
    """Returns all processes that a process started, directly or not."""
    found = [int(p) for p in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return found + [grandchild for child in found for grandchild in children(child)]


def wait_until(condition: Any, seconds: float = 90) -> Any:
    for _ in range(int(seconds / 0.02)):
        found = condition()
        if found:
            return found
        time.sleep(0.02)
    raise AssertionError("waited in vain")


def started(folder: Path, **given: Any) -> subprocess.Popen[bytes]:
    tests = str(Path(__file__).parent)
    program = PROGRAM.format(tests=[tests], folder=str(folder))
    return subprocess.Popen([sys.executable, "-c", program, json.dumps(given)])


LONG = {
    "space": {"learning_rate": {"choice": [1e-3, 2e-3]}},
    "settings": {"epochs": 6, "batch_size": 4, "checkpoint_steps": 3, "deterministic": True},
}


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="looks for processes in /proc")
def test_a_killed_search_goes_on_inside_its_trial(tmp_path: Path) -> None:
    examples_in(tmp_path)
    process = started(tmp_path, **LONG)
    folder = tmp_path / "runs" / "tune" / "trials" / "trial"

    def second_trial_has_a_checkpoint() -> bool:
        assert process.poll() is None
        states = folder.glob("*.unfinished/step-*/state.json")
        begun = {state.parent.parent.name.partition(".")[0] for state in states}
        return len(trials(tmp_path)) == 1 and bool(begun - trials(tmp_path).keys())

    wait_until(second_trial_has_a_checkpoint)
    everyone = children(process.pid)
    assert len(everyone) == 2  # the one that forks, and the trial
    process.kill()
    process.wait()
    wait_until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in everyone), 10)

    made = trials(tmp_path)
    (unfinished,) = folder.glob("*.unfinished")
    # A kill between the new checkpoint and the removal of the old one leaves both.
    states = list(unfinished.glob("step-*/state.json"))
    assert max(read_json(state)["steps"] for state in states) > 0
    said: list[str] = []

    class Listener(Silent):
        def warned(self, step: str, text: str) -> None:
            said.append(f"{step}: {text}")

    tuned = search(tmp_path, examples_in(tmp_path), listener=Listener(), **LONG)
    assert any(line.startswith("tune: going on in epoch") for line in said)
    assert made.items() <= trials(tmp_path).items()
    undisturbed = search(tmp_path / "undisturbed", examples_in(tmp_path), **LONG)
    assert undisturbed.digest == tuned.digest


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="looks for processes in /proc")
def test_a_killed_trial_is_passed_over_and_finished_another_time(tmp_path: Path) -> None:
    examples_in(tmp_path)
    process = started(tmp_path, **LONG)
    folder = tmp_path / "runs" / "tune" / "trials" / "trial"
    wait_until(lambda: any(folder.glob("*.unfinished/step-*/state.json")))
    (nursery,) = (
        int(p) for p in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    )
    (trial,) = children(nursery)
    os.kill(trial, signal.SIGKILL)
    assert process.wait(120) == 0
    (file,) = (tmp_path / "runs" / "tune").glob("*/trials.csv")
    table = rows(Tuned(file.parent))
    assert [row["status"] for row in table] == ["failed", "completed"]
    assert "SIGKILL" in table[0]["reason"]


@pytest.mark.slow
def test_equal_seeds_find_the_same(searched: Path, tmp_path: Path) -> None:
    space = {
        "learning_rate": {"min": 1e-4, "max": 1e-2, "log": True},
        "max_length": {"choice": [8, 16]},
        "scratch": {"choice": ["tiny"]},
    }
    settings = Settings(epochs=1, batch_size=16, deterministic=True)
    given: dict[str, Any] = {"space": space, "settings": settings, "algorithm": "random"}
    found = [
        search(tmp_path / name, examples_in(searched), trials=2, **given)
        for name in ("once", "again")
    ]
    assert found[0].digest == found[1].digest
    assert len(rows(found[0])) == 2


def test_sample_keeps_a_row_of_each_label(tmp_path: Path) -> None:
    many = [(f"text {i}", "common") for i in range(50)]
    given = {
        "train": [*many, ("odd", "rare")],
        "validation": [("v", "rare")],
        "test": [("t", "rare")],
    }
    examples = make_examples(tmp_path / "all", **given)
    made = check_component(sample, Examples(examples.path, "all"), rows=5)
    kept = made.table("train")["mood"].to_pylist()
    assert len(kept) == 5
    assert kept.count("rare") == 1
    assert made.schema()["rows"] == {"train": 5, "validation": 1, "test": 0}
    assert made.table("test").num_rows == 0
    every = check_component(sample, Examples(examples.path, "all"), rows=500)
    assert every.table("train").equals(examples.table("train"))


def test_a_search_that_finds_the_same_retrains_nothing(tmp_path: Path) -> None:
    def tuned(name: str, **more: Any) -> Tuned:
        (tmp_path / name).mkdir()
        found = {"parameters": {"epochs": 2}, "value": 0.5, "objective": "val_loss", **more}
        (tmp_path / name / "best.json").write_text(json.dumps(found))
        return Tuned(tmp_path / name, digest_files({"best": tmp_path / name / "best.json"}))

    run = Run(tmp_path / "runs")
    first, second = run(best, tuned("a", trial=1)), run(best, tuned("b", trial=9))
    assert first.digest == second.digest
    assert first.path != second.path
    assert run(best, tuned("c", preset_digest="other")).digest != first.digest


@pytest.mark.slow
def test_a_config_searches_and_trains_with_what_it_found(tmp_path: Path) -> None:
    tiny_reviews(tmp_path, rows=120)
    (tmp_path / "mine.py").write_text(
        "import keras_tuner\n\n\nclass Mine(keras_tuner.Tuner):\n"
        "    def run_trial(self, trial, *args, **kwargs):\n"
        "        return trial.hyperparameters.get('max_length')\n"
    )
    section = (
        "[train]\nepochs = 1\n[tune]\nalgorithm = 'grid'\ntuner = 'mine.py:Mine'\n"
        "[tune.space]\nmax_length = {choice = [12, 16]}\nscratch = {choice = ['tiny']}\n"
        "batch_size = {choice = [8]}\n"
    )
    (tmp_path / "textmill.toml").write_text(CONFIG + section)
    said = textmill("run", "textmill.toml", "--dry-run", cwd=tmp_path)
    assert said.returncode == 0, said.stderr
    said = textmill("run", "textmill.toml", cwd=tmp_path)
    assert said.returncode == 0, said.stdout + said.stderr
    steps = [line.partition(":")[0] for line in said.stdout.splitlines() if ": done in" in line]
    assert steps[2:6] == ["tune", "best", "tokenize", "train"]
    (tuned,) = (tmp_path / "runs" / "tune").glob("*/best.json")
    assert read_json(tuned)["parameters"] == {"max_length": 16, "scratch": "tiny", "batch_size": 8}
    (task,) = (tmp_path / "runs" / "train").glob("*/textmill/task.json")
    assert read_json(task)["max_length"] == 16
    again = textmill("run", "textmill.toml", cwd=tmp_path)
    assert all(": cached in " in line for line in again.stdout.splitlines()[:-1]), again.stdout
    # A search that finds the same again trains nothing again.
    more = textmill("run", "textmill.toml", "--set", "tune.trials=7", cwd=tmp_path)
    states = {line.partition(":")[0]: line.split()[1] for line in more.stdout.splitlines()[:-1]}
    assert (states["tune"], states["train"]) == ("done", "cached")
    wrong = textmill("run", "textmill.toml", "--set", "tune.space.bach_size={choice=[8]}",
                     cwd=tmp_path)  # fmt: skip
    assert "did you mean batch_size" in wrong.stderr


@pytest.mark.parametrize(
    ("labels", "values", "figure"),
    [
        ("many", ["a|b", "a", "", "b"], "val_f1_micro"),
        pytest.param("number", ["1", "2", "3", "4"], "val_r2", marks=pytest.mark.slow),
        pytest.param(
            "spans", ['[[0, 4, "x"]]', "[]"], "val_f1_micro", marks=pytest.mark.slow
        ),
    ],
)  # fmt: skip
def test_each_task_is_searched_by_its_first_figure(
    tmp_path: Path, labels: Any, values: list[str], figure: str
) -> None:
    with (tmp_path / "rows.csv").open("w", encoding="utf-8", newline="") as file:
        lines = [[f"film {i} was fine", values[i % len(values)]] for i in range(60)]
        csv.writer(file).writerows([["text", "label"], *lines])
    source = open_source(str(tmp_path / "rows.csv"))
    cleaning = UNTOUCHED if labels == "spans" else Cleaning()
    examples = Run(tmp_path / "runs")(ingest, source, labels=labels, cleaning=cleaning)
    task = {
        "many": multi_label_classification, "number": text_regression, "spans": token_classification
    }[labels]  # fmt: skip
    tuned = search(tmp_path, examples, task=task, space={"learning_rate": {"choice": [1e-3]}})
    [row] = rows(tuned)
    assert row["status"] == "completed"
    assert tuned.best()["objective"] == figure
    assert tuned.best()["value"] == pytest.approx(float(row[figure]), rel=1e-3)


def test_a_model_that_writes_is_searched(tmp_path: Path) -> None:
    (tmp_path / "corpus.txt").write_text(
        "\n".join(f"film {i} was {i * i} minutes long" for i in range(60))
    )
    source = open_source(str(tmp_path / "corpus.txt"), documents="line")
    examples = Run(tmp_path / "runs")(ingest, source, label=None, cleaning=UNTOUCHED)
    given: dict[str, Any] = {"task": NextToken(), "tokenized": WritingTokens(conversations=False)}
    space = {"max_length": {"choice": [16, 24]}}
    start = Scratch("tiny", 400, lowercase=False, tokenizer="bpe")
    tuned = search(tmp_path, examples, space=space, preset=start, **given)
    found = rows(tuned)
    assert [row["max_length"] for row in found] == ["16", "24"]
    losses = [float(row["val_loss"]) for row in found]
    assert tuned.best()["objective"] == "val_loss"
    assert tuned.best()["value"] == pytest.approx(min(losses), rel=1e-3)
    with pytest.raises(UserError, match="for tasks with labels"):
        search(
            tmp_path,
            examples,
            space=space,
            preset=start,
            hypermodel=searching.bag_of_words,
            **given,
        )
