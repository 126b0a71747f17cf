"""Check that a server can load a SavedModel and will answer as the trained model did."""

from __future__ import annotations

from dataclasses import asdict

from textmill.artifact import Blessing, Saved, write_json
from textmill.serving.contract import check_contract


def check(out: Blessing, saved: Saved) -> None:
    """Write a row per rule of the serving contract to `out`.

    A rule that fails is a row, not an error: `push` is what refuses the model.

    Args:
        out: Where `blessing.json` goes.
        saved: The model to check.
    """
    rows = [asdict(row) for row in check_contract(saved.path)]
    write_json(out.path / "blessing.json", rows)
