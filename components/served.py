"""How good the model is that is served, where it is not quite the one that was trained."""

from __future__ import annotations

from typing import Any

from textmill.artifact import Evaluation, Measured, Saved, write_json


def served(
    out: Evaluation, measured: Measured, saved: Saved, *, teacher: Evaluation | None = None
) -> None:
    """Writes the figures that the chosen candidate has on the test split, for the gate.

    Args:
        out: `metrics.json`, as `evaluate` writes it; of spans without a loss.
        measured: What `measure` found.
        saved: What `choose` wrote.
        teacher: Of the model that a smaller one was distilled from, as `evaluate` takes it.
    """
    name = saved.manifest()["variant"]
    figures: dict[str, Any] = measured.read()["candidates"][name]["figures"]
    if teacher:
        figures["teacher"] = teacher.figures()
    write_json(out.path / "metrics.json", figures)
