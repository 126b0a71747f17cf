"""Which operations each release of TensorFlow Serving has.

`operations.txt` says it, as `scripts/server_operations` asked TensorFlow's wheels: a section is a
release, with what is new in it and, behind a minus, what is gone.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from textmill.errors import UserError, one_of
from textmill.serving.savedmodel import nodes, read

RELEASE = re.compile(r"(\d+)\.(\d+)(\.\d+)?")


class Need(NamedTuple):
    """What a graph uses, and the releases that have it.

    Attributes:
        name: An operation, or an attribute as in `MatMul.grad_a`.
        releases: Those that know it, "2.12" for example; () if none does.
    """

    name: str
    releases: tuple[str, ...]


@cache
def _table() -> dict[str, frozenset[str]]:
    """Returns release -> operations, and the attributes that came later than their operation."""
    text = Path(__file__).with_name("operations.txt").read_text("ascii")
    found: dict[str, frozenset[str]] = {}
    known: frozenset[str] = frozenset()
    for section in text.split("[")[1:]:
        release, _, lines = section.partition("]\n")
        gone = {line[1:] for line in lines.split() if line.startswith("-")}
        known = (known | {line for line in lines.split() if not line.startswith("-")}) - gone
        found[release] = known
    return found


@cache
def _later() -> frozenset[str]:
    return frozenset(name for known in _table().values() for name in known if "." in name)


def releases() -> list[str]:
    """Returns the releases that are known, the oldest first.

    Example:
        >>> releases()[0]
        '2.12'
    """
    return list(_table())


def read_release(text: str) -> str:
    """Returns the known release that stands for a version of TensorFlow Serving.

    One that is newer than all counts as the newest: operations are hardly ever removed.

    Args:
        text: "2.14" or "2.14.1".

    Raises:
        UserError: If it is no version, or older than the oldest that is known.

    Example:
        >>> read_release("2.14.1"), read_release("2.12")
        ('2.14', '2.12')
    """
    found = RELEASE.fullmatch(text)
    known = {tuple(map(int, release.split("."))): release for release in releases()}
    if found is None or (wanted := (int(found[1]), int(found[2]))) < min(known):
        raise UserError(
            f"server {text}: not a release of TensorFlow Serving that can be checked for",
            expected=one_of(releases()),
            received=repr(text),
            fix="name the release of your server by two numbers, 2.14 for example",
        )
    return known[max(release for release in known if release <= wanted)]


def needs(graph: Any) -> list[Need]:
    """Returns the operations and the later attributes that a GraphDef uses, sorted by name.

    What is not set in the graph needs no server that knows it: saving leaves defaults out.
    """
    own = {function.signature.name for function in graph.library.function}
    names = set()
    for node in nodes(graph):
        if node.op not in own:
            names.add(node.op)
            names |= {f"{node.op}.{key}" for key in node.attr} & _later()
    return [Need(name, _those_with(name)) for name in sorted(names)]


def _those_with(name: str) -> tuple[str, ...]:
    return tuple(release for release, known in _table().items() if name in known)


def minimum(needed: Iterable[Need]) -> str | None:
    """Returns the oldest release from which on every server has what is needed; None if none has.

    Example:
        >>> minimum([Need("MatMul", tuple(releases())), Need("Newer", ("2.20", "2.21"))])
        '2.20'
    """
    fitting = set.intersection(set(releases()), *(set(need.releases) for need in needed))
    oldest = None
    for release in reversed(releases()):
        if release not in fitting:
            break
        oldest = release
    return oldest


def oldest_server(folder: Path) -> str | None:
    """Returns the oldest release that has all operations of a SavedModel; None if none has."""
    (meta,) = read(folder).meta_graphs
    return minimum(needs(meta.graph_def))
