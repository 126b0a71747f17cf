"""Asks a model in a process of its own, as TensorFlow Serving loads it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from textmill.serving import session

SECONDS = 600  # the longest a model may take to load and answer


def ask(folder: Path, job: dict[str, Any], python: Path | None = None) -> dict[str, Any]:
    """Returns what `textmill.serving.session` says of a copy of the model in a fresh process.

    Args:
        folder: A SavedModel.
        job: As `session` describes it.
        python: The interpreter; None: this one.

    Returns:
        Its answer, or `error` if that fails.
    """
    environment = os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": ""}
    if python is not None:
        environment.pop("PYTHONPATH", None)
    with tempfile.TemporaryDirectory(prefix="textmill-check-") as elsewhere:
        copy = Path(elsewhere) / "moved"
        command = [str(python or sys.executable), session.__file__, str(copy)]
        try:
            shutil.copytree(folder, copy)
            done = subprocess.run(
                command,
                input=json.dumps(job),
                capture_output=True,
                text=True,
                timeout=SECONDS,
                env=environment,
                check=False,
            )
            result: dict[str, Any] = json.loads(done.stdout)
        except subprocess.TimeoutExpired:
            return {"error": f"the model gave no answer in {SECONDS} s"}
        except OSError as error:
            return {"error": f"the check could not run: {error.strerror or error}"}
        except json.JSONDecodeError:
            last = done.stderr.strip().splitlines()[-1:] or ["nothing was said"]
            return {"error": f"the process ended with code {done.returncode}: {last[0]}"}
    if "error" in result:
        result["error"] = result["error"].replace(str(copy), str(folder))
    return result


def one_line(error: str, folder: Path) -> str:
    """Returns the line of an error that says most, without the model's path.

    Example:
        >>> one_line("  no file /m/1/a", Path("/m/1"))
        'no file the model/a'
    """
    lines = [line.strip() for line in error.splitlines()]
    lines = [line for line in lines if line and line != "Graph execution error:"]
    return (lines[0] if lines else "no message").replace(str(folder), "the model")[:300]
