from __future__ import annotations

import contextlib
import csv
import itertools
import math
import re
import time
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from textmill.artifact import read_json
from textmill.config import build
from textmill.errors import UserError
from textmill.models.objective import Objective, objective_of
from textmill.models.preset import Preset, Scratch
from textmill.models.search import Algorithm, Attempt, Search
from textmill.models.search_code import find_code
from textmill.models.search_job import SPENT, Figures, Result
from textmill.models.search_point import Point
from textmill.models.search_report import write_report
from textmill.models.search_space import Space, read_space
from textmill.models.settings import Settings
from textmill.pipelines.sections import Tune

RATES = {"learning_rate": {"min": 1e-5, "max": 1e-3, "log": True}}


def near(values: dict[str, Any]) -> float:
    """The nearer the learning rate is to 1e-4, the better."""
    return 1 - abs(math.log10(values["learning_rate"]) + 4)


def curve(value: float, epochs: int = 1) -> Result:
    rows: list[Figures] = [
        {"epoch": epoch, "val_accuracy": value * epoch / epochs} for epoch in range(1, epochs + 1)
    ]
    return Result("completed", rows)


def search(
    space: Space, folder: Path, attempt: Any = None, *, algorithm: Algorithm = "random", **more: Any
) -> Search:
    values = {"trials": 6, "epochs": 1, "seed": 0, **more}
    objective = objective_of(values.pop("objective", "val_accuracy"), values.pop("direction", None))
    made = Search(
        space.hyperparameters(),
        attempt or (lambda values: curve(near(space.tidy(values)))),
        algorithm=algorithm,
        objective=objective,
        folder=folder,
        **values,
    )
    made.run()
    return made


def tried(made: Search) -> list[dict[str, Any]]:
    return [attempt.values for attempt in made.attempts]


def test_grid_is_the_cartesian_product(tmp_path: Path) -> None:
    space = read_space(
        {
            "epochs": {"min": 1, "max": 3},
            "dropout": {"min": 0.0, "max": 0.2, "step": 0.1},
            "decay": {"choice": ["linear", "cosine"]},
            "deterministic": {"boolean": True},
        }
    )
    made = search(space, tmp_path, lambda v: curve(0.5), algorithm="grid", trials=99)
    found = [tuple(space.tidy(values)[e.name] for e in space.entries) for values in tried(made)]
    product = itertools.product([1, 2, 3], [0.0, 0.1, 0.2], ["linear", "cosine"], [False, True])
    assert sorted(found) == sorted(product)


@pytest.mark.parametrize("algorithm", ["random", "bayesian", "grid", "hyperband"])
def test_a_condition_rules_when_an_entry_counts(algorithm: Algorithm, tmp_path: Path) -> None:
    space = read_space(
        {
            "warmup": {"choice": [0.1, 0.2], "when": {"decay": ["linear", "cosine"]}},
            "decay": {"choice": ["linear", "cosine", "constant"]},
            "weight_decay": {"choice": [0.0, 0.1], "when": {"warmup": 0.2}},
        }
    )
    made = search(
        space, tmp_path, lambda v: curve(0.5, 3), algorithm=algorithm, trials=30, epochs=3
    )
    for values in tried(made):
        assert ("warmup" in values) == (values["decay"] != "constant")
        assert ("weight_decay" in values) == (values.get("warmup") == 0.2)
    if algorithm != "hyperband":
        unique = {tuple(sorted(values.items())) for values in tried(made)}
        assert len(unique) == len(made.attempts) == 2 * (1 + 2) + 1


def test_values_are_of_the_kind_that_the_space_says(tmp_path: Path) -> None:
    space = read_space(
        {
            **RATES,
            "epochs": {"min": 1, "max": 4},
            "batch_size": {"min": 8, "max": 64, "step": 2, "log": True},
            "deterministic": {"choice": [True, False]},
            "preset": {"choice": ["a", "b"]},
            "clip_norm": {"choice": [1, 0.5]},
            "seed": {"choice": [7]},
        }
    )
    drawn = search(space, tmp_path, trials=20).attempts
    assert len(drawn) == 20
    for attempt in drawn:
        values = space.tidy(attempt.values)
        assert space.point(values) == values
        point = Point(Scratch("tiny")).changed(values)
        assert isinstance(point.preset, Preset)
        assert type(point.settings.deterministic) is bool
        assert point.settings.batch_size in (8, 16, 32, 64)
        assert point.settings.seed == 7
        assert len(repr(point.settings.learning_rate)) < 13


