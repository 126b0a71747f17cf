"""Files that hold data, and what systems and editors leave beside them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from fnmatch import fnmatchcase
from pathlib import Path

from textmill.components.sources.source import listing
from textmill.progress import warn

_LEFT_BEHIND = (  # by macOS, Windows, network drives and file systems
    "__macosx", "icon\r", "thumbs.db", "ehthumbs.db", "desktop.ini", "$recycle.bin", "@eadir",
    "lost+found",
)  # fmt: skip


def is_hidden(name: str) -> bool:
    """Returns whether a file or a folder is one that a person doesn't see, or didn't make.

    Names with a dot in front, as .ipynb_checkpoints, .DS_Store and ._1.txt, and others that are
    known: __MACOSX, Thumbs.db, desktop.ini.

    Example:
        >>> is_hidden("._1.txt"), is_hidden("Thumbs.db"), is_hidden("1.txt")
        (True, True, False)
    """
    return name.lower() in _LEFT_BEHIND or (name[:1] == "." and name not in (".", ".."))


def visible(folder: Path) -> list[Path]:
    """Returns what is in a folder, by name, but for what is hidden."""
    return sorted(each for each in folder.iterdir() if not is_hidden(each.name))


def others(folder: Path, names: Collection[str]) -> list[Path]:
    """Returns what is visible in a folder, but for some names."""
    return [each for each in visible(folder) if each.name not in names]


def say_passed_over(root: str, passed_over: Sequence[Path]) -> None:
    """Warns of folders and files below `root` that are none of the data."""
    folders = [str(each.relative_to(root)) for each in passed_over if each.is_dir()]
    files = [str(each.relative_to(root)) for each in passed_over if not each.is_dir()]
    said = [
        f"{len(names):,} {kind.format('s' * (len(names) > 1))} ({listing(sorted(names))})"
        for kind, names in (("folder{}", folders), ("file{} of other kinds", files))
        if names
    ]
    if said:
        warn(f"{root}: passed over {' and '.join(said)}")


def matching(pattern: str) -> tuple[str, ...]:
    """Returns the files that match a pattern, by name.

    As in a shell, a wildcard stands for nothing hidden, unless the pattern itself has the dot:
    `*/.old/*.csv`. "**" goes into no folder that is a link. A link to nothing is a match, so that
    whoever opens it can say so.

    Args:
        pattern: With "*", "?", "[…]" or "**".
    """
    anchor = Path(pattern).anchor
    parts = Path(pattern).parts
    literal = next(i for i, part in enumerate(parts) if any(sign in part for sign in "*?["))
    asked = [part for part in parts[literal:] if is_hidden(part)]

    def shown(found: Path) -> bool:
        hidden = filter(is_hidden, found.parts[literal:])
        return all(any(fnmatchcase(part, each) for each in asked) for part in hidden)

    matches = Path(anchor).glob(pattern.removeprefix(anchor))
    files = (each for each in matches if each.is_file() or not each.exists())
    return tuple(sorted(str(each) for each in files if shown(each)))
