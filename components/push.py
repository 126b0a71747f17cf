"""Push a checked model to the folder that TensorFlow Serving watches."""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from filelock import FileLock

from textmill.artifact import (
    RECORD,
    Blessing,
    Evaluation,
    Pushed,
    Saved,
    ancestry,
    content,
    digest_files,
    read_manifest,
    versions,
    write_json,
)
from textmill.errors import Refused, UserError, nearest, one_of
from textmill.workspace import flush, flush_folder

MANIFEST, LINEAGE = "assets.extra/manifest.json", "assets.extra/lineage.json"
HOLDS = {
    ">=": lambda value, limit: value >= limit,
    "<=": lambda value, limit: value <= limit,
    ">": lambda value, limit: value > limit,
    "<": lambda value, limit: value < limit,
}
LINE = re.compile(r"\s*(>=|<=|>|<)\s*([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)\s*")


def push(
    out: Pushed,
    saved: Saved,
    blessing: Blessing,
    evaluation: Evaluation | None = None,
    *,
    to: str,
    gate: Mapping[str, str] | None = None,
) -> None:
    """Write the model to `<to>/<next version>`, all at once, and its place to `out`.

    TensorFlow Serving looks at the folder every second and loads any whole number that appears, so
    the files are written and flushed under a hidden name beside it and renamed last. Where the
    newest version already is this model, as after a run that was killed late, it is taken as it is.
    Its manifest also says the metrics, and the time and memory that the check measured.

    Args:
        out: Where `pushed.json` goes.
        saved: The model.
        blessing: What `check` found.
        evaluation: The metrics that `gate` speaks of; None where nothing was measured.
        to: The base folder, "models/reviews" for example; made if missing.
        gate: Metric -> what it must be: {"accuracy": ">= 0.8", "per_class.pos.recall": "> 0.7"}.

    Raises:
        Refused: If a rule of the contract failed, or a line of the gate does not hold.
        UserError: If a metric is unknown, a line can't be read, or `to` can't be
            written.
    """
    metrics = evaluation.metrics() if evaluation else {}
    _refuse(blessing, metrics, gate or {})
    more = {"metrics": metrics, "measured": blessing.measured()}
    base = Path(to)
    try:
        base.mkdir(parents=True, exist_ok=True)
        (base / ".push.lock").touch()
    except OSError as refused:
        raise UserError(
            f"push.to = {to}: nothing can be written there",
            expected="a folder for numbered versions that this user may write to",
            received=refused.strerror or str(refused),
            fix="set push.to to another folder, or mend its permissions",
        ) from None
    files = content(saved.path)
    digest = saved.digest or digest_files(files)
    # Whoever holds the lock is the only one pushing here: what drafts there are were left behind.
    with FileLock(base / ".push.lock"):
        for stale in base.glob(".draft-*"):
            shutil.rmtree(stale)
        newest = max(versions(base), default=0)
        if newest and _is(base / str(newest), digest, files):
            version = newest
        else:
            version = newest + 1
            draft = base / f".draft-{version}"
            try:
                _copy(saved, files, digest, more, draft)
                draft.rename(base / str(version))
            except BaseException:
                shutil.rmtree(draft, ignore_errors=True)
                raise
            flush_folder(base)
    write_json(out.path / "pushed.json", {"path": str(base / str(version)), "version": version})


def _refuse(blessing: Blessing, metrics: dict[str, Any], gate: Mapping[str, str]) -> None:
    """Raises if the model may not be pushed, with every reason."""
    reasons = [
        f"rule '{row['rule']}': {row['found']}"
        for row in blessing.rows()
        if row["status"] == "failed"
    ]
    for name, line in gate.items():
        value, (sign, limit) = _metric(name, metrics), _parse(name, line)
        if not HOLDS[sign](value, limit):
            reasons.append(f"gate {name} {sign} {limit:g}: {value:.6g}")
    if reasons:
        raise Refused(
            "the model was not pushed",
            expected="every rule of the serving contract and every line of the gate to hold",
            received="; ".join(reasons),
            fix="mend what is named, or change the limit under [gate]",
        )


def _parse(name: str, line: str) -> tuple[str, float]:
    found = LINE.fullmatch(line) if isinstance(line, str) else None
    if found is None:
        raise UserError(
            f"gate.{name} can't be read",
            expected="a sign (>=, >, <= or <) and a number, as in '>= 0.8'",
            received=repr(line),
            fix=f'write {name} = ">= 0.8" under [gate]',
        )
    return found[1], float(found[2])


def _metric(name: str, metrics: dict[str, Any]) -> float:
    numbers = _numbers(metrics)
    if name not in numbers:
        like = nearest(name, numbers)
        raise UserError(
            f"gate.{name}: no such metric",
            expected=one_of(numbers),
            received=repr(name),
            fix=f"did you mean {like}?" if like else "name one of the metrics",
        )
    return numbers[name]


def _numbers(metrics: dict[str, Any], above: str = "") -> dict[str, float]:
    """Returns every number under its dotted path.

    Example:
        >>> _numbers({"accuracy": 0.9, "per_class": {"pos": {"recall": 0.8}}})
        {'accuracy': 0.9, 'per_class.pos.recall': 0.8}
    """
    found: dict[str, float] = {}
    for key, value in metrics.items():
        if isinstance(value, dict):
            found |= _numbers(value, f"{above}{key}.")
        elif isinstance(value, int | float) and not isinstance(value, bool):
            found[above + key] = value
    return found


def _is(version: Path, digest: str, files: dict[str, Path]) -> bool:
    """Says whether a pushed version is the model with this digest, whole."""
    if read_manifest(version).get("saved_digest") != digest:
        return False
    there = content(version)
    return all(
        name in there and (name == MANIFEST or there[name].stat().st_size == file.stat().st_size)
        for name, file in files.items()
    )


def _copy(
    saved: Saved, files: dict[str, Path], digest: str, more: dict[str, Any], draft: Path
) -> None:
    """Writes the version's files, with `more` in the manifest, and flushes them to the disk."""
    for name, file in files.items():
        target = draft / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, target)
    write_json(draft / MANIFEST, saved.manifest() | {"saved_digest": digest, **more})
    if (saved.path / RECORD).is_file():  # not where a model came from elsewhere than a run
        write_json(draft / LINEAGE, ancestry(saved.path))
    flush(draft)