def test_bayesian_search_learns_from_what_it_saw(tmp_path: Path) -> None:
    space = read_space(RATES)
    made = search(space, tmp_path, algorithm="bayesian", trials=6)
    first, later = [near(v) for v in tried(made)[:3]], [near(v) for v in tried(made)[3:]]
    assert max(first) < 0.5
    assert max(later) > 0.95
    again = search(space, tmp_path, algorithm="bayesian", trials=4)
    assert tried(again) == tried(made)[:4]
    other = search(space, tmp_path, algorithm="bayesian", trials=1, seed=1)
    assert tried(other)[0] != tried(made)[0]


def test_bayesian_search_never_tries_the_same_twice(tmp_path: Path) -> None:
    space = read_space({"batch_size": {"choice": [8, 16, 32]}, "deterministic": {"boolean": True}})
    made = search(
        space, tmp_path, lambda v: curve(v["batch_size"] / 32), algorithm="bayesian", trials=20
    )
    assert len({tuple(values.items()) for values in tried(made)}) == len(made.attempts) == 6


def test_known_values_are_taken_in_beside_the_trials(tmp_path: Path) -> None:
    known = [{"learning_rate": rate} for rate in (1e-5, 1e-4, 1e-3)]
    made = search(read_space(RATES), tmp_path, algorithm="bayesian", trials=2, known=known)
    assert tried(made)[:3] == known
    assert len(made.attempts) == 5
    # Three points are enough for the Gaussian process: nothing is drawn at random any more.
    assert near(tried(made)[3]) > 0.5


def test_hyperband_deals_out_epochs_and_promotes_the_best(tmp_path: Path) -> None:
    def attempt(values: dict[str, Any]) -> Result:
        return curve(near(values), values["epochs"])

    made = search(
        read_space(RATES), tmp_path, attempt, algorithm="hyperband", trials=30, epochs=9, seed=1
    )
    epochs = [values["epochs"] for values in tried(made)]
    assert set(epochs) == {1, 3, 9}
    first = epochs.index(3)
    assert set(epochs[:first]) == {1}
    best = max(tried(made)[:first], key=near)
    assert {**best, "epochs": 3} in tried(made)
    assert {**best, "epochs": 9} in tried(made)


def test_loss_is_made_small(tmp_path: Path) -> None:
    def attempt(values: dict[str, Any]) -> Result:
        loss = values["batch_size"] / 10
        rows: list[Figures] = [{"epoch": e + 1, "val_loss": loss + e} for e in range(2)]
        return Result("completed", rows)

    space = read_space({"batch_size": {"choice": [8, 16, 32]}})
    made = search(space, tmp_path, attempt, algorithm="grid", objective="val_loss", epochs=2)
    best = made.best()
    assert best is not None
    assert (best.values, best.value, best.best_epoch) == ({"batch_size": 8}, 0.8, 1)


def history(*values: float) -> list[Figures]:
    return [{"epoch": i + 1, "val_accuracy": value} for i, value in enumerate(values)]


@pytest.mark.parametrize(
    ("finished", "so_far", "stops"),
    [
        # The largest gain after the first epoch was 0.1; twice that is allowed for.
        ([(0.7, 0.8, 0.75), (0.6, 0.65, 0.7)], (0.59,), True),
        ([(0.7, 0.8, 0.75), (0.6, 0.65, 0.7)], (0.61,), False),
        # After the second the best gain was 0.05.
        ([(0.7, 0.8, 0.75), (0.6, 0.65, 0.7)], (0.61, 0.69), True),
        ([(0.7, 0.8, 0.75), (0.6, 0.65, 0.7)], (0.71, 0.2), False),
        # One finished trial, or shorter ones, say too little.
        ([(0.7, 0.8, 0.75)], (0.1,), False),
        ([(0.7,), (0.8,)], (0.1,), False),
    ],
)
def test_a_trial_is_stopped_when_it_cannot_win(
    tmp_path: Path, finished: list[tuple[float, ...]], so_far: tuple[float, ...], stops: bool
) -> None:
    results = [Result("completed", history(*values)) for values in finished]
    space = read_space({"batch_size": {"choice": [8, 16, 32, 64]}})
    given = {"trials": len(results), "epochs": 3}
    made = search(space, tmp_path, lambda v: results.pop(0), algorithm="grid", **given)
    assert bool(made.verdict(history(*so_far))) == stops


