"""Fingerprints: what changes them, and what does not."""

from __future__ import annotations

import linecache
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from textmill import code
from textmill.code import code_of
from textmill.errors import nearest
from textmill.fingerprint import recipe_of

STEP = '''
from textmill.artifact import Examples
import helper

def step(out: Examples, *, n: int = 1) -> None:
    """Writes."""
    import far
    helper.write(out, n)
'''


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A user's folder on Python's path, and a package `far` installed beside the others."""
    site = tmp_path / "site-packages"
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "mystep.py").write_text(STEP)
    (folder / "helper.py").write_text("def write(out, n):\n    pass\n")
    install(site, "1.0")
    monkeypatch.syspath_prepend(str(site))
    monkeypatch.syspath_prepend(str(folder))
    code._locate.cache_clear()
    yield folder
    for name in ("mystep", "helper", "far"):
        sys.modules.pop(name, None)


def install(site: Path, version: str) -> None:
    (site / "far").mkdir(parents=True, exist_ok=True)
    (site / "far" / "__init__.py").write_text("")
    info = site / "far.dist-info"
    info.mkdir(exist_ok=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: far\nVersion: {version}\n")
    code._distribution.cache_clear()


def fingerprint() -> str:
    sys.modules.pop("mystep", None)
    import mystep

    return recipe_of(mystep.step).fingerprint()


def test_packages_and_modules_are_found_inside_functions(project: Path) -> None:
    import mystep

    found = code_of(mystep.step)
    assert found.packages["far"] == "1.0"
    assert {"mystep", "helper", "textmill.artifact"} <= found.modules.keys()


@pytest.mark.parametrize(
    ("file", "change", "same"),
    [
        ("mystep.py", lambda s: s.replace("n: int = 1", "n: int = 2"), False),
        ("mystep.py", lambda s: s.replace("helper.write", "helper.read"), False),
        ("mystep.py", lambda s: s.replace("Writes.", "Writes it."), True),
        ("mystep.py", lambda s: "# a remark\n" + s, True),
        ("helper.py", lambda s: s.replace("pass", "return 1"), False),
        ("helper.py", lambda s: s + "\n\n", True),
    ],
)
def test_code_counts_and_remarks_do_not(
    project: Path, file: str, change: Callable[[str], str], same: bool
) -> None:
    before = fingerprint()
    path = project / file
    path.write_text(change(path.read_text()))
    assert (fingerprint() == before) == same


def test_version_of_an_imported_package_counts(project: Path, tmp_path: Path) -> None:
    before = fingerprint()
    install(tmp_path / "site-packages", "1.1")
    assert fingerprint() != before


def test_package_that_is_not_imported_does_not_count() -> None:
    assert code_of(nearest).packages == {}


def test_parameters_are_described_by_meaning() -> None:
    def step(out: object, *, value: object) -> None: ...

    def described(value: object) -> object:
        return recipe_of(step, value=value).parameters["value"]

    assert described((1, 2)) == described([1, 2])
    assert described({"b": 1}) == {"b": 1}
    assert described({"y", "x"}) == ["x", "y"]
    assert described(Path("a/b")) == "a/b"
    assert described(1) != described("1")
    assert described(nearest) != described(code_of)


def test_file_that_a_module_names_counts(project: Path) -> None:
    (project / "mystep.py").write_text(STEP + 'TEMPLATE = "page.html.jinja"\n')
    (project / "page.html.jinja").write_text("one")
    before = fingerprint()
    (project / "page.html.jinja").write_text("two")
    code._read.cache_clear()  # as in a new process
    assert fingerprint() != before


def test_function_without_a_file_counts_by_its_own_source() -> None:
    def digests(source: str) -> dict[str, str]:
        lines = [line + "\n" for line in source.splitlines()]
        linecache.cache["<cell 1>"] = (len(source), None, lines, "<cell 1>")
        space: dict[str, Any] = {"__name__": "notebook"}
        exec(compile(source, "<cell 1>", "exec"), space)
        return code_of(space["step"]).modules

    before = digests("def step(out):\n    from textmill import errors\n")
    assert before.keys() == {"notebook", "textmill.errors", "textmill"}
    assert digests("def step(out):\n    from textmill import errors; return 1\n") != before


def test_code_of_an_input_counts(project: Path) -> None:
    (project / "helper.py").write_text(
        "class Source:\n    def digest(self):\n        return 'same'\n"
        "    def __repr__(self):\n        return 'source'\n"
    )

    def step(out: object, source: object) -> None: ...

    def fingerprint_of_source() -> str:
        sys.modules.pop("helper", None)
        import helper

        return recipe_of(step, helper.Source()).fingerprint()

    before = fingerprint_of_source()
    (project / "helper.py").write_text((project / "helper.py").read_text() + "    size = 1\n")
    assert fingerprint_of_source() != before
