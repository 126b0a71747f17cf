"""What suits this machine: the precision, and whether XLA compiles, by a short trial of each."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from textmill.models import devices
from textmill.models.settings import Settings
from textmill.progress import advance

if TYPE_CHECKING:
    from textmill.models.parts import Parts
    from textmill.models.rows import Places


def choose(
    settings: Settings, trial: Callable[[str, bool], Callable[[], object]]
) -> tuple[dict[str, Any], str]:
    """Returns what to train with, and why in words.

    Only what the hardware has is tried. A clock must not decide where two trainings have to be
    equal: with `deterministic`, what is left to "auto" is float32 without XLA.

    Args:
        settings: "precision" and "xla" may leave the choice open.
        trial: From a precision, and whether XLA compiles, to a function that does one step so.

    Returns:
        `{"precision": …, "xla": …}`; and a sentence, "" where nothing was left open.
    """
    device = devices.kind()
    precisions, xla = [settings.precision], [settings.xla == "on"]
    words = []
    if settings.precision == "auto":
        precisions = ["float32"]
        if settings.deterministic:
            words.append("float32, as deterministic wants")
        elif devices.has_bfloat16():
            precisions.append("mixed_bfloat16")
        else:
            words.append(f"float32: this {device} computes no bfloat16 in hardware")
    if settings.xla == "auto" and device != "CPU" and not settings.deterministic:
        xla = [False, True]
    candidates = {
        precision + (" with XLA" if compiled else ""): (precision, compiled)
        for precision in precisions
        for compiled in xla
    }
    name = next(iter(candidates))
    if len(candidates) > 1:
        tried = {each: _once(trial, *choice) for each, choice in candidates.items()}
        name, figures = devices.quickest(tried)
        words.append(f"{name}: {figures}")
    precision, compiled = candidates[name]
    return {"precision": precision, "xla": compiled}, "; ".join(words)


def choices_for(parts: Parts, settings: Settings, batch: Places) -> dict[str, Any]:
    """Returns what a training is to use on this machine, tried on a batch; says why.

    Args:
        parts: Of the training.
        settings: What may be left open.
        batch: Row numbers of a typical batch.
    """
    fixed = {"accumulate": settings.accumulate}

    def trial(precision: str, xla: bool) -> Callable[[], object]:
        step = parts.build(precision, xla)
        data = parts.data(step, 0, [batch] * (1 + devices.PROBE_STEPS), {**fixed, "xla": xla})
        return lambda: step(data, 0.0, pieces=min(fixed["accumulate"], len(batch)))

    found, why = choose(settings, trial)
    if why:
        advance(0, None, why)
    return {**fixed, **found, "why": why}


def _once(
    trial: Callable[[str, bool], Callable[[], object]], precision: str, xla: bool
) -> Callable[[], object]:
    """Puts off building a model until its turn: all at once would not fit in memory."""
    made: list[Callable[[], object]] = []

    def step() -> object:
        if not made:
            made.append(trial(precision, xla))
        return made[0]()

    return step
