"""Names of candidates for serving, and what each is."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from textmill.errors import UserError, nearest, one_of
from textmill.serving.precision import PRECISIONS, Name

PRUNED, DISTILLED, INT8 = "pruned_vocabulary", "distilled", "int8"
WHOLE: Name = "float32"  # what every candidate is compared with
REFUSED = {
    INT8: "no operation multiplies int8 quicker than float32 on every server: BatchMatMulV3 is "
    "slower, and QuantizedMatMulWithBias fails where oneDNN is off; int8_weights stores int8",
}


class Candidate(NamedTuple):
    """A way to serve a model.

    Attributes:
        name: Names of what is done to the model, in an order of ours, with + between them.
        precision: In what numbers weights are stored and multiplied.
        pruned: Whether embeddings of tokens that training never saw are left out.
        distilled: Whether it is the smaller model of `[distill]`.
        refused: Why it can't be served; "" if it can.
    """

    name: str
    precision: Name
    pruned: bool
    distilled: bool
    refused: str


def read_candidate(name: str) -> Candidate:
    """Returns what the name of a candidate stands for.

    Raises:
        UserError: A part of it is unknown, or two of them are precisions.

    Example:
        >>> read_candidate("pruned_vocabulary+bfloat16").precision
        'bfloat16'
        >>> read_candidate(" bfloat16 + distilled").name
        'distilled+bfloat16'
    """
    precisions: list[Name] = []
    parts = [part.strip() for part in name.split("+")]
    known = [*PRECISIONS, INT8, PRUNED, DISTILLED]
    for part in parts:
        if part not in known:
            near = nearest(part, known)
            raise UserError(
                f"optimize.candidates: no candidate {part!r}",
                expected=one_of(known)
                + '; or several with + between, "pruned_vocabulary+bfloat16"',
                received=repr(name),
                fix=f"did you mean {near}?" if near else "take one of these",
            )
        precisions += [each for each in PRECISIONS if each == part]
    if len(parts) > len(set(parts)) or len(precisions) + (INT8 in parts) > 1:
        raise UserError(
            f"optimize.candidates: {name!r} says twice in what numbers to serve",
            expected="one precision, each part once",
            received=repr(name),
            fix="make two candidates of it",
        )
    refused = "; ".join(REFUSED[part] for part in parts if part in REFUSED)
    precision = precisions[0] if precisions else WHOLE
    # However it is written, a candidate has one name; float32 is what a model has anyway.
    done = [each for each in (DISTILLED, PRUNED, INT8, *PRECISIONS) if each in parts]
    name = "+".join(each for each in done if each != WHOLE) or WHOLE
    return Candidate(name, precision, PRUNED in parts, DISTILLED in parts, refused)


def read_candidates(names: Iterable[str]) -> list[Candidate]:
    """Returns what names stand for, each candidate once and the whole model first.

    Raises:
        UserError: As `read_candidate` does.

    Example:
        >>> [each.name for each in read_candidates(["bfloat16+distilled", "distilled+bfloat16"])]
        ['float32', 'distilled+bfloat16']
    """
    found = [read_candidate(name) for name in (WHOLE, *names)]
    return list({candidate.name: candidate for candidate in found}.values())
