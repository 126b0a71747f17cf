"""What a model is asked before a server may be given it, each request for the rule it is for."""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from textmill.artifact import LabelKind
from textmill.serving.heads import Form
from textmill.serving.warmup_rules import WARM, Warmup

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
    def golden(self) -> list[dict[str, Any]]:
        """Its golden rows; [] for a model of somebody else's."""
        golden: list[dict[str, Any]] = self.manifest.get("golden", [])
        return golden

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
        by_chance: Signatures that may answer otherwise the next time.
    """

    usable: list[str]
    answering: list[str]
    texts: list[dict[str, str]]
    requests: dict[str, list[dict[str, Any]]]
    warmup: Warmup
    by_chance: tuple[str, ...] = ()

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
