"""Rules of the serving contract that need the model to run, as TensorFlow Serving runs it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from textmill.serving.graph_rules import SIGNATURES, fits
from textmill.serving.rows import Row, judge

TOLERANCE = 1e-5  # largest difference of two scores that are taken as equal
SECONDS = 600  # the longest a model may take to load and answer
SAMPLES = ["A good film.", "", "Überraschend 好看 🎬, and much longer than the others are. " * 4]


def answers(folder: Path, meta: Any, manifest: dict[str, Any]) -> list[Row]:
    """Loads the model in a fresh process, once, and judges what it answers there."""
    rules = "loads and runs", "equal to the trained model", "independent of the batch"
    usable = [name for name in SIGNATURES if name in meta.signature_def and _text_in(meta, name)]
    golden = manifest.get("golden", [])
    texts = [row["text"] for row in golden] or SAMPLES
    batch = texts[:: max(1, len(texts) // 8)]  # short, long and strange texts, some of each
    requests = [{"signature": name, "texts": asked} for name in usable for asked in ([], texts)]
    scored = "serving_default" in usable and fits(
        meta.signature_def["serving_default"].outputs.get("scores"), "float [batch, classes]"
    )
    if scored:
        requests += [
            {"signature": usable[0], "texts": asked} for asked in (batch, *([t] for t in batch))
        ]
    found = ask(folder, requests)
    given = found.get("answers", [])
    errors = [found["error"]] if "error" in found else [a["error"] for a in given if "error" in a]
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
    if errors or not scored:
        why = "the model did not run" if errors else "serving_default does not score text"
        return rows + [Row(rule, "skipped", why, "") for rule in rules[1:]]
    whole = given[1]["scores"]
    mixed, *single = (a["scores"] for a in given[2 * len(usable) :])
    if golden:
        far = _distance(whole, [row["scores"] for row in golden])
        rows.append(
            judge(
                rules[1],
                "" if far <= TOLERANCE else f"scores differ by up to {far:.3g}",
                f"{len(golden)} rows of the manifest within {TOLERANCE:g}",
                "export the model again; what is served is not what was trained",
            )
        )
    else:
        rows.append(Row(rules[1], "skipped", "no manifest with rows of the trained model", ""))
    far = _distance(mixed, [row for rows_of_one in single for row in rows_of_one])
    rows.append(
        judge(
            rules[2],
            "" if far <= TOLERANCE else f"scores differ by up to {far:.3g} alone and in a batch",
            f"{len(batch)} texts, alone and together, within {TOLERANCE:g}",
            "mask the padding in every layer, and take no statistics over the batch",
        )
    )
    return rows


def _text_in(meta: Any, name: str) -> bool:
    """Says whether the only input of a signature is a batch of strings."""
    inputs = list(meta.signature_def[name].inputs.values())
    return len(inputs) == 1 and fits(inputs[0], "string [batch]")


def _distance(found: Any, wanted: Any) -> float:
    import numpy as np

    a, b = np.asarray(found, np.float64), np.asarray(wanted, np.float64)
    if a.shape != b.shape:
        return float("inf")
    # NaN is as far as can be, and must not compare as near.
    return float(np.nan_to_num(np.abs(a - b), nan=np.inf).max(initial=0.0))


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
