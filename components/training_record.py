"""What every training leaves in its model's folder, whatever was learned."""

from __future__ import annotations

import csv
import shutil
from typing import TYPE_CHECKING, Any

import numpy as np

from textmill.artifact import LOGS, Model, Pretrained, Tokens, write_json
from textmill.models.task import Task

if TYPE_CHECKING:
    from textmill.models.training import Learned

# What serving must know of the rows that a model learned from, beside what the task settles.
ABOUT = ("labels", "kind", "separator", "pair", "max_length", "overlap", "windows", "cleaning")


def write_task(out: Model, learned: Learned, tokens: Tokens, task: Task) -> None:
    """Writes what a model learned, and what the validation rows settle, to `textmill/task.json`.

    Args:
        out: Where to.
        learned: What the training ended with.
        tokens: What it learned from.
        task: What it learned.
    """
    from textmill.models.rows import read_rows
    from textmill.models.scoring import score

    info = tokens.info()
    held_out = read_rows(tokens, "validation")

    def scored() -> Any:
        nothing = np.zeros((0, len(info["labels"])), np.float32)
        return score(learned.model, held_out) if len(held_out) else (nothing, nothing)

    about = {key: value for key, value in info.items() if key in ABOUT}
    settled = task.settle(scored, info["labels"])
    write_json(out.path / "textmill" / "task.json", {"task": task.NAME, **about, **settled})


def write_training(out: Model | Pretrained, learned: Learned, tokens: Tokens) -> None:
    """Writes a trained network with its tokenizer, and how the training went.

    Args:
        out: Gets a KerasHub preset; `history.csv` and `learning_curve.png`; `training.json` and
            `tokenizer.json` in `textmill/`; and TensorBoard's files in `logs/`.
        learned: What the training ended with.
        tokens: What it learned from.
    """
    from textmill.models.checkpoint import save_classifier
    from textmill.models.curves import draw

    save_classifier(
        learned.model,
        out.path,
        tokenizer_file=tokens.tokenizer_file,
        max_length=tokens.info()["max_length"],
    )
    write_json(out.path / "textmill" / "training.json", learned.facts)
    shutil.copyfile(tokens.tokenizer_file, out.tokenizer_file)
    with (out.path / "history.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=learned.history[0], lineterminator="\n")
        writer.writeheader()
        writer.writerows(learned.history)
    draw(learned.history, out.path / "learning_curve.png")
    shutil.copytree(out.unfinished / LOGS, out.path / LOGS)
