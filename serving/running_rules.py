"""Rules of the serving contract that need the model to run, as TensorFlow Serving runs it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

from textmill.artifact import LabelKind
from textmill.serving.answers import answer_rows, apart, distance, unit_of
from textmill.serving.fresh_process import ask, one_line
from textmill.serving.graph_rules import fits
from textmill.serving.heads import EXPLAIN, PREDICT, REGRESS, TOKENS, Form
from textmill.serving.rows import Row, judge
from textmill.serving.savedmodel import PAIR, TEXT
from textmill.serving.warmup_rules import WARM, read, replayed

TOLERANCE = 1e-5  # of scores, where the manifest says no other
SAMPLES = ["A good film.", "", "Überraschend 好看 🎬, and much longer than the others are. " * 4]
ELSEWHERE_TOLERANCE = 1e-4  # of two TensorFlows, whose kernels add up in another order
MEASURED = ["load_seconds", "latency_ms", "memory_bytes"]
RUNS, ELSEWHERE, EACH, EQUAL, ALONE, _ = RULES = (
    "loads and runs",
    "loads elsewhere",
    "an answer for each",
    "equal to the trained model",
    "independent of the batch",
    WARM,
)


class Subject(NamedTuple):
    """The model that is checked.

    Attributes:
        folder: The SavedModel.
        meta: Its meta graph.
        manifest: Its manifest; {} for a model of somebody else's.
        wanted: The signatures that it should have.
    """

    folder: Path
    meta: Any
    manifest: dict[str, Any]
    wanted: dict[str, Form]

    @property
    def kind(self) -> LabelKind:
        """What its labels are."""
        kind: LabelKind = self.manifest.get("kind", "one")
        return kind

    @property
    def tolerance(self) -> float:
        """By how much two scores may differ that are taken as equal."""
        return float(self.manifest.get("tolerance", TOLERANCE))


def answers(subject: Subject, python: Path | None = None) -> tuple[list[Row], dict[str, Any]]:
    """Loads the model in a fresh process, once, and judges what it answers there.

    What is loaded is a copy: a model must work wherever it is moved.

    Args:
        subject: The model.
        python: Another interpreter, in which it must answer too.

    Returns:
        The rows of `RULES`, and what was measured.
    """
    manifest, meta, wanted = subject.manifest, subject.meta, subject.wanted
    golden = manifest.get("golden", [])
    inputs = (TEXT, PAIR) if manifest.get("pair", False) else (TEXT,)
    given = [{key: row[key] for key in inputs} for row in golden]
    rows_in = given or [dict.fromkeys(inputs, sample) for sample in SAMPLES]
    usable = [name for name in wanted if name in meta.signature_def and _takes(meta, name, wanted)]
    asked = [
        {"signature": name, "rows": rows, "examples": wanted[name].method != PREDICT}
        for name in usable
        for rows in ([], rows_in)
    ]
    answering = "serving_default" in usable and _gives(meta, "serving_default", wanted)
    batch = rows_in[:: max(1, len(rows_in) // 8)]  # short, long and strange, some of each
    alone = [
        {"signature": "serving_default", "rows": rows} for rows in (batch, *([r] for r in batch))
    ]
    alone = alone if answering else []
    ids = _token_rows(subject) if answering else []
    warmup = read(subject.folder, meta)
    job: dict[str, Any] = {"requests": [*asked, *alone, *ids, *warmup.requests]}
    if answering:
        # What is strange on purpose is no measure of what clients send.
        real = rows_in[: manifest.get("real_rows") or None]
        job["measure"] = {"signature": "serving_default", "rows": real}
    found = ask(subject.folder, job)
    said = found.get("answers", [])
    end = len(asked) + len(alone) + len(ids)
    main, warm = said[:end], said[end:]
    broken = _error(found, main, subject.folder)
    what = " and ".join(usable) or "no signature, for none takes text"
    rows = [
        judge(
            RUNS,
            broken,
            f"V1 Session, XLA {found.get('xla')}; ran {what}",
            "export core operations and plain variables; see the error",
        ),
        _elsewhere(subject, python, job, said),
    ]
    if broken or not answering:
        why = "the model did not run" if broken else "serving_default does not answer text"
        rest = [Row(rule, "skipped", why, "") for rule in (EACH, EQUAL, ALONE)]
    else:
        kind = subject.kind
        whole = {
            name: _said(kind, wanted[name], main[2 * i + 1])
            for i, name in enumerate(usable)
            if name != EXPLAIN and _gives(meta, name, wanted)
        }
        if ids:
            whole[TOKENS] = answer_rows(kind, main[-1])
        mixed, *single = (
            answer_rows(kind, each) for each in main[len(asked) : len(asked) + len(alone)]
        )
        near = unit_of(kind, golden) * subject.tolerance
        rest = [
            _each(usable, main, len(rows_in)),
            _equal(whole, golden, near),
            _alone(mixed, [row for one in single for row in one], near),
        ]
    rows += [*rest, replayed(warmup, None if "error" in found else warm, subject.folder)]
    return rows, {name: found[name] for name in MEASURED if name in found}


def _takes(meta: Any, name: str, wanted: dict[str, Form]) -> bool:
    """Says whether a signature takes what it should: batches of strings."""
    inputs = meta.signature_def[name].inputs
    known = wanted[name].inputs
    # A classifier of somebody else's may call its one input as it likes.
    if len(inputs) == len(known) == 1:
        return fits(next(iter(inputs.values())), "string [batch]")
    return set(inputs) == set(known) and all(fits(i, "string [batch]") for i in inputs.values())


def _gives(meta: Any, name: str, wanted: dict[str, Form]) -> bool:
    """Says whether a signature has the outputs that it should."""
    outputs = meta.signature_def[name].outputs
    return all(fits(outputs.get(key), shape) for key, shape in wanted[name].outputs.items())


def _each(usable: list[str], said: list[dict[str, Any]], count: int) -> Row:
    """Judges whether every output has a row for each text; REST refuses it otherwise."""
    wrong = [
        f"{name}: {key} has {len(value) if isinstance(value, list) else 'no'} rows for {texts}"
        for i, name in enumerate(usable)
        for answer, texts in ((said[2 * i], 0), (said[2 * i + 1], count))
        for key, value in answer.items()
        if not isinstance(value, list) or len(value) != texts
    ]
    return judge(
        EACH,
        "; ".join(wrong),
        "every output has a row for each text, and none for no text",
        "keep the batch as the first dimension of every output",
    )


def _token_rows(subject: Subject) -> list[dict[str, Any]]:
    """Returns a request to `tokens` with the golden rows as ids, where it answers whole texts."""
    golden, manifest = subject.manifest.get("golden", []), subject.manifest
    windows = subject.kind == "spans" or manifest.get("overlap") is not None
    if windows or TOKENS not in subject.wanted or TOKENS not in subject.meta.signature_def:
        return []
    if not golden or not all("token_ids" in row for row in golden):
        return []
    longest = max(len(row["token_ids"]) for row in golden)
    rows = [row["token_ids"] for row in golden]
    inputs = {
        "token_ids": [[*ids, *[0] * (longest - len(ids))] for ids in rows],
        "padding_mask": [[1] * len(ids) + [0] * (longest - len(ids)) for ids in rows],
    }
    if set(inputs) != set(subject.meta.signature_def[TOKENS].inputs):
        return []
    if not _gives(subject.meta, TOKENS, subject.wanted):
        return []
    return [{"signature": TOKENS, "inputs": inputs}]


def _said(kind: LabelKind, form: Form, outputs: dict[str, Any]) -> list[Any]:
    """Returns what a signature says of each text, whatever its method calls it."""
    return list(outputs["outputs"]) if form.method == REGRESS else answer_rows(kind, outputs)


def _equal(found: dict[str, list[Any]], golden: list[dict[str, Any]], near: float) -> Row:
    if not golden:
        return Row(EQUAL, "skipped", "no manifest with rows of the trained model", "")
    wanted = [row["answer"] for row in golden]
    far = {name: distance(rows, wanted) for name, rows in found.items()}
    wrong = [f"answers of {name} differ by up to {d:.3g}" for name, d in far.items() if d > near]
    return judge(
        EQUAL,
        "; ".join(wrong),
        f"{len(golden)} rows of the manifest within {near:.2g}: {', '.join(far)}",
        "export the model again; what is served is not what was trained",
    )


def _alone(together: list[Any], alone: list[Any], near: float) -> Row:
    far = distance(together, alone)
    return judge(
        ALONE,
        "" if far <= near else f"answers differ by up to {far:.3g} alone and in a batch",
        f"{len(together)} texts, alone and together, within {near:.2g}",
        "mask the padding in every layer, and take no statistics over the batch",
    )


def _elsewhere(
    subject: Subject, python: Path | None, job: dict[str, Any], said: list[dict[str, Any]]
) -> Row:
    """Judges whether another TensorFlow answers all that this one did, and the same."""
    if python is None:
        return Row(ELSEWHERE, "skipped", "no other interpreter was named: --python PATH", "")
    found = ask(subject.folder, {"requests": job["requests"]}, python)
    there = found.get("answers", [])
    broken, far = _error(found, there, subject.folder), 0.0
    for ours, theirs in zip(said, there, strict=False):
        if "error" not in ours and not broken:
            far = max(far, *(apart(ours[name], theirs.get(name)) for name in ours))
    if not broken and far > max(ELSEWHERE_TOLERANCE, subject.tolerance):
        broken = f"TensorFlow {found.get('tensorflow')} answers otherwise, by up to {far:.3g}"
    return judge(
        ELSEWHERE,
        broken,
        f"TensorFlow {found.get('tensorflow')} of {python} answers {len(there)} requests as here",
        "export operations that this TensorFlow has; see the error",
    )


def _error(found: dict[str, Any], said: list[dict[str, Any]], folder: Path) -> str:
    """Returns the first thing that went wrong, in a line; "" if nothing did."""
    errors = [found["error"]] if "error" in found else [a["error"] for a in said if "error" in a]
    return one_line(errors[0], folder) if errors else ""
