"""Check that a server can load a SavedModel and will answer as the trained model did."""

from __future__ import annotations

from dataclasses import asdict

from textmill.artifact import LOGS, Blessing, Saved, write_json
from textmill.serving.budget import Budget
from textmill.serving.contract import check_contract


def check(
    out: Blessing, saved: Saved, *, server: str | None = None, budget: Budget = Budget()
) -> None:
    """Write a row per rule of the serving contract to `out`.

    A rule that fails is a row, not an error: `push` is what refuses the model.

    Args:
        out: Where `blessing.json` goes, and `logs/measured.json`: time and memory that it took.
        saved: The model to check.
        server: The release of TensorFlow Serving that it is for, "2.14"; None: any since 2.12.
        budget: How long an answer may take, and how much memory.

    Raises:
        UserError: If there is no such release.
    """
    found = check_contract(saved.path, server=server, budget=budget)
    write_json(out.path / "blessing.json", [asdict(row) for row in found.rows])
    write_json(out.path / LOGS / "measured.json", found.measured)
