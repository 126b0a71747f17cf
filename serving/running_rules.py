"""Rules of the serving contract that need the model to run, as TensorFlow Serving runs it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

from textmill.artifact import LabelKind
from textmill.serving.answers import answer_rows, distance, unit_of
from textmill.serving.fresh_process import ask
from textmill.serving.graph_rules import fits
from textmill.serving.heads import PREDICT, Form
from textmill.serving.rows import Row, judge
from textmill.serving.savedmodel import PAIR, TEXT
from textmill.serving.warmup import FILE, Record, read_warmup

TOLERANCE = 1e-5  # largest difference of two scores that are taken as equal
SAMPLES = ["A good film.", "", "Überraschend 好看 🎬, and much longer than the others are. " * 4]
MEASURED = ["load_seconds", "latency_ms", "memory_bytes"]
RUNS, ELSEWHERE, EACH, EQUAL, ALONE, WARM = RULES = (
    "loads and runs",
    "loads elsewhere",
    "an answer for each",
    "equal to the trained model",
    "independent of the batch",
    "warmup replays",
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
    answering = "serving_default" in usable and all(
        fits(meta.signature_def["serving_default"].outputs.get(name), shape)
        for name, shape in wanted["serving_default"].outputs.items()
    )
    batch = rows_in[:: max(1, len(rows_in) // 8)]  # short, long and strange, some of each
    alone = [
        {"signature": "serving_default", "rows": rows} for rows in (batch, *([r] for r in batch))
    ]
    alone = alone if answering else []
    records, unreadable = _warmup(subject.folder)
    replayed = [{"signature": r.signature, "tensors": r.tensors} for r in records]
    job: dict[str, Any] = {"requests": [*asked, *alone, *replayed]}
    if answering:
        job["measure"] = alone[0]
    found = ask(subject.folder, job)
    said = found.get("answers", [])
    main, warm = said[: len(asked) + len(alone)], said[len(asked) + len(alone) :]
    broken = _error(found, main, subject.folder)
    what = " and ".join(usable) or "no signature, for none takes text"
    rows = [
        judge(
            RUNS,
            broken,
            f"V1 Session, XLA {found.get('xla')}; ran {what}",
            "export core operations and plain variables; see the error",
        ),
        _elsewhere(subject.folder, python, {"requests": asked}),
    ]
    if broken or not answering:
        why = "the model did not run" if broken else "serving_default does not answer text"
        rest = [Row(rule, "skipped", why, "") for rule in (EACH, EQUAL, ALONE)]
    else:
        kind = subject.kind
        whole = answer_rows(kind, main[2 * usable.index("serving_default") + 1])
        mixed, *single = (answer_rows(kind, each) for each in main[len(asked) :])
        unit = unit_of(kind, golden)
        rest = [
            _each(usable, main, len(rows_in)),
            _equal(whole, golden, unit),
            _alone(mixed, [row for one in single for row in one], unit),
        ]
    rows += [*rest, _replayed(records, unreadable, warm, bool(found.get("error")), subject)]
    return rows, {name: found[name] for name in MEASURED if name in found}


def _takes(meta: Any, name: str, wanted: dict[str, Form]) -> bool:
    """Says whether a signature takes what it should: batches of strings."""
    inputs = meta.signature_def[name].inputs
    known = wanted[name].inputs
    # A classifier of somebody else's may call its one input as it likes.
    if len(inputs) == len(known) == 1:
        return fits(next(iter(inputs.values())), "string [batch]")
    return set(inputs) == set(known) and all(fits(i, "string [batch]") for i in inputs.values())


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


def _equal(found: list[Any], golden: list[dict[str, Any]], unit: float) -> Row:
    if not golden:
        return Row(EQUAL, "skipped", "no manifest with rows of the trained model", "")
    far = distance(found, [row["answer"] for row in golden])
    return judge(
        EQUAL,
        "" if far <= TOLERANCE * unit else f"answers differ by up to {far:.3g}",
        f"{len(golden)} rows of the manifest within {TOLERANCE * unit:.2g}",
        "export the model again; what is served is not what was trained",
    )


def _alone(together: list[Any], alone: list[Any], unit: float) -> Row:
    far = distance(together, alone)
    return judge(
        ALONE,
        ""
        if far <= TOLERANCE * unit
        else f"answers differ by up to {far:.3g} alone and in a batch",
        f"{len(together)} texts, alone and together, within {TOLERANCE * unit:.2g}",
        "mask the padding in every layer, and take no statistics over the batch",
    )


def _warmup(folder: Path) -> tuple[list[Record], str]:
    """Returns the warmup requests, and why there are none where they can't be read."""
    try:
        return read_warmup(folder), ""
    except ValueError as error:
        return [], str(error)


def _replayed(
    records: list[Record],
    unreadable: str,
    said: list[dict[str, Any]],
    failed: bool,
    subject: Subject,
) -> Row:
    """Judges whether the server will get through the warmup requests: one that fails stops it."""
    if not (subject.folder / FILE).is_file():
        return Row(WARM, "skipped", "there are no warmup requests; the first answers are slow", "")
    if failed and not unreadable:
        return Row(WARM, "skipped", "the model did not load", "")
    wrong = [unreadable] if unreadable else []
    for number, (record, answer) in enumerate(zip(records, said, strict=False), start=1):
        if "error" in answer:
            text = _one_line(answer["error"], subject.folder)
            wrong.append(f"request {number} to {record.signature}: {text}")
        elif subject.meta.signature_def[record.signature].method_name != record.method:
            wrong.append(f"request {number} asks {record.signature} for what it does not do")
    names = sorted({record.signature for record in records})
    return judge(
        WARM,
        "; ".join(wrong[:3]),
        f"{len(records)} requests to {', '.join(names)}",
        f"export the model again, or remove {FILE}",
    )


def _elsewhere(folder: Path, python: Path | None, job: dict[str, Any]) -> Row:
    if python is None:
        return Row(ELSEWHERE, "skipped", "no other interpreter was named: --python PATH", "")
    found = ask(folder, job, python)
    return judge(
        ELSEWHERE,
        _error(found, found.get("answers", []), folder),
        f"TensorFlow {found.get('tensorflow')} of {python}",
        "export operations that this TensorFlow has; see the error",
    )


def _error(found: dict[str, Any], said: list[dict[str, Any]], folder: Path) -> str:
    """Returns the first thing that went wrong, in a line; "" if nothing did."""
    errors = [found["error"]] if "error" in found else [a["error"] for a in said if "error" in a]
    return _one_line(errors[0], folder) if errors else ""


def _one_line(error: str, folder: Path) -> str:
    lines = [line.strip() for line in error.splitlines()]
    lines = [line for line in lines if line and line != "Graph execution error:"]
    return (lines[0] if lines else "no message").replace(str(folder), "the model")[:300]
