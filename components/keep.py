"""Keep: a pretrained model to where other configs name it."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from textmill.artifact import LINEAGE, LOGS, RECORD, Kept, Pretrained, ancestry, write_json
from textmill.errors import UserError
from textmill.workspace import flush, flush_folder


def keep(out: Kept, model: Pretrained, *, to: str) -> None:
    """Copies a preset to the folder `to`, in one rename; replaces what a run before put there.

    Args:
        out: `kept.json`, which names the folder.
        model: What to copy; its lineage goes with it as `textmill/lineage.json`.
        to: The folder.

    Raises:
        UserError: There is something else under this name, or no room or right to write it.
    """
    target = Path(to).absolute()
    if target.exists() and not (target / "textmill" / "pretraining.json").is_file():
        raise UserError(
            f"save.to: {to} is there already",
            expected="a new folder, or one that a pretraining wrote",
            received="another folder" if target.is_dir() else "a file",
            fix="name another folder, or remove this one",
        )
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=".draft-") as draft:
            made = Path(draft) / "made"
            shutil.copytree(model.path, made, ignore=shutil.ignore_patterns(RECORD, LOGS))
            if (model.path / RECORD).is_file():
                write_json(made / LINEAGE, ancestry(model.path))
            flush(made)
            if target.exists():
                target.rename(Path(draft) / "before")
            made.rename(target)
        flush_folder(target.parent)
    except OSError as error:
        raise UserError(
            f"save.to: {to} can't be written",
            expected="a folder that can be made, on a disk with room for the model",
            received=str(error),
            fix="name another folder, or make room or give rights there",
        ) from error
    write_json(out.path / "kept.json", {"path": to, "digest": Kept.digest_of(target)})
