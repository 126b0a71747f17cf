"""A GGUF file as the folder that Hugging Face would have of it, weights apart."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from functools import cache
from pathlib import Path

from textmill.artifact import write_json
from textmill.models.gguf_file import GgufFile
from textmill.models.gguf_tokenizer import tokenizer_of


@cache
def described(file: str, changed: float) -> Path:
    """Returns a folder with `config.json`, `tokenizer.json` and `tokenizer_config.json` of a file.

    It goes with the process.

    Args:
        file: A GGUF file.
        changed: When it was, so that another file of the name is read anew.
    """
    folder = Path(tempfile.mkdtemp(prefix="textmill-gguf-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    opened = GgufFile(Path(file))
    write_json(folder / "config.json", opened.config())
    tokenizer, about = tokenizer_of(opened)
    tokenizer.save(str(folder / "tokenizer.json"))
    write_json(folder / "tokenizer_config.json", about)
    return folder
