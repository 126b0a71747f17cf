"""Run: cache, drafts, locks, and what makes a step run again."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import steps
from textmill.artifact import RECORD, Examples, ancestry, read_json
from textmill.errors import UserError
from textmill.progress import Silent
from textmill.run import Run


class Heard(Silent):
    """Keeps how each step ended."""

    def __init__(self) -> None:
        self.ends: dict[str, str] = {}
        self.said: list[tuple[object, ...]] = []

    def advanced(self, step: str, done: float, total: float | None, note: str) -> None:
        self.said.append((step, done, total, note))

    def warned(self, step: str, text: str) -> None:
        self.said.append((step, text))

    def finished(self, step: str, status: str, seconds: float, note: str) -> None:
        self.ends[step] = status


@pytest.fixture
def numbers(tmp_path: Path) -> Path:
    file = tmp_path / "numbers.txt"
    file.write_text("1 22 333 4444")
    return file


def ends(workspace: Path, file: Path, force: tuple[str, ...] = (), **values: int) -> dict[str, str]:
    heard = Heard()
    steps.pipeline(Run(workspace, force=force, listener=heard), file, **values)
    return heard.ends


def test_second_run_takes_everything_from_the_cache(tmp_path: Path, numbers: Path) -> None:
    first = ends(tmp_path / "w", numbers)
    assert first == {"load": "done", "total": "done", "longest": "done"}
    second = ends(tmp_path / "w", numbers)
    assert second == {"load": "cached", "total": "cached", "longest": "cached"}


def test_changed_parameter_reruns_only_what_depends_on_it(tmp_path: Path, numbers: Path) -> None:
    ends(tmp_path / "w", numbers)
    assert ends(tmp_path / "w", numbers, base=2) == {
        "load": "cached",
        "total": "cached",
        "longest": "done",
    }


def test_changed_row_reruns_what_reads_it(tmp_path: Path, numbers: Path) -> None:
    ends(tmp_path / "w", numbers)
    numbers.write_text("1 22 334 4444")
    assert set(ends(tmp_path / "w", numbers).values()) == {"done"}


def test_step_that_writes_the_same_again_reruns_nothing_below(
    tmp_path: Path, numbers: Path
) -> None:
    ends(tmp_path / "w", numbers)
    numbers.write_text("1 22 333 5555")  # beyond the first three
    assert ends(tmp_path / "w", numbers) == {
        "load": "done",
        "total": "cached",
        "longest": "cached",
    }


def test_forced_step_runs_although_nothing_changed(tmp_path: Path, numbers: Path) -> None:
    ends(tmp_path / "w", numbers)
    assert ends(tmp_path / "w", numbers, force=("load",)) == {
        "load": "done",
        "total": "cached",
        "longest": "cached",
    }


@pytest.mark.parametrize("damage", ["delete", "truncate"])
def test_damaged_artifact_is_made_again(tmp_path: Path, numbers: Path, damage: str) -> None:
    ends(tmp_path / "w", numbers)
    (file,) = (tmp_path / "w" / "load").glob("*/numbers")
    file.unlink() if damage == "delete" else file.write_text("1")
    assert ends(tmp_path / "w", numbers)["load"] == "done"
    assert file.read_text() == "1 22 333"


def test_failed_step_leaves_nothing_but_its_row(tmp_path: Path, numbers: Path) -> None:
    run = Run(tmp_path / "w")
    loaded = run(steps.load, steps.Numbers(numbers))
    with pytest.raises(UserError, match="numbers: odd"):
        run(steps.fail, loaded)
    assert list((tmp_path / "w" / "fail").iterdir()) == []


def test_progress_and_warnings_reach_the_listener(tmp_path: Path, numbers: Path) -> None:
    heard = Heard()
    steps.pipeline(Run(tmp_path / "w", listener=heard), numbers)
    assert heard.said == [("total", 1, 2, "half way"), ("total", "sums can be large")]


def test_record_tells_how_an_artifact_was_made(tmp_path: Path, numbers: Path) -> None:
    total, _ = steps.pipeline(Run(tmp_path / "w"), numbers, upto=2)
    tree = ancestry(total.path)
    assert tree["component"] == "steps.total"
    assert tree["digest"] == total.digest
    made_by = tree["inputs"]["numbers"]["made_by"]
    assert made_by["parameters"]["upto"] == 2
    assert made_by["inputs"]["source"]["digest"] == "1 22 333 4444"
    assert {"steps", "textmill.artifact"} <= made_by["modules"].keys()
    assert made_by["environment"]["cores"] >= 1


def test_workspace_can_move(tmp_path: Path, numbers: Path) -> None:
    total, _ = steps.pipeline(Run(tmp_path / "w"), numbers)
    before = ancestry(total.path)
    (tmp_path / "w").rename(tmp_path / "moved")
    assert ancestry(tmp_path / "moved" / total.path.relative_to(tmp_path / "w")) == before
    assert set(ends(tmp_path / "moved", numbers).values()) == {"cached"}


def test_component_without_an_artifact_to_fill_is_refused(tmp_path: Path) -> None:
    def wrong(rows: int) -> None: ...

    with pytest.raises(TypeError, match="first parameter of a component is the artifact to fill"):
        Run(tmp_path)(wrong)  # type: ignore[arg-type]  # what mypy would have said


def test_value_without_a_stable_description_is_refused(tmp_path: Path) -> None:
    def odd(out: Examples, *, value: object) -> None: ...

    with pytest.raises(TypeError, match="no stable description"):
        Run(tmp_path)(odd, value=object())


def test_workspace_that_is_a_file_is_a_clear_error(tmp_path: Path, numbers: Path) -> None:
    (tmp_path / "w").write_text("")
    with pytest.raises(UserError, match="cannot be written"):
        steps.pipeline(Run(tmp_path / "w"), numbers)


PROGRAM = """
import sys, time
from pathlib import Path
from textmill.artifact import Examples
from textmill.run import Run

