"""Config: TOML to dataclasses, and messages that name the nearest right thing."""

from __future__ import annotations

from dataclasses import field
from pathlib import Path
from typing import Annotated

import pytest
from annotated_types import Ge
from hypothesis import given
from hypothesis import strategies as st
from pydantic.dataclasses import dataclass

from textmill.config import STRICT, build, read_toml, with_settings
from textmill.errors import UserError


@dataclass(frozen=True, config=STRICT)
class Inner:
    epochs: Annotated[int, Ge(1)] = 3
    rate: float = 0.1
    names: tuple[str, ...] = ()


@dataclass(frozen=True, config=STRICT)
class Outer:
    workspace: str
    train: Inner = field(default_factory=Inner)


def test_values_and_defaults() -> None:
    built = build(Outer, {"workspace": "w", "train": {"rate": 1, "names": ["a"]}}, name="c.toml")
    assert built == Outer("w", Inner(3, 1.0, ("a",)))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"workspace": "w", "trian": {}}, r"unknown key trian\n(.*\n)+.*did you mean train\?"),
        (
            {"workspace": "w", "train": {"epoch": 1}},
            r"unknown key train.epoch\n(.*\n)+.*did you mean epochs\?",
        ),
        ({"workspace": "w", "epochs": 1}, r"unknown key epochs\n(.*\n)+.*move it to \[train\]"),
        (
            {"workspace": "w", "train": {"zzz": 1}},
            r"zzz\n.*epochs, names, rate\n(.*\n)+.*remove zzz",
        ),
        ({}, r"workspace is missing"),
        ({"workspace": 3}, r"workspace has a wrong value\n +expected: a valid string"),
        ({"workspace": "w", "train": {"epochs": 0}}, r"greater than or equal to 1\n +received: 0"),
        ({"workspace": "w", "train": {"epochs": "3"}}, r"a valid integer\n +received: '3'"),
        ({"workspace": "w", "train": 3}, r"train has a wrong value"),
    ],
)
def test_mistakes_are_explained(values: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        build(Outer, values, name="c.toml")


def test_settings_change_copies() -> None:
    values = {"train": {"epochs": 3}}
    assert with_settings(values, ["train.epochs=5", "train.rate=1e-3", "workspace=runs/x"]) == {
        "train": {"epochs": 5, "rate": 1e-3},
        "workspace": "runs/x",
    }
    assert values == {"train": {"epochs": 3}}


@pytest.mark.parametrize("setting", ["epochs", "=3", "a..b=1", "train.epochs.x=1"])
def test_senseless_settings_are_refused(setting: str) -> None:
    with pytest.raises(UserError, match="--set"):
        with_settings({"train": {"epochs": 3}}, [setting])


@given(st.text(st.characters(exclude_characters='"\\\n\r', exclude_categories=["Cc", "Cs"])))
def test_any_quoted_text_survives_set(text: str) -> None:
    assert with_settings({}, [f'a.b="{text}"']) == {"a": {"b": text}}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "no such config"),
        (b"a = ", "cannot be read as TOML"),
        (b"\xff\xfe\x00", "cannot be read as TOML"),
    ],
)
def test_unreadable_files_are_explained(
    tmp_path: Path, content: bytes | None, message: str
) -> None:
    file = tmp_path / "c.toml"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(UserError, match=message):
        read_toml(file)


def test_byte_order_mark_before_a_config_is_passed_over(tmp_path: Path) -> None:
    file = tmp_path / "c.toml"
    file.write_bytes('\ufeffname = "é"\r\n'.encode())
    assert read_toml(file) == {"name": "é"}
