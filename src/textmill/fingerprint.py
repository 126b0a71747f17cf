"""What makes one execution of a step equal to another: code, inputs and parameters."""

from __future__ import annotations

import dataclasses
import hashlib
import inspect
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any, Protocol, runtime_checkable

from textmill.artifact import Artifact
from textmill.code import code_of

PENDING = "pending"  # the digest of an artifact that a dry run can't know yet


@runtime_checkable
class Digestible(Protocol):
    """An input that is no artifact but has content, such as a source of examples."""

    def digest(self) -> str:
        """Returns a digest of the content."""


@dataclass(frozen=True)
class Recipe:
    """All that decides what a step writes.

    Attributes:
        component: Full name of the function.
        inputs: Parameter -> digest of the artifact or raw input given for it.
        parameters: Parameter -> plain value.
        modules: Module -> digest, of the code that the function reaches.
        packages: Distribution -> version, of the packages that this code imports.
    """

    component: str
    inputs: dict[str, str]
    parameters: dict[str, Any]
    modules: dict[str, str]
    packages: dict[str, str]

    def fingerprint(self) -> str:
        """Returns 16 hexadecimal digits that change when anything in the recipe does."""
        text = json.dumps(dataclasses.asdict(self), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def differences(self, before: Mapping[str, Any]) -> Iterator[str]:
        """Yields, in words, what changed since the recipe `before` (as `asdict` gives it)."""
        for title, old, new in (
            ("input", before["inputs"], self.inputs),
            ("parameter", flat(before["parameters"]), flat(self.parameters)),
            ("code", before["modules"], self.modules),
            ("package", before["packages"], self.packages),
        ):
            for name in sorted(old.keys() | new.keys()):
                if old.get(name) == new.get(name):
                    continue
                if title in ("input", "code"):
                    yield f"{title} {name} changed"
                elif name not in old or name not in new:
                    yield f"{title} {name} {'added' if name in new else 'removed'}"
                else:
                    yield f"{title} {name}: {old[name]} -> {new[name]}"


def recipe_of(component: Callable[..., None], *args: object, **kwargs: object) -> Recipe:
    """Returns the recipe of `component(out, *args, **kwargs)`.

    Raises:
        TypeError: An argument is missing or unknown, or a value that can't be described.
    """
    signature = inspect.signature(component)
    bound = signature.bind(None, *args, **kwargs)
    bound.apply_defaults()
    inputs: dict[str, str] = {}
    parameters: dict[str, Any] = {}
    codes = [code_of(component)]  # and that of whatever is handed in: no import leads there
    for name in list(signature.parameters)[1:]:
        value = bound.arguments[name]
        if artifacts := artifacts_in(name, value):
            inputs |= {key: artifact.digest for key, artifact in artifacts.items()}
            continue
        if isinstance(value, Digestible):
            inputs[name] = value.digest()
        parameters[name] = plain(value)
        codes += map(code_of, _code_in(value))
    modules = {name: digest for code in codes for name, digest in code.modules.items()}
    packages = {name: version for code in codes for name, version in code.packages.items()}
    full_name = f"{component.__module__}.{component.__qualname__}"
    return Recipe(full_name, inputs, parameters, modules, packages)


def artifacts_in(name: str, value: object) -> dict[str, Artifact]:
    """Returns the artifacts that a parameter is given, by the names that lineage has for them.

    Args:
        name: Of the parameter.
        value: An artifact, or several by name; of anything else nothing is returned.

    Example:
        >>> from pathlib import Path
        >>> list(artifacts_in("candidates", {"small": Artifact(Path("a"))}))
        ['candidates.small']
    """
    if isinstance(value, Artifact):
        return {name: value}
    if isinstance(value, Mapping) and all(isinstance(each, Artifact) for each in value.values()):
        return {f"{name}.{key}": each for key, each in value.items()}
    return {}


def plain(value: object) -> Any:
    """Returns `value` as JSON can hold it, two values alike exactly when they mean the same.

    Example:
        >>> plain({"split": (0.8, 0.2), "label": None})
        {'split': [0.8, 0.2], 'label': None}
    """
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, PurePath):
        return value.as_posix()
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, frozenset | set):
        return sorted(plain(item) for item in value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {f.name: plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
        return {"type": type(value).__name__, **fields}
    if inspect.ismodule(value):
        return value.__name__
    if inspect.isfunction(value) or inspect.isclass(value):
        return f"{value.__module__}.{value.__qualname__}"
    if isinstance(value, Digestible):
        return repr(value)
    raise TypeError(
        f"a step was given {value!r} of type {type(value).__name__}, which has no stable "
        "description: give a plain value, a dataclass, a function, or an object with digest()"
    )


def flat(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Returns parameters with the fields of a dataclass among them as `parameter.field`.

    Example:
        >>> flat({"settings": {"type": "Settings", "epochs": 3}, "where": {"source": "imdb"}})
        {'settings.epochs': 3, 'where': {'source': 'imdb'}}
    """
    found: dict[str, Any] = {}
    for name, value in parameters.items():
        if isinstance(value, dict) and "type" in value:
            inner = {key: item for key, item in value.items() if key != "type"}
            found |= {f"{name}.{key}": item for key, item in flat(inner).items()}
        else:
            found[name] = value
    return found


def _code_in(value: object) -> Iterator[Any]:
    """Yields the functions, classes and modules that a parameter brings with it."""
    if isinstance(value, list | tuple | set | frozenset):
        for item in value:
            yield from _code_in(item)
    elif isinstance(value, Mapping):
        yield from _code_in(list(value.values()))
    elif inspect.isfunction(value) or inspect.isclass(value) or inspect.ismodule(value):
        yield value
    elif isinstance(value, Digestible) or dataclasses.is_dataclass(value):
        yield type(value)
