"""What a search leaves behind: a table, the best, two pictures, and logs for TensorBoard."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from textmill.artifact import LOGS, write_json
from textmill.models.objective import Objective
from textmill.models.preset import Preset
from textmill.models.search import Attempt
from textmill.models.search_figures import draw_objective, draw_parallel_coordinates
from textmill.models.search_logs import write_logs

if TYPE_CHECKING:
    import keras_tuner


def write_report(
    folder: Path,
    attempts: Sequence[Attempt],
    hyperparameters: keras_tuner.HyperParameters,
    objective: Objective,
) -> None:
    """Writes all that `Tuned` holds.

    Args:
        folder: Where to.
        attempts: The trials in their order; one at least has a value.
        hyperparameters: The space.
        objective: What was made good.
    """
    # An entry may stand there twice, under two conditions.
    names = list(dict.fromkeys(each.name for each in hyperparameters.space))
    names += [n for a in attempts for n in a.values if n not in names][:1]  # Hyperband's epochs
    logarithmic = {e.name for e in hyperparameters.space if getattr(e, "sampling", "") == "log"}
    best = _best(attempts, objective)
    _write_best(folder, attempts[best], best + 1, objective)
    _write_table(folder / "trials.csv", attempts, names, objective)
    draw_objective(folder / "objective.png", attempts, objective)
    draw_parallel_coordinates(
        folder / "parallel_coordinates.png", attempts, names, objective, logarithmic=logarithmic
    )
    write_logs(folder / LOGS, attempts, hyperparameters, objective)
    with (folder / LOGS / "times.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["trial", "seconds"])
        writer.writerows((n, f"{a.seconds:.3f}") for n, a in enumerate(attempts, 1))


def _best(attempts: Sequence[Attempt], objective: Objective) -> int:
    found = [(objective.sign * a.value, -i) for i, a in enumerate(attempts) if a.value is not None]
    return -max(found)[1]


def _write_best(folder: Path, best: Attempt, number: int, objective: Objective) -> None:
    found: dict[str, Any] = {"parameters": best.values}
    if "preset" in best.values:
        found["preset_digest"] = Preset(best.values["preset"]).digest()
    found |= {"objective": objective.name, "direction": objective.direction, "value": best.value}
    found |= {"trial": number, "best_epoch": best.best_epoch}
    write_json(folder / "best.json", found)


def _write_table(
    file: Path, attempts: Sequence[Attempt], names: Sequence[str], objective: Objective
) -> None:
    ends = [objective.name, "direction", "best_epoch", "epochs", "reason"]
    columns = ["trial", "status", *names, *ends]
    with file.open("w", encoding="utf-8", newline="") as out:
        # By place, not by name: epochs may be a parameter and is a count, too.
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(columns)
        for number, attempt in enumerate(attempts, 1):
            values = [attempt.values.get(name, "") for name in names]
            score = "" if attempt.value is None else attempt.value
            epochs = len(attempt.result.history)
            result = [score, objective.direction, attempt.best_epoch or "", epochs]
            writer.writerow(
                [number, attempt.result.status, *values, *result, attempt.result.reason]
            )
