"""What the `tokenizer.json` of a unigram model says, as far as a serving graph can follow it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

from textmill.serving.metaspace import Metaspace
from textmill.serving.tokenizer_rules import check_added, inexact, read_spec

PENALTY = 10.0  # of an unknown character, below the lowest score


class UnigramRules(NamedTuple):
    """What a `tokenizer.json` says, in plain values.

    Attributes:
        pieces: The vocabulary, by id.
        scores: The logarithm of each piece's probability.
        unknown: The id of what is no piece.
        unknown_score: The score of an unknown character.
        normalizers: Steps of the normalizer, as the file has them.
        metaspace: How a normalized text becomes words.
    """

    pieces: list[str]
    scores: list[float]
    unknown: int
    unknown_score: float
    normalizers: list[dict[str, Any]]
    metaspace: Metaspace


def read_unigram_rules(tokenizer_file: Path) -> UnigramRules:
    """Returns what a `tokenizer.json` of the kind Unigram says.

    Raises:
        UserError: If it can't be read, or the graph could not follow it exactly.

    Source: `models/unigram/model.rs` of huggingface/tokenizers.
    """
    spec = read_spec(tokenizer_file)
    model = spec["model"]
    check_added(tokenizer_file, spec)
    if model["unk_id"] is None:
        raise inexact(tokenizer_file, "model", "an unknown token", "no unk_id")
    if model.get("byte_fallback"):
        raise inexact(tokenizer_file, "model", "byte_fallback = false", "byte_fallback")
    pieces, scores = [p for p, _ in model["vocab"]], [float(s) for _, s in model["vocab"]]
    if min(scores) > 0:
        # Else a piece is always better than unknown characters, and so no row of them is a piece.
        raise inexact(tokenizer_file, "model", "scores of 0 or less", min(scores))
    return UnigramRules(
        pieces=pieces,
        scores=scores,
        unknown=model["unk_id"],
        unknown_score=min(scores) - PENALTY,
        normalizers=_flat(spec["normalizer"]),
        metaspace=_metaspace(tokenizer_file, spec["pre_tokenizer"]),
    )


def _flat(spec: Any) -> list[dict[str, Any]]:
    """Returns the steps of a normalizer, those inside a sequence one by one."""
    if spec is None:
        return []
    if spec["type"] == "Sequence":
        return [step for part in spec["normalizers"] for step in _flat(part)]
    return [spec]


def _metaspace(tokenizer_file: Path, spec: Any) -> Metaspace:
    parts = spec["pretokenizers"] if spec and spec["type"] == "Sequence" else [spec]
    kinds = [part and part["type"] for part in parts]
    last = parts[-1]
    if kinds in (["Metaspace"], ["WhitespaceSplit", "Metaspace"]):
        white_space = len(parts) == 2
        scheme = last["prepend_scheme"]
        if not (white_space and scheme == "first") and len(last["replacement"]) == 1:
            return Metaspace(last["replacement"], scheme != "never", last["split"], white_space)
    raise inexact(
        tokenizer_file, "pre-tokenizer", "Metaspace, and at most WhitespaceSplit before it", spec
    )
