"""Runs a pipeline here, in this process."""

from __future__ import annotations

import dataclasses
import importlib
import importlib.util
import sys
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from textmill.artifact import Kept, Pushed
from textmill.config import build, read_toml, with_settings
from textmill.errors import UserError, nearest, one_of
from textmill.plan import DryRun, Planned
from textmill.progress import Listener
from textmill.run import Run, Runner


@dataclasses.dataclass(frozen=True)
class Job:
    """A pipeline and its config, ready to run.

    Example:
        >>> read_job(Path("reviews.toml")).run()  # doctest: +SKIP
        Pushed(path=PosixPath('runs/reviews/push/…'), digest='…')
    """

    pipeline: Callable[[Runner, Any], Pushed | Kept]
    config: Any

    def run(
        self, *, force: Collection[str] = (), listener: Listener | None = None
    ) -> Pushed | Kept:
        """Runs every step that is not in the cache; returns what was pushed, or saved."""
        run = Run(
            Path(self.config.workspace),
            lineage=self.config.lineage,
            force=force,
            listener=listener,
        )
        return self.pipeline(run, self.config)

    def plan(self, *, force: Collection[str] = ()) -> list[Planned]:
        """Returns what `run` would do, and does nothing."""
        run = DryRun(Path(self.config.workspace), force=force)
        self.pipeline(run, self.config)
        return run.steps


def read_job(config_file: Path, settings: Sequence[str] = ()) -> Job:
    """Returns the job that a config file describes.

    Args:
        config_file: TOML; its key `pipeline` names one of ours, or the file or the module of
            your own. Such a module has a class `Config` and a function named like the module.
        settings: Changes to the config as `section.key=value`.

    Raises:
        UserError: The file, a key, a value or the pipeline is not right.
    """
    values = with_settings(read_toml(config_file), settings)
    name = values.get("pipeline")
    if not isinstance(name, str):
        raise UserError(
            f"{config_file}: pipeline is missing",
            expected=one_of(ours()),
            received=repr(name) if name is not None else "nothing",
            fix='add pipeline = "text_classification" as the first line',
        )
    module = _module(name, config_file)
    function = module.__name__.rpartition(".")[2]
    try:
        pipeline, config_type = getattr(module, function), module.Config
    except AttributeError as missing:
        raise UserError(
            f"{config_file}: {name} is no pipeline",
            expected=f"a class Config and a function {function}(run, config) in {module.__file__}",
            received=str(missing),
            fix="see CONTRIBUTING.md for a pipeline of your own",
        ) from None
    return Job(pipeline, build(config_type, values, name=str(config_file)))


def ours() -> list[str]:
    """Returns the names of the pipelines that come with Textmill.

    Example:
        >>> "text_classification" in ours()
        True
    """
    files = Path(__file__).parent.glob("*.py")
    return sorted(f.stem for f in files if f"\ndef {f.stem}(run: Runner" in f.read_text("utf-8"))


def _module(name: str, config_file: Path) -> ModuleType:
    """Imports a pipeline's module: one of ours, a file, or a module that Python finds."""
    if name in ours():
        return importlib.import_module(f"textmill.pipelines.{name}")
    if name.endswith(".py") and Path(name).is_file():
        # As if the file had been run: what lies beside it can be imported by it.
        sys.path.insert(0, str(Path(name).resolve().parent))
        return importlib.import_module(Path(name).stem)
    if "." in name and importlib.util.find_spec(name.partition(".")[0]):
        return importlib.import_module(name)
    close = nearest(name, ours())
    raise UserError(
        f"{config_file}: no pipeline {name!r}",
        expected=one_of(ours()) + "; or the path of a .py file, or a module as package.module",
        received=repr(name),
        fix=f'did you mean pipeline = "{close}"?' if close else "use one of these names",
    )