def test_trials_end_when_the_time_is_over(tmp_path: Path) -> None:
    def attempt(values: dict[str, Any]) -> Result:
        time.sleep(0.05)
        reason = made[0].verdict(history(0.5))
        return Result("stopped" if reason else "completed", history(0.5), reason)

    made: list[Search] = []
    space = read_space(RATES).hyperparameters()
    made.append(
        Search(
            space, attempt, algorithm="random", objective=objective_of("val_accuracy"),
            trials=1000, epochs=2, seed=0, folder=tmp_path, budget=0.3,
        )
    )  # fmt: skip
    attempts = made[0].run()
    assert 1 <= len(attempts) <= 6
    assert attempts[-1].result.reason == SPENT
    assert made[0].best() is not None


def test_failed_trials_are_passed_over(tmp_path: Path) -> None:
    def attempt(values: dict[str, Any]) -> Result:
        size = values["batch_size"]
        if size == 16:
            return Result("completed", [{"epoch": 1, "val_accuracy": math.nan}])
        return Result("failed", [], "too large") if size > 16 else curve(0.5)

    space = read_space({"batch_size": {"choice": [64, 32, 16, 8]}})
    made = search(space, tmp_path, attempt, algorithm="grid")
    assert [a.result.status for a in made.attempts] == ["failed"] * 3 + ["completed"]
    assert made.attempts[2].result.reason == "val_accuracy is not a number"


def test_an_error_of_the_search_itself_ends_it(tmp_path: Path) -> None:
    full = UserError("disk full", expected="room", received="none", fix="free some")

    def attempt(values: dict[str, Any]) -> Result:
        raise full

    with pytest.raises(UserError, match="disk full"):
        search(read_space(RATES), tmp_path, attempt)


@pytest.mark.parametrize("algorithm", ["grid", "random", "bayesian", "hyperband"])
@pytest.mark.parametrize(
    ("objective", "direction", "best"),
    [
        ("val_mae", None, 1e-4),
        ("val_mean_squared_error_1", None, 1e-4),
        ("val_r2_score", None, 4e-4),  # for which KerasTuner by itself looks among the lowest
        ("val_f1_score_2", None, 4e-4),
        ("val_width", "min", 1e-4),
        ("val_width", "max", 4e-4),
        ("val_mae", "max", 4e-4),
    ],
)
def test_the_best_is_what_the_metric_says(
    objective: str, direction: Any, best: float, algorithm: Any, tmp_path: Path
) -> None:
    """Whatever proposes values, and in the report: the objective is the learning rate itself."""

    def attempt(values: dict[str, Any]) -> Result:
        epochs = range(1, values.get("epochs", 2) + 1)
        value = values["learning_rate"]
        return Result("completed", [{"epoch": epoch, objective: value} for epoch in epochs])

    space = read_space({"learning_rate": {"choice": [2e-4, 1e-4, 4e-4, 3e-4]}})
    more = {"trials": 8, "epochs": 2, "objective": objective, "direction": direction}
    made = search(space, tmp_path, attempt, algorithm=algorithm, **more)
    found = made.best()
    assert found is not None
    assert found.values["learning_rate"] == best
    (tmp_path / "report").mkdir()
    write_report(tmp_path / "report", made.attempts, space.hyperparameters(), made.objective)
    told = read_json(tmp_path / "report" / "best.json")
    assert (told["objective"], told["value"]) == (objective, best)
    assert told["direction"] == ("min" if best == 1e-4 else "max")


