"""What pushed models need of a server: flags, memory and room on a disk, as their manifests say."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from textmill.artifact import read_manifest
from textmill.errors import UserError

# https://github.com/tensorflow/serving/blob/master/tensorflow_serving/model_servers/main.cc
FLAG = re.compile(r"--([a-z][a-z0-9_]*)(?:=[-A-Za-z0-9_.,:/+]*)?")
# A deployment says these itself: what it serves, and where.
OWN = ("model_config_file", "model_base_path", "model_name", "port", "rest_api_port")
UNMEASURED = 2  # times the files: weights, and what is made of them


def flags_of(folders: Sequence[Path]) -> tuple[str, ...]:
    """Returns the flags that versions of a model need, each once.

    Args:
        folders: Versions that one server loads.

    Raises:
        UserError: A manifest has what is no flag, or what is not the model's to say; or two
            versions need other values of one.
    """
    found: dict[str, tuple[str, Path]] = {}
    for folder in folders:
        for flag in read_manifest(folder).get("server_flags", []):
            name = FLAG.fullmatch(flag) if isinstance(flag, str) else None
            if name is None or name[1] in OWN:
                raise UserError(
                    f"{folder}: its manifest asks for a flag that can't be given",
                    expected="server_flags such as --enable_batching=false; not "
                    + ", ".join(f"--{own}" for own in OWN),
                    received=repr(flag),
                    fix="export the model again",
                )
            other, of = found.setdefault(name[1], (flag, folder))
            if other != flag:
                raise UserError(
                    f"no server can load both {of} and {folder}",
                    expected=f"one value of --{name[1]}",
                    received=f"{other} and {flag}",
                    fix="load one of them with --versions, and the other on a server of its own",
                )
    return tuple(flag for flag, _ in found.values())


def with_flags(arguments: Sequence[str], more: Sequence[str]) -> list[str]:
    """Returns a server's arguments with those that models need, which take the place of others.

    Example:
        >>> with_flags(["--a=1", "--b=2"], ["--b=3", "--c"])
        ['--a=1', '--b=3', '--c']
    """
    named = {each.partition("=")[0]: each for each in arguments}
    return list((named | {each.partition("=")[0]: each for each in more}).values())


def memory_of(folder: Path, batches: int) -> int:
    """Returns the bytes that a version takes in a server, beside those of the server itself.

    `check` measured what a model takes that answers one batch. Its files are there once, and what
    else it took comes again with each batch that is answered at the same time. Of a model that was
    never measured twice its files are reckoned with.

    Args:
        folder: The version.
        batches: How many are answered at once.
    """
    size = size_of(folder)
    measured = (read_manifest(folder).get("measured") or {}).get("memory_bytes")
    if measured is None:
        return UNMEASURED * size
    return size + batches * max(0, int(measured) - size)


def size_of(folder: Path) -> int:
    """Returns the bytes of a folder's files."""
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
