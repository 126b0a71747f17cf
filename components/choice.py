"""Which candidate is to be served: the rule, and the table that shows it."""

from __future__ import annotations

import statistics
from typing import Any, NamedTuple

from textmill.components.candidates import WHOLE
from textmill.models.objective import direction_of

BATCH = "32 mixed"  # what decides
LEAST_NOISE = 0.02  # times that are as near are equal, however quiet the machine was
SHOWN = ("1 short", "1 mixed", "1 long", "8 mixed", BATCH)


class Choice(NamedTuple):
    """What was decided.

    Attributes:
        chosen: The name of a candidate.
        verdicts: Of each candidate, why it was chosen or not.
    """

    chosen: str
    verdicts: dict[str, str]


def choose_among(measured: dict[str, Any], max_loss: float) -> Choice:
    """Returns the fastest candidate that is good enough.

    It is one that answered, whose golden rows are as near to the trained model's as `check` will
    ask, and whose main figure is worse than that of float32 by `max_loss` at most. It must take
    less time than float32 for 32 texts of mixed lengths, by more than the noise. Else float32 is
    served: a candidate that is smaller and not faster never is. Of those that are as fast as the
    fastest but for the noise, the one that changes the fewest predictions is taken; if these are as
    many, the smallest.

    Each round gives a ratio of the candidate's time to that of float32. The pace is their median,
    the noise the distance of their quartiles, 2 % at least.

    Args:
        measured: As `measure` writes it.
        max_loss: In the unit of the main figure.
    """
    rows, figure = measured["candidates"], measured["figure"]
    whole = rows[WHOLE]
    verdicts: dict[str, str] = {WHOLE: "what the others are compared with"}
    faster: dict[str, tuple[float, float]] = {}
    for name in [name for name in rows if name != WHOLE]:
        row = rows[name]
        verdicts[name] = _refusal(row, whole, figure, max_loss)
        if verdicts[name]:
            continue
        ratio, noise = pace(row, whole)
        words = f"{1 / ratio:.2f} times as fast as {WHOLE}"
        if ratio < 1 - noise:
            faster[name] = ratio, noise
        else:
            smaller = "smaller, but " if row["bytes"] < whole["bytes"] else ""
            slower = "slower" if ratio > 1 + noise else f"not faster beyond a noise of {noise:.0%}"
            words = f"{smaller}{slower}: {words}"
        verdicts[name] = words
    fastest, noise = min(faster.values(), default=(1.0, 0.0))
    alike = [n for n, (ratio, own) in faster.items() if ratio <= fastest + max(noise, own)]
    chosen = min(
        alike, key=lambda name: (rows[name]["changed"] or 0, rows[name]["bytes"]), default=WHOLE
    )
    for name in alike:
        if name != chosen:
            verdicts[name] += f", but for the noise as fast as {chosen}, which changes no more"
    why = verdicts[chosen] if chosen != WHOLE else "no other is faster and as good"
    return Choice(chosen, verdicts | {chosen: f"chosen: {why}"})


def _refusal(row: dict[str, Any], whole: dict[str, Any], figure: str, max_loss: float) -> str:
    """Returns why a candidate is out of the question; "" if it is not."""
    for kind in ("skipped", "failed"):
        if kind in row:
            return f"{kind}: {row[kind]}"
    if not row["apart"] <= row["allowed"]:
        return f"its golden rows differ by {row['apart']:.3g}, and {row['allowed']:.2g} is allowed"
    less = direction_of(figure) == "min"
    loss = (-1 if less else 1) * (whole["figures"][figure] - row["figures"][figure])
    # Written so that NaN is a loss; the margin is that of floating-point subtraction.
    if not loss <= max_loss + 1e-12:
        word = "higher" if less else "lower"
        return f"{figure} is {loss:.3g} {word}, and {max_loss:g} is allowed"
    return ""


def pace(row: dict[str, Any], whole: dict[str, Any]) -> tuple[float, float]:
    """Returns a candidate's time as a share of that of float32, and by how much it is unsure.

    Example:
        >>> rounds = {BATCH: [10.0, 11.0, 12.0, 10.0]}
        >>> pace({"rounds": {BATCH: [5.0, 5.5, 6.0, 5.0]}}, {"rounds": rounds})
        (0.5, 0.02)
    """
    pairs = zip(row["rounds"][BATCH], whole["rounds"][BATCH], strict=True)
    ratios = [ours / theirs for ours, theirs in pairs]
    if len(ratios) < 2:
        return ratios[0], 1.0  # once is no measurement
    low, middle, high = statistics.quantiles(ratios, n=4, method="inclusive")
    return middle, max(LEAST_NOISE, high - low)


def table(measured: dict[str, Any], choice: Choice) -> list[list[str]]:
    """Returns what was measured and decided, as rows of a table, the first with the titles."""
    figure = measured["figure"]
    titles = ["candidate", "MB", "load s", "memory MB", *(f"{batch} ms" for batch in SHOWN)]
    made = [[*titles, figure, "changed", "verdict"]]
    for name, row in measured["candidates"].items():
        if "figures" not in row:
            made.append([name, *["–"] * (len(titles) + 1), choice.verdicts[name]])
            continue
        memory, changed = row["memory_bytes"], row["changed"]
        times = [row["latency_ms"][batch] for batch in SHOWN]
        made.append(
            [
                name,
                f"{row['bytes'] / 1e6:.1f}",
                f"{row['load_seconds']:.1f}",
                "–" if memory is None else f"{memory / 1e6:.0f}",
                *(f"{each['p50']:.1f} / {each['p95']:.1f}" for each in times),
                f"{row['figures'][figure]:.4f}",
                "–"
                if changed is None
                else f"{changed} of {measured['rows']} (+{row['better']} −{row['worse']})",
                choice.verdicts[name],
            ]
        )
    return made


def markdown(rows: list[list[str]]) -> str:
    r"""Returns a table in Markdown.

    Example:
        >>> print(markdown([["a", "b"], ["1", "x|y"]]))
        | a | b |
        |---|---|
        | 1 | x\|y |
    """
    cells = [[cell.replace("|", "\\|") for cell in row] for row in rows]
    first, *rest = [f"| {' | '.join(row)} |" for row in cells]
    return "\n".join([first, "|" + "---|" * len(rows[0]), *rest])
