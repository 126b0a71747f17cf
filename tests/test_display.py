"""What a person sees of a run."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from textmill import display
from textmill.display import Live, Plain, listener_for
from textmill.lineage import tree_of


def plain() -> tuple[Plain, io.StringIO]:
    out = io.StringIO()
    listener = listener_for(Console(file=out, width=100))
    assert isinstance(listener, Plain)
    return listener, out


def test_quick_step_is_one_plain_line() -> None:
    listener, out = plain()
    listener.started("ingest")
    listener.advanced("ingest", 1, 2, "rows")
    listener.finished("ingest", "done", 0.5, "runs/ingest/ab12")
    assert out.getvalue() == "ingest: done in 0.50 s runs/ingest/ab12\n"


def test_long_step_says_how_far_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    listener, out = plain()
    listener.started("train")
    monkeypatch.setattr(display, "PLAIN_INTERVAL", 0.0)
    listener.advanced("train", 30, 120, "epoch 1/4")
    listener.advanced("train", 7, None, "")
    listener.advanced("train", 0, None, "trying float32")
    listener.warned("train", "the [gate] is low")
    assert out.getvalue().splitlines() == [
        "train:  25% epoch 1/4",
        "train: 7",
        "train: trying float32",
        "train: warning: the [gate] is low",
    ]


def test_plain_lines_keep_what_rich_would_read_as_a_code() -> None:
    listener, out = plain()
    listener.started("push")
    listener.finished("push", "done", 0.5, "models/[v2]/:us:/[/b]\tx")
    assert out.getvalue() == "push: done in 0.50 s models/[v2]/:us:/[/b]\tx\n"


def test_lineage_keeps_what_rich_would_read_as_a_code() -> None:
    here = {"system": "Linux", "processor": "x", "cores": 1, "textmill": "0", "python": "3"}
    record = {
        "type": "Saved", "digest": "a" * 40, "path": "runs/[v2]/:us:", "step": "train",
        "parameters": {"name": "[b]"}, "packages": {}, "environment": here, "seconds": 1,
        "started": "2026-01-01T00:00:00",
        "inputs": {"data [red]": {"type": "Raw", "digest": "b" * 40, "given": "[/]x.csv"}},
    }  # fmt: skip
    out = io.StringIO()
    Console(file=out, width=100).print(tree_of(record), highlight=False)
    for part in ("runs/[v2]/:us:", "name='[b]'", "data [red]: Raw", "[/]x.csv"):
        assert part in out.getvalue()


def test_terminal_shows_a_bar_and_then_the_end() -> None:
    out = io.StringIO()
    listener = listener_for(Console(file=out, force_terminal=True, width=100))
    assert isinstance(listener, Live)
    listener.started("train")
    listener.advanced("train", 30, 120, "epoch 1/4")
    listener.warned("train", "the [gate] is low")
    listener.finished("train", "done", 61, "[/]runs/[v2]/:us:/ab12")
    seen = out.getvalue()
    assert "[/]runs/[v2]/:us:/ab12" in seen
    assert "epoch 1/4" in seen
    assert "the [gate] is low" in seen
    assert "1 min 1 s" in seen.splitlines()[-1]
