"""How good the model is that is served, where it is not quite the one that was trained."""

from __future__ import annotations

from textmill.artifact import Evaluation, Measured, Saved, write_json


def served(out: Evaluation, measured: Measured, saved: Saved) -> None:
    """Writes the figures that the chosen candidate has on the test split, for the gate.

    Args:
        out: `metrics.json`, as `evaluate` writes it, without metrics of one's own.
        measured: What `measure` found.
        saved: What `choose` wrote.
    """
    name = saved.manifest()["variant"]
    write_json(out.path / "metrics.json", measured.read()["candidates"][name]["figures"])