def test_hopeless_is_what_the_direction_says(tmp_path: Path) -> None:
    def attempt(values: dict[str, Any]) -> Result:
        rows = [{"epoch": e, "val_mae": values["learning_rate"] * 1e4 + 1 / e} for e in (1, 2)]
        return Result("completed", rows)

    space = read_space({"learning_rate": {"choice": [1e-4, 2e-4, 3e-4]}})
    made = search(space, tmp_path, attempt, algorithm="grid", objective="val_mae", epochs=2)
    assert made.hopeless([{"epoch": 1, "val_mae": 9.0}]) == "it could not have won"
    assert made.hopeless([{"epoch": 1, "val_mae": 1.9}]) == ""


def test_an_unknown_objective_is_told_after_the_first_epoch(tmp_path: Path) -> None:
    made = search(read_space(RATES), tmp_path, trials=1)
    made.objective = Objective("val_acuracy", "max")
    with pytest.raises(UserError, match="did you mean val_accuracy"):
        made.verdict(history(0.5))


@pytest.mark.parametrize(
    ("given", "match"),
    [
        ({"lerning_rate": {"min": 1, "max": 2}}, "did you mean learning_rate"),
        ({"epochs": {"min": 1, "mx": 2}}, "did you mean max"),
        ({"epochs": {"min": 1}}, "min and max"),
        ({"epochs": 3}, "a table"),
        ({"epochs": {"min": 2, "max": 2}}, "min below max"),
        ({"epochs": {"min": "1", "max": 2}}, "a number"),
        ({"epochs": {"min": 0, "max": 2}}, "greater than or equal to 1"),
        ({"epochs": {"min": 1.0, "max": 2.0}}, "valid integer"),
        ({"epochs": {"min": 1, "max": 4, "step": 0.5}}, "a whole number"),
        ({"dropout": {"min": 0.0, "max": 1.0}}, "less than 1"),
        ({"warmup": {"min": 0.0, "max": 0.5, "log": True}}, "a min above 0"),
        ({"warmup": {"min": 0.1, "max": 0.5, "log": 1}}, "true or false"),
        ({"batch_size": {"min": 8, "max": 64, "log": True, "step": 1}}, "a ratio above 1"),
        ({"decay": {"choice": []}}, "a list of values"),
        ({"decay": {"choice": ["linear", "cosin"]}}, "'linear', 'cosine'"),
        ({"batch_size": {"choice": [8, "16"]}}, "values of one kind"),
        ({"decay": {"choice": ["linear"], "step": 1}}, "step and log beside min and max"),
        ({"deterministic": {"boolean": False}}, "boolean = true"),
        ({"scratch": {"choice": ["tini"]}}, "did you mean 'tiny'"),
        ({"scratch": {"choice": ["tiny"]}, "preset": {"choice": ["a"]}}, "one of preset and"),
        ({"warmup": {"choice": [0.1], "when": {"decy": "linear"}}}, "when"),
        (
            {
                "warmup": {"choice": [0.1], "when": {"decy": "linear"}},
                "decay": {"choice": ["linear"]},
            },
            "did you mean decay",
        ),
        (
            {
                "warmup": {"choice": [0.1], "when": {"decay": "cosine"}},
                "decay": {"choice": ["linear"]},
            },
            "a value of decay",
        ),
        (
            {
                "warmup": {"choice": [0.1], "when": {"decay": "linear"}},
                "decay": {"choice": ["linear"], "when": {"warmup": 0.1}},
            },
            "without a circle",
        ),
    ],
)
def test_mistakes_in_a_space_are_told(given: dict[str, Any], match: str) -> None:
    with pytest.raises(UserError, match=match):
        read_space(given)


@settings(deadline=None)
@given(
    st.dictionaries(
        st.sampled_from(["epochs", "decay", "warmup", "preset", "seed", "epoch"]),
        st.recursive(
            st.none() | st.booleans() | st.integers(-3, 9) | st.floats() | st.text(max_size=3),
            lambda inner: (
                st.lists(inner, max_size=3)
                | st.dictionaries(
                    st.sampled_from(["min", "max", "choice", "step", "log", "when", "boolean"]),
                    inner,
                    max_size=4,
                )
            ),
            max_leaves=5,
        ),
    )
)
def test_whatever_is_written_is_a_space_or_told(written: dict[str, Any]) -> None:
    with contextlib.suppress(UserError):
        assert len(read_space(written).entries) == len(written)