def slow(out: Examples, *, seconds: float) -> None:
    (out.path / "began").write_text(str(time.time()))
    time.sleep(seconds)
    (out.path / "end").write_text("end")

Run(Path(sys.argv[1]))(slow, seconds=float(sys.argv[2]))
"""


def start(tmp_path: Path, seconds: float) -> subprocess.Popen[bytes]:
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    return subprocess.Popen([sys.executable, program, tmp_path / "w", str(seconds)])


def wait_for_draft(workspace: Path) -> Path:
    for _ in range(600):
        found = list(workspace.glob("slow/*.draft-*/began"))
        if found:
            return found[0].parent
        time.sleep(0.02)
    raise AssertionError("no draft appeared")


def test_killed_run_leaves_a_draft_that_the_next_run_removes(tmp_path: Path) -> None:
    process = start(tmp_path, 60)
    draft = wait_for_draft(tmp_path / "w")
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert draft.exists()
    # Another fingerprint than the killed one, and the draft goes all the same.
    assert start(tmp_path, 0).wait() == 0
    (done,) = (tmp_path / "w" / "slow").iterdir()
    assert (done / "end").read_text() == "end"


def test_two_runs_at_once_share_one_execution(tmp_path: Path) -> None:
    first = start(tmp_path, 2)
    draft = wait_for_draft(tmp_path / "w")
    second = start(tmp_path, 2)
    assert first.wait() == 0
    assert second.wait() == 0
    (done,) = (tmp_path / "w" / "slow").iterdir()
    assert not draft.exists()
    assert read_json(done / RECORD)["seconds"] >= 2
    from textmill.store import Store, execution

    with Store(f"sqlite:///{tmp_path / 'w' / 'lineage.db'}")._engine.connect() as db:
        assert len(db.execute(execution.select()).all()) == 1


def test_what_a_failed_step_left_its_next_attempt_finds(tmp_path: Path) -> None:
    def climb(out: Examples, *, top: int) -> None:
        """Fails once a rung, and goes on from there."""
        out.unfinished.mkdir(exist_ok=True)
        rung = len(list(out.unfinished.iterdir()))
        if rung < top:
            (out.unfinished / str(rung)).touch()
            raise RuntimeError(f"slipped at {rung}")
        (out.path / "rungs").write_text(str(rung))

    run = Run(tmp_path)
    for rung in range(2):
        with pytest.raises(RuntimeError, match=f"slipped at {rung}"):
            run(climb, top=2)
    assert (run(climb, top=2).path / "rungs").read_text() == "2"
    assert [f.name for f in (tmp_path / "climb").iterdir()] == [run(climb, top=2).path.name]


def test_unfinished_work_that_nobody_took_up_goes_in_the_end(tmp_path: Path) -> None:
    def give_up(out: Examples, *, number: int) -> None:
        """Leaves something and fails."""
        out.unfinished.mkdir()
        raise RuntimeError

    run = Run(tmp_path)
    for number in range(2):
        with pytest.raises(RuntimeError):
            run(give_up, number=number)
    first, second = sorted((tmp_path / "give_up").iterdir())
    a_month_ago = time.time() - 31 * 24 * 3600
    os.utime(first, (a_month_ago, a_month_ago))
    with pytest.raises(RuntimeError):
        run(give_up, number=2)
    assert not first.exists()
    assert second.exists()


def test_logs_are_kept_but_do_not_count(tmp_path: Path) -> None:
    def note(out: Examples, *, name: str) -> None:
        """Writes what is the same each time, and a log that is not."""
        (out.path / "same").write_text("same")
        (out.path / "logs").mkdir()
        (out.path / "logs" / "times").write_text(name)

    one, two = (Run(tmp_path)(note, name=name) for name in ("one", "two"))
    assert one.path != two.path
    assert one.digest == two.digest
    assert (two.path / "logs" / "times").read_text() == "two"
