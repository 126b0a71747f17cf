"""A user's own function or class, found by the name that a config gives it."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

from textmill.errors import UserError, nearest, one_of


def find_code(name: str, *, key: str) -> Any:
    """Returns what "file.py:name" or "package.module:name" stands for.

    What lies beside a file can be imported by it, as if the file were run.

    Args:
        name: As the config has it.
        key: Where it has it, for messages.

    Raises:
        UserError: There is no such file or module, or it has no such name.

    Example:
        >>> find_code("textmill.errors:nearest", key="tune.hypermodel").__name__
        'nearest'
    """
    place, colon, wanted = name.rpartition(":")
    try:
        if not colon:
            raise ImportError("no colon in it")
        if place.endswith(".py"):
            if not Path(place).is_file():
                raise ImportError(f"there is no file {place}")
            folder = str(Path(place).resolve().parent)
            if folder not in sys.path:
                sys.path.insert(0, folder)
            place = Path(place).stem
        module = importlib.import_module(place)
    except ImportError as error:
        raise UserError(
            f"{key}: {name} can't be imported",
            expected='"file.py:name" or "package.module:name"',
            received=str(error),
            fix="mend the path, or what the module itself imports",
        ) from error
    found = getattr(module, wanted, None)
    if found is None:
        names = [each for each in vars(module) if not each.startswith("_")]
        close = nearest(wanted, names)
        raise UserError(
            f"{key}: {place} has no {wanted}",
            expected=one_of(names),
            received=wanted,
            fix=f"did you mean {close}?" if close else "name something that it defines",
        )
    return found
