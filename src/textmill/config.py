"""Configuration: a TOML file becomes frozen dataclasses, and a typo becomes a clear message."""

from __future__ import annotations

import copy
import dataclasses
import json
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

from pydantic import ConfigDict, TypeAdapter, ValidationError

from textmill.errors import UserError, nearest, one_of

C = TypeVar("C")

# For every section: unknown keys and values of the wrong type are errors.
STRICT = ConfigDict(extra="forbid", strict=True)


def read_toml(file: Path) -> dict[str, Any]:
    """Returns what a TOML file holds.

    Raises:
        UserError: There is no such file, or it is not TOML.
    """
    try:
        return tomllib.loads(file.read_text("utf-8-sig"))  # some editors write a mark first
    except FileNotFoundError:
        raise UserError(
            f"{file}: no such config",
            expected="a TOML file",
            received="nothing at this path",
            fix="check the path, or let `textmill new` write a config for your data",
        ) from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UserError(
            f"{file}: cannot be read as TOML",
            expected="a readable UTF-8 file in TOML",
            received=str(error),
            fix="mend the line; texts stand in quotes, and so do paths",
        ) from None


def with_settings(values: Mapping[str, Any], settings: Sequence[str]) -> dict[str, Any]:
    """Returns a copy of `values` with `section.key=value` settings put in.

    A value is read as TOML; what is not TOML is taken as text.

    Example:
        >>> with_settings({"train": {"epochs": 3}}, ["train.epochs=5", "push.to=models/x"])
        {'train': {'epochs': 5}, 'push': {'to': 'models/x'}}
    """
    changed: dict[str, Any] = copy.deepcopy(dict(values))
    for setting in settings:
        key, equals, text = setting.partition("=")
        names = key.strip().split(".")
        if not equals or not all(names):
            raise UserError(
                f"--set {setting}",
                expected="section.key=value, such as train.epochs=5",
                received=setting,
                fix="write the key, an equals sign and the value without spaces around it",
            )
        section = changed
        for name in names[:-1]:
            section = section.setdefault(name, {})
            if not isinstance(section, dict):
                raise UserError(
                    f"--set {setting}",
                    expected=f"{name} to be a section",
                    received=f"{name} = {section!r}",
                    fix=f"set {name} itself, or another key",
                )
        section[names[-1]] = _toml_value(text)
    return changed


def build(kind: type[C], values: Mapping[str, Any], *, name: str) -> C:
    """Returns `values` as a `kind`, a pydantic dataclass whose fields are values and sections.

    Args:
        kind: The dataclass.
        values: What the TOML file holds.
        name: Whose values these are, for messages.

    Raises:
        UserError: A key is unknown or missing, or a value is not of the field's type.
    """
    try:
        # In JSON mode a list may fill a tuple, which keeps the dataclasses frozen all the way.
        return TypeAdapter(kind).validate_json(json.dumps(values, default=str))
    except ValidationError as error:
        raise _explained(error.errors()[0], kind, name) from None


def _explained(problem: Any, kind: type, name: str) -> UserError:
    path = [str(part) for part in problem["loc"]]
    dotted = ".".join(path)
    where, key = path[:-1], path[-1] if path else ""
    if problem["type"] == "unexpected_keyword_argument":
        valid = _keys(kind, where)
        section = f"[{'.'.join(where)}]" if where else "the top level"
        homes = [home for home, keys in _sections(kind).items() if key in keys]
        close = nearest(key, valid)
        if homes and not close:
            fix = f"move it to {homes[0] or 'the top level'}"
        else:
            fix = f"did you mean {close}?" if close else f"remove {key}"
        return UserError(
            f"{name}: unknown key {dotted}",
            expected=f"in {section} {one_of(valid)}",
            received=key,
            fix=fix,
        )
    if problem["type"] in ("missing", "missing_argument"):
        return UserError(
            f"{name}: {dotted} is missing",
            expected=f"a value for {dotted}",
            received="nothing",
            fix=f"add {key} = … " + (f"under [{'.'.join(where)}]" if where else "at the top"),
        )
    return UserError(
        f"{name}: {dotted} has a wrong value" if dotted else f"{name}: wrong value",
        expected=problem["msg"].removeprefix("Value error, ").removeprefix("Input should be "),
        received=repr(problem["input"]),
        fix=f"change {dotted}" if dotted else "change the config",
    )


def _keys(kind: type, path: Sequence[str]) -> list[str]:
    """Returns the keys of the section at `path`."""
    for part in path:
        hint = get_type_hints(kind)[part]
        kind = next((t for t in (hint, *getattr(hint, "__args__", ())) if _is_section(t)), kind)
    return [field.name for field in dataclasses.fields(kind)]


def _sections(kind: type) -> dict[str, list[str]]:
    """Returns section -> its keys, "" for the top level."""
    found = {"": _keys(kind, [])}
    for name in found[""]:
        keys = _keys(kind, [name])
        if keys != found[""]:
            found[f"[{name}]"] = keys
    return found


def _is_section(hint: object) -> bool:
    return isinstance(hint, type) and dataclasses.is_dataclass(hint)


def _toml_value(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text.strip()
