"""What a model is asked before a server may be given it, each request for the rule it is for."""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from textmill.artifact import LabelKind
from textmill.serving.graph_rules import fits
from textmill.serving.heads import PREDICT, TOKENS, Form
from textmill.serving.savedmodel import PAIR, TEXT
from textmill.serving.warmup_rules import WARM, Warmup, read

TOLERANCE = 1e-5  # of scores, where the manifest says no other
SAMPLES = ["A good film.", "", "Überraschend 好看 🎬, and much longer than the others are. " * 4]
DEFAULT = "serving_default"
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


class Questions(NamedTuple):
    """What a model is asked.

    Attributes:
        usable: The signatures that take text.
        answering: Those of them that also give what they should.
        texts: The golden rows without their answers; of somebody else's model a few samples.
        requests: For each rule the requests that it needs, as `session` takes them.
        warmup: The warmup requests, which are asked as well.
    """

    usable: list[str]
    answering: list[str]
    texts: list[dict[str, str]]
    requests: dict[str, list[dict[str, Any]]]
    warmup: Warmup

    def job(self, subject: Subject) -> dict[str, Any]:
        """Returns all requests, and what to measure, as `session` takes them."""
        job: dict[str, Any] = {
            "requests": [each for some in self.requests.values() for each in some]
        }
        if DEFAULT in self.answering:
            # What is strange on purpose is no measure of what clients send.
            real = self.texts[: subject.manifest.get("real_rows") or None]
            job["measure"] = {"signature": DEFAULT, "rows": real}
        return job

    def answered(self, said: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
        """Returns the answers to `job` for each rule."""
        rest = iter(said)
        return {rule: list(islice(rest, len(some))) for rule, some in self.requests.items()}


def questions_for(subject: Subject) -> Questions:
    """Returns what a model is asked: of what a rule can't ask, nothing."""
    manifest, meta, wanted = subject.manifest, subject.meta, subject.wanted
    inputs = (TEXT, PAIR) if manifest.get("pair", False) else (TEXT,)
    golden = [{key: row[key] for key in inputs} for row in manifest.get("golden", [])]
    texts = golden or [dict.fromkeys(inputs, sample) for sample in SAMPLES]
    usable = [name for name in wanted if name in meta.signature_def and _takes(meta, name, wanted)]
    answering = [name for name in usable if _gives(meta, name, wanted)]
    batch = texts[:: max(1, len(texts) // 8)]  # short, long and strange, some of each
    warmup = read(subject.folder, meta)
    requests: dict[str, list[dict[str, Any]]] = {
        EACH: [
            {"signature": name, "rows": rows, "examples": wanted[name].method != PREDICT}
            for name in usable
            for rows in ([], texts)
        ],
        ALONE: [],
        EQUAL: [],
        WARM: warmup.requests,
    }
    if DEFAULT in answering:
        requests[ALONE] = [
            {"signature": DEFAULT, "rows": rows} for rows in (batch, *([row] for row in batch))
        ]
        requests[EQUAL] = _token_rows(subject)
    return Questions(usable, answering, texts, requests, warmup)


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
