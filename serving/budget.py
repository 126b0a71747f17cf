"""How quick and how small a served model must be, and what was measured of it."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import StringConstraints
from pydantic.dataclasses import dataclass

from textmill.config import STRICT
from textmill.errors import UserError
from textmill.serving.rows import Row, judge

Latency = Annotated[str, StringConstraints(pattern=r"^\d+(\.\d+)?(ms|s)$")]
Memory = Annotated[str, StringConstraints(pattern=r"^\d+(\.\d+)?(MB|GB)$")]


@dataclass(frozen=True, config=STRICT)
class Budget:
    """How long an answer may take, and how much memory a model.

    Attributes:
        latency: Of a text alone, that 19 of 20 must keep: "50ms"; None: any.
        memory: Beside TensorFlow's own: "500MB"; None: any.
    """

    latency: Latency | None = None
    memory: Memory | None = None


UNITS = {"ms": 1.0, "s": 1000.0, "MB": 1e6, "GB": 1e9}


def milliseconds(latency: Latency) -> float:
    """Returns a latency in milliseconds.

    Raises:
        UserError: If it can't be read.

    Example:
        >>> milliseconds("50ms"), milliseconds("1.5s")
        (50.0, 1500.0)
    """
    return _read(latency, ("ms", "s"), "a latency", "50ms")


def bytes_of(memory: Memory) -> float:
    """Returns an amount of memory in bytes, units of 1000.

    Raises:
        UserError: If it can't be read.

    Example:
        >>> bytes_of("1GB")
        1000000000.0
    """
    return _read(memory, ("MB", "GB"), "an amount of memory", "500MB")


def _read(text: str, units: tuple[str, str], what: str, example: str) -> float:
    found = re.fullmatch(rf"(\d+(?:\.\d+)?)({'|'.join(units)})", text)
    if found is None:
        raise UserError(
            f"{text!r} is not {what}",
            expected=f"a number with {' or '.join(units)} behind it",
            received=repr(text),
            fix=f'write "{example}"',
        )
    return float(found[1]) * UNITS[found[2]]


def latency_row(limit: Latency | None, measured: dict[str, Any]) -> Row:
    """Judges how long a request of one text takes.

    Args:
        limit: What 19 of 20 requests must stay within; None: anything.
        measured: With "latency_ms": {"p50", "p95"}; {} if nothing was.
    """
    rule = "latency"
    if limit is None:
        return Row(rule, "skipped", "no limit is set", "")
    if "latency_ms" not in measured:
        return Row(rule, "skipped", "the model gave no answer to time", "")
    times = measured["latency_ms"]
    slow = times["p95"] > milliseconds(limit)
    return judge(
        rule,
        f"a text takes {times['p50']:.3g} ms, and 1 of 20 more than {times['p95']:.3g} ms"
        if slow
        else "",
        f"19 of 20 texts take {limit} at most",
        f"train a smaller model or a smaller max_length, or raise the limit of {limit}",
    )


def memory_row(limit: Memory | None, measured: dict[str, Any]) -> Row:
    """Judges how much memory a model takes beside TensorFlow itself.

    Args:
        limit: The most; None: anything.
        measured: With "memory_bytes"; {} if nothing was.
    """
    rule = "memory"
    if limit is None:
        return Row(rule, "skipped", "no limit is set", "")
    if "memory_bytes" not in measured:
        return Row(rule, "skipped", "it can't be measured on this system, or nothing ran", "")
    used = measured["memory_bytes"]
    return judge(
        rule,
        f"the model takes {used / 1e6:.4g} MB" if used > bytes_of(limit) else "",
        f"the model takes {limit} at most",
        f"train a smaller model or a smaller max_length, or raise the limit of {limit}",
    )