def test_a_point_takes_the_values_of_its_keys_alone() -> None:
    point = Point(Preset("a"), 64, 0.2, Settings(epochs=4))
    changed = point.changed({"preset": "b", "max_length": 32, "epochs": 2, "units": 5})
    assert changed == Point(Preset("b"), 32, 0.2, Settings(epochs=2))
    assert point.changed(point.values()) == point
    grown = point.changed({"scratch": "tiny", "vocabulary_size": 300})
    assert grown.preset == Scratch("tiny", 300)
    assert grown.changed(grown.values()) == grown


def test_report_says_the_same_in_equal_bytes(tmp_path: Path) -> None:
    space = read_space(
        {
            **RATES,
            "decay": {"choice": ["linear", "cosine"]},
            "warmup": {"choice": [0.1, 0.2], "when": {"decay": "linear"}},
        }
    )
    made = search(space, tmp_path, trials=6)
    attempts = [
        *made.attempts,
        Attempt({"learning_rate": 1e-4, "decay": "cosine"}, Result("failed", [], "no"), None, 0, 1),
    ]
    folders = [tmp_path / name for name in ("once", "again")]
    for folder in folders:
        folder.mkdir()
        write_report(folder, attempts, space.hyperparameters(), objective_of("val_accuracy"))
    for name in ("best.json", "trials.csv", "objective.png", "parallel_coordinates.png"):
        assert (folders[0] / name).read_bytes() == (folders[1] / name).read_bytes()
    with (folders[0] / "trials.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["status"] for row in rows] == ["completed"] * 6 + ["failed"]
    assert rows[-1]["reason"] == "no"
    best = read_json(folders[0] / "best.json")
    top = max(rows[:-1], key=lambda row: float(row["val_accuracy"]))
    assert best["trial"] == int(top["trial"])
    assert best["value"] == float(top["val_accuracy"])
    assert {row["direction"] for row in rows} == {best["direction"]} == {"max"}
    assert {str(v) for v in best["parameters"].values()} <= set(top.values())


def test_tensorboard_reads_the_logs(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.plugin_event_multiplexer import EventMultiplexer
    from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

    space = read_space({**RATES, "decay": {"choice": ["linear", "cosine"]}})
    made = search(space, tmp_path / "search", lambda v: curve(0.5, 2), trials=3)
    (tmp_path / "report").mkdir()
    write_report(
        tmp_path / "report", made.attempts, space.hyperparameters(), objective_of("val_accuracy")
    )
    found = EventMultiplexer().AddRunsFromDirectory(str(tmp_path / "report" / "logs")).Reload()
    runs = found.Runs()
    assert set(runs) == {".", "trial-001", "trial-002", "trial-003"}
    tags = found.PluginRunToTagToContent("hparams")
    config = HParamsPluginData.FromString(tags["."]["_hparams_/experiment"]).experiment
    assert [info.name for info in config.hparam_infos] == ["learning_rate", "decay"]
    start = tags["trial-002"]["_hparams_/session_start_info"]
    session = HParamsPluginData.FromString(start).session_start_info
    expected = made.attempts[1].values["learning_rate"]
    assert session.hparams["learning_rate"].number_value == pytest.approx(expected)
    figures = found.Tensors("trial-002", "val_accuracy")
    assert [event.step for event in figures] == [1, 2]


def test_section_on_the_page_is_right() -> None:
    page = (Path(__file__).parents[1] / "docs" / "tuning.md").read_text("utf-8")
    (toml,) = re.findall(r"```toml\n(.*?)```", page, re.S)
    section = build(Tune, tomllib.loads(toml)["tune"], name="tuning.md")
    assert len(section.arguments()["space"].entries) == 6


def test_code_is_found_by_its_name(tmp_path: Path) -> None:
    (tmp_path / "my_models.py").write_text("def wide(hp, tokens): ...\n")
    assert find_code(f"{tmp_path}/my_models.py:wide", key="tune.hypermodel").__name__ == "wide"
    for name, match in (
        (f"{tmp_path}/my_models.py:wid", "did you mean wide"),
        (f"{tmp_path}/none.py:wide", "there is no file"),
        ("no_such_module_here:wide", "No module named"),
        ("wide", "no colon"),
    ):
        with pytest.raises(UserError, match=match):
            find_code(name, key="tune.hypermodel")
