"""What a search found, alone: so that a search that finds the same again retrains nothing."""

from __future__ import annotations

from textmill.artifact import Parameters, Tuned, read_json, write_json


def best(out: Parameters, tuned: Tuned) -> None:
    """Writes the best parameters of a search, without what else the search tells.

    Args:
        out: `parameters.json`, for `tokenize` and `train`.
        tuned: The search.
    """
    found = read_json(tuned.path / "best.json")
    # A preset is a name; its content belongs to what `train` depends on.
    kept = {key: found[key] for key in ("parameters", "preset_digest") if key in found}
    write_json(out.path / "parameters.json", kept)
