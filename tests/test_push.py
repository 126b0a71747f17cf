"""A push is all or nothing, refuses what failed, and never makes the same version twice."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from textmill.artifact import (
    LOGS,
    Blessing,
    Evaluation,
    Pushed,
    Saved,
    read_json,
    versions,
    write_json,
)
from textmill.components import push as component
from textmill.components.push import push
from textmill.errors import Refused, UserError

METRICS = {"accuracy": 0.85, "f1_macro": 0.7, "per_class": {"pos": {"recall": 0.75}}, "rows": 40}
MEASURED = {"load_seconds": 0.5, "latency_ms": {"p50": 3.0, "p95": 4.0}}
PASSED = {"rule": "raw text", "status": "passed", "found": "strings", "fix": ""}
SKIPPED = {"rule": "version folder", "status": "skipped", "found": "no version", "fix": ""}
FAILED = {"rule": "free batch", "status": "failed", "found": "text is [8]", "fix": "use None"}


def saved(folder: Path, content: str = "graph") -> Saved:
    (folder / "variables").mkdir(parents=True)
    (folder / "saved_model.pb").write_text(content)
    (folder / "variables" / "variables.index").write_text("index")
    write_json(folder / "assets.extra" / "manifest.json", {"labels": ["a"]})
    record = {"files": {}, "inputs": {}, "step": "export", "started": "now"}
    write_json(folder / "artifact.json", record)
    return Saved(folder, content.rjust(64, "0"))


def pushed(
    model: Saved, to: Path | str, *, gate: dict[str, Any] | None = None, rows: Any = (PASSED,)
) -> Pushed:
    work = model.path.parent
    write_json(work / "blessing" / "blessing.json", list(rows))
    write_json(work / "blessing" / LOGS / "measured.json", MEASURED)
    write_json(work / "evaluation" / "metrics.json", METRICS)
    out = Pushed(work / "pushed")
    out.path.mkdir(exist_ok=True)
    push(
        out,
        model,
        Blessing(work / "blessing"),
        Evaluation(work / "evaluation"),
        to=str(to),
        gate=gate,
    )
    return out


def test_versions_grow_and_hold_the_whole_model(tmp_path: Path) -> None:
    base = tmp_path / "models" / "reviews"
    (base / "4").mkdir(parents=True)
    (base / "007").mkdir()
    model = saved(tmp_path / "work" / "saved")
    out = pushed(model, base, rows=(PASSED, SKIPPED))
    assert read_json(out.path / "pushed.json") == {"path": str(base / "5"), "version": 5}
    assert out.model_path == base / "5"
    files = {f.relative_to(base / "5").as_posix() for f in (base / "5").rglob("*") if f.is_file()}
    assert files == {
        "saved_model.pb",
        "variables/variables.index",
        "assets.extra/manifest.json",
        "assets.extra/lineage.json",
    }
    manifest = read_json(base / "5" / "assets.extra" / "manifest.json")
    assert manifest["labels"] == ["a"]
    assert manifest["saved_digest"] == model.digest
    assert manifest["metrics"]["accuracy"] == 0.85
    assert manifest["measured"] == MEASURED
    lineage = read_json(base / "5" / "assets.extra" / "lineage.json")
    assert lineage["step"] == "export"
    assert pushed(saved(tmp_path / "other" / "saved", "better"), base).model_path == base / "6"
    assert versions(base) == [4, 5, 6]


def test_a_relative_path_stays_relative(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    out = pushed(saved(tmp_path / "work" / "saved"), "models/reviews")
    assert read_json(out.path / "pushed.json")["path"] == "models/reviews/1"


def test_the_same_model_is_adopted_not_pushed_again(tmp_path: Path) -> None:
    base = tmp_path / "models"
    model = saved(tmp_path / "work" / "saved")
    first, again = pushed(model, base).model_path, pushed(model, base).model_path
    assert first == again == base / "1"
    pushed(saved(tmp_path / "other" / "saved", "better"), base)
    # An older version that is this model does not count: the server has moved on.
    assert pushed(model, base).model_path == base / "3"
    (base / "3" / "saved_model.pb").unlink()
    assert pushed(model, base).model_path == base / "4"


@pytest.mark.parametrize(
    "line", [">= 0.85", "> 0.849", "<= 0.85", "< 0.9", ">=.8", " > 8.4e-1 ", ">= -1"]
)
def test_a_gate_that_holds(tmp_path: Path, line: str) -> None:
    gate = {"accuracy": line, "per_class.pos.recall": "> 0.7"}
    assert pushed(
        saved(tmp_path / "w" / "saved"), tmp_path / "models", gate=gate
    ).model_path.is_dir()


@pytest.mark.parametrize(
    ("gate", "says"),
    [
        ({"accuracy": "> 0.85"}, "gate accuracy > 0.85: 0.85"),
        ({"accuracy": ">= 0.9"}, "gate accuracy >= 0.9: 0.85"),
        ({"accuracy": "< 0.85"}, "gate accuracy < 0.85: 0.85"),
        ({"accuracy": "<= 0.8"}, "gate accuracy <= 0.8: 0.85"),
        ({"per_class.pos.recall": ">= 0.8"}, "gate per_class.pos.recall >= 0.8: 0.75"),
    ],
)
def test_a_gate_that_does_not_hold(tmp_path: Path, gate: dict[str, str], says: str) -> None:
    with pytest.raises(Refused, match=says) as error:
        pushed(saved(tmp_path / "work" / "saved"), tmp_path / "models", gate=gate)
    assert error.value.exit_code == 1
    assert not (tmp_path / "models").exists()


def test_every_reason_is_named(tmp_path: Path) -> None:
    gate = {"accuracy": ">= 0.9", "f1_macro": "> 0.8", "rows": "> 1"}
    with pytest.raises(Refused, match=r"free batch.*text is \[8\].*accuracy.*f1_macro") as error:
        pushed(saved(tmp_path / "w" / "saved"), tmp_path / "m", gate=gate, rows=(PASSED, FAILED))
    assert "rows" not in error.value.received


@pytest.mark.parametrize(
    ("gate", "says"),
    [
        ({"acuracy": ">= 0.8"}, "(?s)no such metric.*did you mean accuracy"),
        ({"per_class": ">= 0.8"}, "no such metric"),
        ({"accuracy": "0.8"}, "can't be read"),
        ({"accuracy": "== 0.8"}, "can't be read"),
        ({"accuracy": ">= high"}, "can't be read"),
        ({"accuracy": ">= 0.8 or so"}, "can't be read"),
        ({"accuracy": 0.8}, "can't be read"),
    ],
)
def test_a_gate_that_makes_no_sense(tmp_path: Path, gate: dict[str, Any], says: str) -> None:
    with pytest.raises(UserError, match=says) as error:
        pushed(saved(tmp_path / "work" / "saved"), tmp_path / "models", gate=gate)
    assert error.value.exit_code == 2


@pytest.mark.parametrize("base", ["models", "models/below", "/proc/models"])
def test_a_base_that_cannot_be_written(tmp_path: Path, base: str) -> None:
    (tmp_path / "models").write_text("x")
    with pytest.raises(UserError, match="nothing can be written there"):
        pushed(saved(tmp_path / "work" / "saved"), tmp_path / base)


def test_pushers_at_once_get_a_version_each(tmp_path: Path) -> None:
    base = tmp_path / "models"
    models = [saved(tmp_path / f"work{i}" / "saved", f"model {i}") for i in range(8)]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda model: pushed(model, base).model_path, models))
    assert sorted(int(path.name) for path in found) == versions(base) == list(range(1, 9))
    for model, path in zip(models, found, strict=True):
        assert (path / "saved_model.pb").read_text() == (model.path / "saved_model.pb").read_text()


def test_a_push_that_fails_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    base = tmp_path / "models"
    monkeypatch.setattr(component.shutil, "copyfile", full)
    with pytest.raises(OSError, match="No space"):
        pushed(saved(tmp_path / "work" / "saved"), base)
    assert [f.name for f in base.iterdir() if f.is_dir()] == []


def test_a_killed_push_leaves_no_version_and_the_next_cleans_up(tmp_path: Path) -> None:
    base, model = tmp_path / "models", saved(tmp_path / "work" / "saved")
    code = f"""
