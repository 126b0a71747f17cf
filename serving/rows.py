"""A row of the serving contract: a rule, and what became of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Row:
    """What became of a rule."""

    rule: str
    status: Literal["passed", "failed", "skipped"]
    found: str  # never a path or a time: equal models give equal rows
    fix: str  # what to do, "" unless the rule failed


def judge(rule: str, broken: str, found: str, fix: str) -> Row:
    """Returns the row of a rule that failed if `broken` says how, and else passed."""
    return Row(rule, "failed", broken, fix) if broken else Row(rule, "passed", found, "")
