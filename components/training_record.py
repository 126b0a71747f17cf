"""What every training leaves in its model's folder, whatever was learned."""

from __future__ import annotations

import csv
import shutil
from typing import TYPE_CHECKING

from textmill.artifact import LOGS, Model, Pretrained, Tokens, write_json

if TYPE_CHECKING:
    from textmill.models.training import Learned


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
