"""What a model that answers labels, numbers or spans is asked before a server may be given it."""

from __future__ import annotations

from typing import Any

from textmill.serving.graph_rules import fits, gives
from textmill.serving.heads import PREDICT, TOKENS, Form
from textmill.serving.questions import ALONE, DEFAULT, EACH, EQUAL, SAMPLES, Questions, Subject
from textmill.serving.savedmodel import PAIR, TEXT
from textmill.serving.warmup_rules import WARM, read


def label_questions(subject: Subject) -> Questions:
    """Returns what a model is asked: of what a rule can't ask, nothing."""
    manifest, meta, wanted = subject.manifest, subject.meta, subject.wanted
    inputs = (TEXT, PAIR) if manifest.get("pair", False) else (TEXT,)
    golden = [{key: row[key] for key in inputs} for row in subject.golden]
    texts = golden or [dict.fromkeys(inputs, sample) for sample in SAMPLES]
    usable = [name for name in wanted if name in meta.signature_def and _takes(meta, name, wanted)]
    answering = [name for name in usable if gives(meta, name, wanted[name])]
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


def _token_rows(subject: Subject) -> list[dict[str, Any]]:
    """Returns a request to `tokens` with the golden rows as ids, where it answers whole texts."""
    golden, manifest = subject.golden, subject.manifest
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
    if not gives(subject.meta, TOKENS, subject.wanted[TOKENS]):
        return []
    return [{"signature": TOKENS, "inputs": inputs}]