import time
from pathlib import Path
from textmill.components import push
push.shutil.copyfile = lambda *_: time.sleep(60)
from test_push import pushed, Saved
pushed(Saved(Path({str(model.path)!r}), {model.digest!r}), {str(base)!r})
"""
    path = os.pathsep.join([str(Path(__file__).parent), *sys.path])
    victim = subprocess.Popen([sys.executable, "-c", code], env=os.environ | {"PYTHONPATH": path})
    deadline = time.monotonic() + 60
    while not list(base.glob(".draft-*")):
        assert time.monotonic() < deadline
        assert victim.poll() is None
        time.sleep(0.05)
    victim.send_signal(signal.SIGKILL)
    victim.wait()
    assert versions(base) == []
    assert pushed(model, base).model_path == base / "1"
    assert list(base.glob(".draft-*")) == []


def test_a_push_killed_after_the_rename_ends_as_an_undisturbed_one(tmp_path: Path) -> None:
    model = saved(tmp_path / "work" / "saved")
    out = pushed(model, tmp_path / "models")
    said = json.loads((out.path / "pushed.json").read_text())
    shutil.rmtree(out.path)  # the run died before it knew
    again = pushed(model, tmp_path / "models")
    assert json.loads((again.path / "pushed.json").read_text()) == said
    assert versions(tmp_path / "models") == [1]
