"""The wheel and the source distribution: built, installed into a new environment, run."""

from __future__ import annotations

import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from textmill.testing import tiny_reviews

ROOT = Path(__file__).parents[1]


def call(*command: str | Path, cwd: Path) -> str:
    said = subprocess.run(
        list(map(str, command)), cwd=cwd, capture_output=True, text=True, check=False
    )
    assert said.returncode == 0, said.stdout + said.stderr
    return said.stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheel and the source distribution of what git would hand out."""
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("dist")
    names = call("git", "ls-files", "--cached", "--others", "--exclude-standard", cwd=ROOT)
    with tarfile.open(source / "tree.tar", "w") as tar:
        for name in names.splitlines():
            if (ROOT / name).exists():
                tar.add(ROOT / name, name)
    with tarfile.open(source / "tree.tar") as tar:
        tar.extractall(source / "tree", filter="data")
    call(sys.executable, "-m", "build", "--outdir", out, source / "tree", cwd=source)
    return out


@pytest.mark.slow
def test_wheel_holds_every_module_and_template_once(built: Path) -> None:
    (wheel,) = built.glob("*.whl")
    held = {n for n in zipfile.ZipFile(wheel).namelist() if n.startswith("textmill/")}
    package = ROOT / "src" / "textmill"
    modules = set()
    for folder in (
        package,
        *(package / n for n in ("components", "models", "pipelines", "serving")),
    ):
        for file in (*folder.rglob("*.py"), *folder.rglob("*.jinja")):
            modules.add("textmill/" + file.relative_to(package).as_posix())
    assert modules <= held
    assert "textmill/py.typed" in held
    assert sum(name.endswith(".jinja") for name in held) > 1
    top = {n.partition("/")[0] for n in zipfile.ZipFile(wheel).namelist()}
    assert {n for n in top if not n.endswith(".dist-info")} == {"textmill"}


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["*.whl", "*.tar.gz"])
def test_fresh_environment_runs_what_was_built(built: Path, tmp_path: Path, kind: str) -> None:
    (package,) = built.glob(kind)
    uv = Path(sys.executable).with_name("uv")
    call(uv, "venv", "--python", sys.executable, "env", cwd=tmp_path)
    call(uv, "pip", "install", "--python", "env/bin/python", package, cwd=tmp_path)
    said = call(tmp_path / "env/bin/textmill", "doctor", cwd=tmp_path)
    assert "tensorflow" in said
    tiny_reviews(tmp_path)
    call(tmp_path / "env/bin/textmill", "new", ".", "reviews.csv", cwd=tmp_path)
    said = call(tmp_path / "env/bin/textmill", "run", "textmill.toml", "--dry-run", cwd=tmp_path)
    assert "push" in said
