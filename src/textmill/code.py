"""What code a function depends on: the modules that it reaches by imports, and their packages."""

from __future__ import annotations

import ast
import hashlib
import importlib.machinery
import importlib.metadata
import inspect
import re
import sys
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from types import ModuleType

# What calls components is no code of theirs, though a user's file may hold a component and its run.
_CALLERS = {"textmill.run", "textmill.plan", "textmill.cli", "textmill.pipelines.local"}
# Distributions whose name differs from the module's. Asking importlib.metadata for the whole map
# takes half a second, so the ones that we import ourselves are spelt out.
_DISTRIBUTIONS = {"sklearn": "scikit-learn", "tensorflow_serving": "tensorflow-serving-api"}
_FILE_NAME = re.compile(r"[\w-]+(\.[\w-]+)+")


@dataclass(frozen=True)
class Code:
    """The code behind a function.

    Attributes:
        modules: Module name -> digest of its syntax tree, for our own and the user's modules.
        packages: Distribution name -> version, for everything installed that they import.
    """

    modules: dict[str, str] = field(default_factory=dict)
    packages: dict[str, str] = field(default_factory=dict)


def code_of(function: Callable[..., object] | ModuleType) -> Code:
    """Returns the code behind a function, a class or a module, found by reading, not importing.

    It follows the imports of its module (those inside functions too, those for type
    checkers not) through every module of Textmill and of the user; an installed package counts
    with its version. Comments, layout and docstrings do not count.

    Example:
        >>> from textmill.errors import nearest
        >>> code_of(nearest)
        Code(modules={'textmill.errors': '...'}, packages={})
    """
    if isinstance(function, ModuleType):
        name = function.__name__
    else:
        name, function = function.__module__, inspect.unwrap(function)
    code, file = Code(), _file_of(function)
    if file.suffix == ".py" and file.is_file():
        _follow(name, file, code)
    else:
        # Typed into a notebook or an interpreter: there is no module to read, but the function.
        code.modules[name], imports = _digest(ast.parse(_source_of(function)), name, Path())
        _follow_all(imports, code)
    return Code(dict(sorted(code.modules.items())), dict(sorted(code.packages.items())))


def _file_of(function: Callable[..., object] | ModuleType) -> Path:
    try:
        return Path(inspect.getsourcefile(function) or "")
    except TypeError:  # a class that was typed in
        return Path()


def _source_of(function: Callable[..., object] | ModuleType) -> str:
    if inspect.isclass(function):
        # inspect can find a method that was typed in, but not its class.
        methods = [inspect.unwrap(m) for m in vars(function).values() if inspect.isfunction(m)]
        # Those of a dataclass are generated, from "<string>".
        written = [m for m in methods if m.__code__.co_filename != "<string>"]
        return "\n".join(textwrap.dedent(inspect.getsource(m)) for m in written)
    return textwrap.dedent(inspect.getsource(function))


def _follow(name: str, file: Path, code: Code) -> None:
    if name in code.modules:
        return
    code.modules[name], imports = _read(name, file, file.stat().st_mtime_ns)
    _follow_all(imports, code)


def _follow_all(imports: tuple[str, ...], code: Code) -> None:
    for imported in imports:
        top = imported.partition(".")[0]
        if top in sys.stdlib_module_names or imported in _CALLERS:
            continue
        found = _locate(imported)
        if found is None:
            continue
        if _installed(found) and top != "textmill":
            distribution, version = _distribution(top)
            code.packages[distribution] = version
        else:
            _follow(imported, found, code)


@cache
def _read(name: str, file: Path, changed: int) -> tuple[str, tuple[str, ...]]:
    """Returns the digest of a module's syntax tree, and what it imports.

    `changed`, the time of the file's last change, keeps a long session from reading an old answer.
    """
    package = name if file.name == "__init__.py" else name.rpartition(".")[0]
    return _digest(ast.parse(file.read_bytes()), package, file)


def _digest(tree: ast.Module, package: str, file: Path) -> tuple[str, tuple[str, ...]]:
    imports = tuple(dict.fromkeys(_imports(tree, package)))
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            body = node.body
            if body and isinstance(body[0], ast.Expr) and isinstance(body[0].value, ast.Constant):
                node.body = body[1:]
    digest = hashlib.sha256(ast.dump(tree).encode())
    for node in ast.walk(tree):
        # A file beside the module that it names, such as a template, is as good as code.
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            beside = file.parent / node.value
            if _FILE_NAME.fullmatch(node.value) and file.name and beside.is_file():
                digest.update(beside.read_bytes())
    return digest.hexdigest()[:16], imports


def _imports(tree: ast.AST, package: str) -> Iterator[str]:
    """Yields the absolute names of the modules that a syntax tree imports."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parts = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*parts, base] if base else parts)
            yield base
            # `from package import module` names a module too.
            yield from (f"{base}.{alias.name}" for alias in node.names)
        else:
            yield from _imports(node, package)


@cache
def _locate(name: str) -> Path | None:
    """Returns the file of a module without importing it; None if there is no such module."""
    places: list[str] | None = None
    names = name.split(".")
    for depth in range(1, len(names) + 1):
        spec = importlib.machinery.PathFinder.find_spec(".".join(names[:depth]), places)
        if spec is None:
            return None
        places = list(spec.submodule_search_locations or ())
        # A namespace package has no file of its own.
        file = Path(spec.origin or places[0])
        if _installed(file) and names[0] != "textmill":
            break  # the version of its package says enough
    return file


def _installed(file: Path) -> bool:
    """Returns whether a file belongs to an installed package rather than to the user's own code."""
    return not {"site-packages", "dist-packages"}.isdisjoint(file.parts) or file.suffix != ".py"


@cache
def _distribution(top: str) -> tuple[str, str]:
    """Returns the distribution that brings a top-level module, and its version."""
    for name in (_DISTRIBUTIONS.get(top), top):
        if name is not None:
            try:
                found = importlib.metadata.distribution(name)
                return found.name, found.version
            except importlib.metadata.PackageNotFoundError:
                continue
    for name in importlib.metadata.packages_distributions().get(top, ()):
        return name, importlib.metadata.version(name)
    return top, "unknown"
