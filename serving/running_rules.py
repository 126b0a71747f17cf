"""Rules of the serving contract that need the model to run, as TensorFlow Serving runs it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from textmill.artifact import LabelKind
from textmill.serving.graph_rules import fits
from textmill.serving.heads import PREDICT, Form, forms
from textmill.serving.rows import Row, judge
from textmill.serving.savedmodel import PAIR, TEXT

TOLERANCE = 1e-5  # largest difference of two scores that are taken as equal
SECONDS = 600  # the longest a model may take to load and answer
SAMPLES = ["A good film.", "", "Überraschend 好看 🎬, and much longer than the others are. " * 4]


def answers(folder: Path, meta: Any, manifest: dict[str, Any]) -> list[Row]:
    """Loads the model in a fresh process, once, and judges what it answers there."""
    rules = "loads and runs", "equal to the trained model", "independent of the batch"
    kind, pair = manifest.get("kind", "one"), manifest.get("pair", False)
    wanted = forms(kind, pair=pair)
    usable = [name for name in wanted if name in meta.signature_def and _takes(meta, name, wanted)]
    golden = manifest.get("golden", [])
    given = [{key: row[key] for key in (TEXT, PAIR) if key in row} for row in golden]
    rows_in = given or [dict.fromkeys((TEXT, PAIR) if pair else (TEXT,), s) for s in SAMPLES]
    batch = rows_in[:: max(1, len(rows_in) // 8)]  # short, long and strange, some of each
    answering = "serving_default" in usable and all(
        fits(meta.signature_def["serving_default"].outputs.get(name), shape)
        for name, shape in wanted["serving_default"].outputs.items()
    )
    requests: list[dict[str, Any]] = [
        {"signature": name, "rows": rows, "examples": wanted[name].method != PREDICT}
        for name in usable
        for rows in ([], rows_in)
    ]
    if answering:
        asked = (batch, *([row] for row in batch))
        requests += [{"signature": "serving_default", "rows": rows} for rows in asked]
    found = ask(folder, requests)
    said = found.get("answers", [])
    errors = [found["error"]] if "error" in found else [a["error"] for a in said if "error" in a]
    broken = _one_line(errors[0], folder) if errors else ""
    what = " and ".join(usable) or "no signature, for none takes text"
    rows = [
        judge(
            rules[0],
            broken,
            f"V1 Session, XLA {found['xla']}; ran {what}" if not errors else "",
            "export core operations and plain variables; see the error",
        )
    ]
    if errors or not answering:
        why = "the model did not run" if errors else "serving_default does not answer text"
        return rows + [Row(rule, "skipped", why, "") for rule in rules[1:]]
    whole = answer_rows(kind, said[2 * usable.index("serving_default") + 1])
    mixed, *single = (answer_rows(kind, a) for a in said[2 * len(usable) :])
    unit = _unit(kind, golden)
    if golden:
        far = _distance(whole, [row["answer"] for row in golden])
        rows.append(
            judge(
                rules[1],
                "" if far <= TOLERANCE * unit else f"answers differ by up to {far:.3g}",
                f"{len(golden)} rows of the manifest within {TOLERANCE * unit:.2g}",
                "export the model again; what is served is not what was trained",
            )
        )
    else:
        rows.append(Row(rules[1], "skipped", "no manifest with rows of the trained model", ""))
    far = _distance(mixed, [row for rows_of_one in single for row in rows_of_one])
    rows.append(
        judge(
            rules[2],
            ""
            if far <= TOLERANCE * unit
            else f"answers differ by up to {far:.3g} alone and in a batch",
            f"{len(batch)} texts, alone and together, within {TOLERANCE * unit:.2g}",
            "mask the padding in every layer, and take no statistics over the batch",
        )
    )
    return rows


def _takes(meta: Any, name: str, wanted: dict[str, Form]) -> bool:
    """Says whether a signature takes what it should: batches of strings."""
    inputs = meta.signature_def[name].inputs
    known = wanted[name].inputs
    # A classifier of somebody else's may call its one input as it likes.
    if len(inputs) == len(known) == 1:
        return fits(next(iter(inputs.values())), "string [batch]")
    return set(inputs) == set(known) and all(fits(i, "string [batch]") for i in inputs.values())


def answer_rows(kind: LabelKind, outputs: dict[str, Any]) -> list[Any]:
    """Returns what `serving_default` says of each text, as golden rows have it under "answer".

    Args:
        kind: What the labels are.
        outputs: Of each output a list with an entry a text.

    Returns:
        Of spans a list of [start, end, label, score]; of numbers the number; else the scores.

    Example:
        >>> answer_rows("number", {"value": [1.5, 2.0]})
        [1.5, 2.0]
    """
    if kind == "number":
        return list(outputs["value"])
    if kind != "spans":
        return list(outputs["scores"])
    columns = (outputs[name] for name in ("start", "end", "label", "score"))
    rows = [list(zip(*row, strict=True)) for row in zip(*columns, strict=True)]
    return [[list(span) for span in row if span[0] >= 0] for row in rows]


def _unit(kind: LabelKind, golden: list[dict[str, Any]]) -> float:
    """Returns in what a difference counts: scores lie between 0 and 1, numbers anywhere."""
    if kind != "number":
        return 1.0
    return max([1.0, *(abs(float(row["answer"])) for row in golden)])


def _distance(found: list[Any], wanted: list[Any]) -> float:
    """Returns by how much two lists of answers differ; other spans are infinitely far."""
    import numpy as np

    if len(found) != len(wanted):
        return float("inf")
    furthest = 0.0
    for ours, theirs in zip(found, wanted, strict=True):
        if isinstance(ours, list) and ours and isinstance(ours[0], list):
            if [span[:3] for span in ours] != [span[:3] for span in theirs]:
                return float("inf")
            ours, theirs = ([span[3] for span in spans] for spans in (ours, theirs))
        a, b = np.asarray(ours, np.float64), np.asarray(theirs, np.float64)
        if a.shape != b.shape:
            return float("inf")
        # NaN is as far as can be, and must not compare as near.
        far = np.nan_to_num(np.abs(a - b), nan=np.inf)
        furthest = max(furthest, float(far.max(initial=0.0)))
    return furthest


def _one_line(error: str, folder: Path) -> str:
    lines = [line.strip() for line in error.splitlines()]
    lines = [line for line in lines if line and line != "Graph execution error:"]
    return (lines[0] if lines else "no message").replace(str(folder), "the model")[:300]


def ask(folder: Path, requests: list[dict[str, Any]]) -> dict[str, Any]:
    """Returns what `textmill.serving.session` says in a fresh process; `error` if that fails."""
    command = [sys.executable, "-m", "textmill.serving.session", str(folder.resolve())]
    environment = os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": ""}
    try:
        done = subprocess.run(
            command,
            input=json.dumps(requests),
            capture_output=True,
            text=True,
            timeout=SECONDS,
            env=environment,
            check=False,
        )
        result: dict[str, Any] = json.loads(done.stdout)
    except subprocess.TimeoutExpired:
        return {"error": f"the model gave no answer in {SECONDS} s"}
    except json.JSONDecodeError:
        last = done.stderr.strip().splitlines()[-1:] or ["nothing was said"]
        return {"error": f"the process ended with code {done.returncode}: {last[0]}"}
    return result
