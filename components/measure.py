"""Measure candidates for serving beside each other: time, size, memory, and how good they are."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from textmill.artifact import Examples, LabelKind, Measured, Saved, Tokens, content, write_json
from textmill.components.candidates import WHOLE
from textmill.components.scored_texts import scored_texts, true_spans
from textmill.errors import UserError
from textmill.models import text_classification
from textmill.models.metrics import Metric, own_figures
from textmill.models.task import Predictions, Task
from textmill.progress import advance
from textmill.quiet import import_tensorflow
from textmill.serving.answers import answer_rows, distance, unit_of
from textmill.serving.fresh_process import SECONDS
from textmill.serving.savedmodel import PAIR, TEXT
from textmill.serving.timing import Broken, Side, batches_of, take_turns

if TYPE_CHECKING:
    from textmill.models.rows import Rows

INPUTS = [TEXT, PAIR]
# An answer may take so many times as long as the longest of float32, and so many seconds anyhow:
# a graph is optimized when it first runs, and other work may share the machine.
PATIENCE, LEAST_PATIENCE = 20.0, 60.0


def measure(
    out: Measured,
    candidates: Mapping[str, Saved],
    tokens: Tokens,
    examples: Examples,
    *,
    task: Task = text_classification,
    refused: Mapping[str, str] | None = None,
    metrics: tuple[Metric, ...] = (),
    rounds: int = 7,
) -> None:
    """Asks the candidates texts of the test split and writes what came of it to `out`.

    Each has a process of its own that loads it as TensorFlow Serving does. Each is asked the whole
    test split and the golden rows of its manifest; then they take turns, batch by batch, so that
    what else the machine does is in the times of all. An answer that takes `PATIENCE` times as long
    as the longest of float32 is not waited for.

    Args:
        out: `measured.json`: `figure`, the name of the one that counts most; `rows` of the test
            split; and for each of `candidates` either `skipped`, why it could not be exported, or
            `failed`, why it did not answer, or

            - `bytes` on disk, `load_seconds`, and `memory_bytes` beside TensorFlow's own (null
              where the system does not tell);
            - `latency_ms`: batch, such as "32 mixed", -> p50 and p95; and `rounds`, the median of
              each round;
            - `figures`, as `metrics.json` has them, and those of one's own; `changed`, how many
              predictions are not those of the float32 candidate, and `better` and `worse`, how many
              of these are right or were (null for numbers, which nearly all change);
            - `apart`, the largest difference from a golden row, and what of it is `allowed`.

            Those of `refused` have `skipped`, too.
        candidates: What was exported, by name; "float32" is the first.
        tokens: The labels of the test split.
        examples: Its texts.
        task: What the model learned.
        refused: Candidates that were not exported -> why.
        metrics: Figures of one's own, as `evaluate` takes them.
        rounds: How often they take turns.

    Raises:
        UserError: The test split is empty, the float32 candidate does not answer, or metrics of
            one's own do not fit the task.
    """
    import_tensorflow()
    from textmill.models.answered import labels_of
    from textmill.models.rows import read_rows

    rows = read_rows(tokens, "test")
    if not len(rows):
        raise UserError(
            "the test split is empty",
            expected="at least one row to measure candidates with",
            received="0 rows",
            fix="give data.split a share for test, or a data.test_source",
        )
    texts, about = asked_texts(examples, rows), candidates[WHOLE].manifest()
    labels: Any
    if rows.kind == "spans":
        labels = true_spans(examples, rows)
    else:
        labels = labels_of(rows, max(1, len(about["labels"])))
    found: dict[str, dict[str, Any]] = {}
    said: dict[str, Predictions] = {}
    figure, patience = "", float(SECONDS)
    with ExitStack() as stack:
        sides: dict[str, Side] = {}
        for i, (name, saved) in enumerate(candidates.items()):
            advance(i, len(candidates), f"the test split by {name}")
            if why_not := saved.refusal():
                found[name] = {"skipped": why_not}
                continue
            try:
                side = stack.enter_context(Side(saved.path, patience=patience))
                said[name], figure = _predicted(side, task, texts, labels, saved.manifest())
                found[name] = _described(side, saved, said[name])
                found[name]["figures"] |= own_figures(metrics, task.NAME, labels, said[name])
                sides[name] = side
            except Broken as why:
                if name == WHOLE:
                    raise _broken(str(why)) from None
                found[name] = {"failed": str(why)}
            if name == WHOLE:
                patience = max(LEAST_PATIENCE, PATIENCE * side.slowest)
        try:
            turns = take_turns(sides, batches_of(texts), rounds)
        except Broken as why:
            raise _broken(str(why)) from None
    for name, times in turns.times.items():
        found[name]["memory_bytes"] = sides[name].memory_bytes
        found[name] |= _latency(times)
        found[name] |= _changes(about["kind"], said[WHOLE], said[name])
    found |= {name: {"failed": why} for name, why in turns.lost.items()}
    found |= {name: {"skipped": why} for name, why in (refused or {}).items()}
    whole = {"figure": figure, "rows": len(texts), "candidates": found}
    write_json(out.path / "measured.json", whole)


def _broken(why: str) -> UserError:
    return UserError(
        f"{WHOLE} gave no answer while it was measured",
        expected="answers to the texts of the test split",
        received=why,
        fix="run `textmill check` on the exported model",
    )


def asked_texts(examples: Examples, rows: Rows) -> list[dict[str, str]]:
    """Returns the texts of the test split as they are sent to a server."""
    table = scored_texts(examples, rows).drop_columns("row")
    texts: list[dict[str, str]] = table.rename_columns(INPUTS[: table.num_columns]).to_pylist()
    return texts


def _predicted(
    side: Side, task: Task, texts: list[dict[str, str]], labels: Any, about: dict[str, Any]
) -> tuple[Predictions, str]:
    """Returns what a model says of the test split, and the figure that counts most.

    `about` is the manifest of this model: a smaller one has thresholds of its own.
    """
    from textmill.models.answered import predictions_of

    answers = answer_rows(about["kind"], side.answers(texts))
    return predictions_of(task, answers, labels, about, [row[TEXT] for row in texts])


def _described(side: Side, saved: Saved, said: Predictions) -> dict[str, Any]:
    manifest = saved.manifest()
    kind, golden = manifest["kind"], manifest["golden"]
    rows = [{key: row[key] for key in INPUTS if key in row} for row in golden]
    far = distance(answer_rows(kind, side.answers(rows)), [row["answer"] for row in golden])
    return {
        "bytes": sum(file.stat().st_size for file in content(saved.path).values()),
        "load_seconds": side.load_seconds,
        "figures": said.figures,
        "apart": far,
        "allowed": manifest["tolerance"] * unit_of(kind, golden),
    }


def _latency(times: dict[str, list[list[float]]]) -> dict[str, Any]:
    import numpy as np

    every = {batch: np.concatenate(rounds) for batch, rounds in times.items()}
    return {
        "latency_ms": {
            batch: {f"p{share}": float(np.percentile(each, share)) for share in (50, 95)}
            for batch, each in every.items()
        },
        "rounds": {b: [statistics.median(each) for each in rounds] for b, rounds in times.items()},
    }


def _changes(kind: LabelKind, whole: Predictions, said: Predictions) -> dict[str, int | None]:
    """Returns how many predictions are others than those of the whole model, and how these are."""
    if kind == "number":
        return {"changed": None, "better": None, "worse": None}
    triples = zip(
        whole.columns["label"],
        whole.columns["predicted"],
        said.columns["predicted"],
        strict=True,
    )
    changed = [(label == before, label == now) for label, before, now in triples if before != now]
    return {
        "changed": len(changed),
        "better": sum(now for _, now in changed),
        "worse": sum(before for before, _ in changed),
    }
