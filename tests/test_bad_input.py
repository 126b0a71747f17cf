"""What a user can get wrong: one message, exit code 2, nothing half-written."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from test_cli import CONFIG, textmill
from textmill.testing import tiny_reviews


def rows(label: str = "pos") -> str:
    return "".join(f"Film number {i} is worth seeing.,{label}\n" for i in range(60))


def write(name: str, content: str | bytes) -> Callable[[Path], str]:
    def make(folder: Path) -> str:
        data = content.encode() if isinstance(content, str) else content
        (folder / name).write_bytes(data)
        return f"data.source={name}"

    return make


def empty_folder(folder: Path) -> str:
    (folder / "nothing").mkdir()
    return "data.source=nothing"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        pytest.param(lambda _: "data.source=gone.csv", "gone.csv", id="missing file"),
        pytest.param(lambda _: "data.source=gone/*.csv", "gone/*.csv", id="glob without files"),
        pytest.param(lambda _: "data.text=txet", "text", id="wrong column"),
        pytest.param(write("one.csv", "text,label\n" + rows()), "only one label", id="one label"),
        pytest.param(write("empty.csv", ""), "empty.csv", id="empty file"),
        pytest.param(write("header.csv", "text,label\n"), "header.csv", id="header only"),
        pytest.param(empty_folder, "nothing", id="empty folder"),
        pytest.param(write("picture.csv", bytes(range(256)) * 40), "picture.csv", id="binary"),
        pytest.param(write("rows.docx", "x"), "rows.docx", id="unknown kind"),
        pytest.param(
            lambda _: "model.preset=bert_tiny_en_uncasd", "exactly one of", id="two starts"
        ),
        pytest.param(lambda _: "model.max_length=5000", "512", id="longer than the model"),
        pytest.param(lambda _: "push.to=reviews.csv", "reviews.csv", id="push into a file"),
        pytest.param(lambda _: "gate.accuracy=good", "gate.accuracy", id="gate"),
        pytest.param(lambda _: "workspace=reviews.csv", "cannot be written", id="workspace"),
    ],
)
def test_bad_input_is_one_message(
    tmp_path: Path, make: Callable[[Path], str], message: str
) -> None:
    tiny_reviews(tmp_path)
    (tmp_path / "textmill.toml").write_text(CONFIG)
    said = textmill("run", "textmill.toml", "--set", make(tmp_path), cwd=tmp_path)
    assert said.returncode == 2, said.stdout + said.stderr
    assert message in said.stderr
    for part in ("error: ", "  expected: ", "  received: ", "  fix:      "):
        assert said.stderr.count(part) == 1
    assert "Traceback" not in said.stderr
    assert not list(tmp_path.glob("runs/*/*.draft-*"))
    assert not list(tmp_path.glob("models/*"))


@pytest.mark.parametrize("preset", ["bert_tiny_en_uncasd", "hf://nobody/nothing", "no/folder"])
def test_preset_that_cannot_be_had_is_one_message(tmp_path: Path, preset: str) -> None:
    tiny_reviews(tmp_path)
    config = CONFIG.replace('scratch = "tiny"', f'preset = "{preset}"')
    (tmp_path / "textmill.toml").write_text(config)
    said = textmill("run", "textmill.toml", cwd=tmp_path)
    assert said.returncode == 2, said.stdout + said.stderr
    assert preset.removeprefix("hf://") in said.stderr
    assert "fix:" in said.stderr
    assert "Traceback" not in said.stderr
