"""Choose what is served among candidates that were measured."""

from __future__ import annotations

import html
import shutil
from collections.abc import Mapping

from textmill.artifact import LOGS, Measured, Saved, content, write_json
from textmill.components.choice import choose_among, markdown, table
from textmill.progress import advance

MANIFEST = "assets.extra/manifest.json"
PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>Candidates for serving</title>
<style>
body {{font: 15px/1.5 system-ui, sans-serif; margin: 2rem}}
td, th {{padding: .2rem .8rem; text-align: left; border-bottom: 1px solid #ccc}}
</style>
<h1>Candidates for serving</h1>
<table>
{rows}
</table>
<p>Times are p50 / p95 of a batch: how many texts, and of what lengths.
Changed: predictions that differ from float32's; + are right now, − were.</p>
</html>
"""


def choose(
    out: Saved, measured: Measured, candidates: Mapping[str, Saved], *, max_loss: float = 0.005
) -> None:
    """Write the fastest candidate that is good enough to `out`; see `choice.choose_among`.

    Args:
        out: The SavedModel as it was exported, with its name as `variant` in the manifest. What was
            measured and decided is in `logs/optimize.json`, and as a table in `logs/optimize.md`
            and `logs/optimize.html`; it holds times, so it is no part of the model.
        measured: What `measure` found.
        candidates: What it measured.
        max_loss: By how much the main figure may be below that of float32.
    """
    found = measured.read()
    choice = choose_among(found, max_loss)
    saved = candidates[choice.chosen]
    for name, file in content(saved.path).items():
        to = out.path / name
        to.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, to)
    write_json(out.path / MANIFEST, saved.manifest() | {"variant": choice.chosen})
    rows = table(found, choice)
    logs = out.path / LOGS
    write_json(logs / "optimize.json", {**choice._asdict(), "max_loss": max_loss, **found})
    (logs / "optimize.md").write_text(markdown(rows) + "\n", "utf-8")
    (logs / "optimize.html").write_text(PAGE.format(rows=_rows(rows)), "utf-8")
    advance(1, 1, f"{choice.chosen} is {choice.verdicts[choice.chosen]}")


def _rows(rows: list[list[str]]) -> str:
    lines = []
    for i, row in enumerate(rows):
        tag = "td" if i else "th"
        cells = "".join(f"<{tag}>{html.escape(cell)}</{tag}>" for cell in row)
        lines.append(f"<tr>{cells}</tr>")
    return "\n".join(lines)
