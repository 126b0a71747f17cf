"""Which versions of a model a server loads, and the names that they go by."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal, TypeAlias

from textmill.artifact import versions
from textmill.errors import UserError

Loaded: TypeAlias = tuple[int, ...] | Literal["latest", "all"]
# A name is a part of a URL: /v1/models/NAME/labels/LABEL:predict
IN_URL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def versions_in(model_dir: Path) -> list[int]:
    """Returns the versions in the folder that hold a model; there is at least one."""
    there = [v for v in versions(model_dir) if (model_dir / str(v) / "saved_model.pb").is_file()]
    if there:
        return there
    fix = "name the folder that a push wrote, models/reviews for example"
    if (model_dir / "saved_model.pb").is_file():
        received, resolved = "a SavedModel", model_dir.resolve()
        if resolved.name in map(str, versions(resolved.parent)):
            fix = f"textmill deploy {resolved.parent}, with --versions {resolved.name} for this one"
        else:
            fix = f"move it into a numbered folder: {model_dir}/1"
    elif not model_dir.exists():
        received = "no such folder"
    elif not model_dir.is_dir():
        received = "a file"
    else:
        inside = sorted(f.name for f in model_dir.iterdir())
        received = f"a folder with {', '.join(inside[:8]) or 'nothing in it'}"
    raise UserError(
        f"{model_dir}: no versions of a model",
        expected="a folder with numbered folders that hold a saved_model.pb",
        received=received,
        fix=fix,
    )


def read_labels(labels: Sequence[str], there: Sequence[int]) -> dict[str, int]:
    """Returns label -> version.

    Example:
        >>> read_labels(["stable=2", "canary=3"], [2, 3])
        {'stable': 2, 'canary': 3}
    """
    named: dict[str, int] = {}
    for label in labels:
        name, sign, version = label.partition("=")
        if not (sign and IN_URL.fullmatch(name) and version.isdecimal()) or name in named:
            raise UserError(
                f"--label {label}: " + ("given twice" if name in named else "can't be read"),
                expected="a name (letters, digits, '.', '_', '-'), used once, and a version",
                received=repr(label),
                fix=f"write --label stable={there[-1]}",
            )
        _is_there(f"--label {label}", int(version), there)
        named[name] = int(version)
    return named


def read_loaded(load: str | None, labels: Mapping[str, int], there: Sequence[int]) -> Loaded:
    """Returns what to load, which holds every version that has a label.

    Example:
        >>> read_loaded(None, {"stable": 2}, [1, 2, 3]), read_loaded("1,3", {}, [1, 2, 3])
        ((2,), (1, 3))
    """
    wanted = load or ("specific" if labels else "latest")
    if wanted == "all":
        return "all"
    if wanted == "latest" and not labels:
        return "latest"
    if wanted == "latest":
        raise UserError(
            "--versions latest beside --label",
            expected="labels of versions that stay loaded",
            received="the next push would unload what has a label",
            fix="leave out --versions, and the versions with a label are loaded",
        )
    if wanted == "specific":
        chosen = tuple(sorted(set(labels.values())))
    else:
        numbers = wanted.split(",")
        chosen = tuple(sorted({int(n) for n in numbers if n.isascii() and n.isdecimal()}))
        if len(chosen) != len(numbers):
            chosen = ()
    if not chosen:
        raise UserError(
            f"--versions {wanted}",
            expected="latest, all, specific beside a --label, or different numbers such as 2,3",
            received="no --label" if wanted == "specific" else repr(wanted),
            fix=f"write --versions {there[-1]}, or add --label stable={there[-1]}",
        )
    for version in chosen:
        _is_there(f"--versions {wanted}", version, there)
    for label, version in labels.items():
        if version not in chosen:
            raise UserError(
                f"--label {label}={version}: a label needs a loaded version",
                expected="one of: " + ", ".join(map(str, chosen)),
                received=str(version),
                fix="leave out --versions, and the versions with a label are loaded",
            )
    return chosen


def check_moves(before: str, labels: Mapping[str, int], loaded: Loaded) -> None:
    """Raises if a running server would refuse the step from what a file says to what it shall say.

    A label that is in use may only move to a version that is loaded already: else requests for it
    would fail until that is.

    Args:
        before: The text of `models.config`, or of a file that holds it.
        labels: What the labels shall be.
        loaded: What shall be loaded.

    Example:
        >>> before = 'versions: 1 version_labels { key: "stable" value: 1 }'
        >>> check_moves(before, {"stable": 2}, (2,))
        Traceback (most recent call last):
        textmill.errors.UserError: --label stable=2: version 2 is not loaded yet
    """
    at_work = {int(number) for number in re.findall(r"\bversions: (\d+)", before)}
    for label, version in labels.items():
        old = re.search(rf'key: "{re.escape(label)}" value: (\d+)', before)
        if at_work and old and int(old[1]) != version and version not in at_work:
            both = sorted({int(old[1]), version, *(loaded if isinstance(loaded, tuple) else ())})
            raise UserError(
                f"--label {label}={version}: version {version} is not loaded yet",
                expected="two steps, for a server moves a label to a loaded version only",
                received=f"{label}={old[1]}, with {', '.join(map(str, sorted(at_work)))} loaded",
                fix=f"first --label {label}={old[1]} --versions {','.join(map(str, both))}; or "
                "another --out, where no server runs on this one",
            )


def _is_there(what: str, version: int, there: Sequence[int]) -> None:
    if version not in there:
        raise UserError(
            f"{what}: no version {version}",
            expected="one of: " + ", ".join(map(str, there)),
            received=str(version),
            fix="name a version that is there, or push it first",
        )
