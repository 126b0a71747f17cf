"""The lineage store: what SQL can ask of it."""

from __future__ import annotations

from pathlib import Path

import pytest
import sqlalchemy as sa

import steps
from test_run import Heard
from textmill.artifact import Examples
from textmill.errors import UserError
from textmill.lineage import descendants_of, lineage_of
from textmill.run import Run
from textmill.store import Store, artifact, event, execution


@pytest.fixture
def numbers(tmp_path: Path) -> Path:
    file = tmp_path / "numbers.txt"
    file.write_text("1 22 333 4444")
    return file


def test_executions_artifacts_and_events_are_recorded(tmp_path: Path, numbers: Path) -> None:
    url = f"sqlite:///{tmp_path / 'elsewhere.db'}"
    steps.pipeline(Run(tmp_path / "w", lineage=url), numbers, upto=2)
    with sa.create_engine(url).connect() as db:
        rows = {row.step: row for row in db.execute(execution.select())}
        assert rows.keys() == {"load", "total", "longest"}
        assert rows["load"].parameters["upto"] == 2
        assert rows["load"].state == "complete"
        assert {row.type for row in db.execute(artifact.select())} == {
            "Numbers",
            "Examples",
            "Statistics",
            "Tokens",
        }
        directions = [row.direction for row in db.execute(event.select())]
        assert sorted(directions) == ["input"] * 3 + ["output"] * 3


def test_failed_execution_is_recorded_with_its_error(tmp_path: Path, numbers: Path) -> None:
    run = Run(tmp_path / "w")
    loaded = run(steps.load, steps.Numbers(numbers))
    with pytest.raises(UserError):
        run(steps.fail, loaded)
    with sa.create_engine(run.lineage).connect() as db:
        failed = db.execute(execution.select().where(execution.c.step == "fail")).one()
    assert failed.state == "failed"
    assert "numbers: odd" in failed.error


def test_descendants_follow_every_use(tmp_path: Path, numbers: Path) -> None:
    total, longest = steps.pipeline(Run(tmp_path / "w"), numbers)
    (loaded,) = (tmp_path / "w" / "load").iterdir()
    found = list(descendants_of(loaded))
    assert [row["step"] for row in found] == ["total", "longest"]
    assert [row["digest"] for row in found] == [total.digest, longest.digest]
    assert list(descendants_of(total.path)) == []


def test_lineage_of_a_workspace_is_that_of_its_newest_artifact(
    tmp_path: Path, numbers: Path
) -> None:
    steps.pipeline(Run(tmp_path / "w"), numbers)
    assert lineage_of(tmp_path / "w")["step"] == "longest"
    with pytest.raises(UserError, match="no lineage here"):
        lineage_of(tmp_path)


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("lineage.db", "not the URL of a database"),
        ("nosuch://user:secret@host/db", "no driver for nosuch://user:\\*\\*\\*@host/db"),
        ("sqlite:////nowhere/at/all.db", "the database at sqlite:////nowhere/at/all.db refused"),
    ],
)
def test_unreachable_store_is_told_before_the_step_runs(
    tmp_path: Path, url: str, message: str
) -> None:
    def never(out: Examples) -> None:
        pytest.fail("the step ran")

    with pytest.raises(UserError, match=message):
        Run(tmp_path / "w", lineage=url)(never)


def test_store_that_breaks_during_a_step_loses_no_work(tmp_path: Path) -> None:
    database = tmp_path / "w" / "lineage.db"

    def breaking(out: Examples) -> None:
        (out.path / "work").write_text("hours")
        database.write_text("this is no database any more, not by a long way" * 100)

    heard = Heard()
    made = Run(tmp_path / "w", listener=heard)(breaking)
    assert "not recorded: lineage" in str(heard.said)
    assert (made.path / "work").read_text() == "hours"


def test_same_store_serves_a_second_engine() -> None:
    store = Store("sqlite://")
    assert sa.inspect(store._engine).get_table_names() == ["artifact", "event", "execution"]
