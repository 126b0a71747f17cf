"""Makes small masked language models of every kind, and what transformers on torch says of them.

It runs as a program of its own, for torch need not share a process with TensorFlow.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np

from huggingface_models import MORE, SIZE, logits

KINDS = ("albert", "bert", "deberta-v2", "distilbert", "roberta", "xlm-roberta")


def make(folder: Path) -> Path:
    """Makes them in another process; returns the folder."""
    command = [sys.executable, __file__, str(folder)]
    said = subprocess.run(command, capture_output=True, text=True, check=False)
    assert said.returncode == 0, said.stderr
    return folder


def _make(folder: Path) -> None:
    """Writes `<kind>/` with `logits.npy`, [rows, tokens, vocabulary]; and two more of BERT.

    `headless/` has no head, the head of `untied/` a matrix of its own.
    """
    import torch
    from transformers import AutoConfig, AutoModelForMaskedLM

    for kind in KINDS:
        torch.manual_seed(0)
        config = AutoConfig.for_model(kind, **{**SIZE, **MORE.get(kind, {})})
        model = AutoModelForMaskedLM.from_config(config).eval()
        with torch.no_grad():
            for parameter in model.parameters():
                parameter += torch.randn_like(parameter) * 0.2
        model.save_pretrained(folder / kind)
        np.save(folder / kind / "logits.npy", logits(model, kind))
        if kind == "bert":
            model.bert.save_pretrained(folder / "headless")
            config.tie_word_embeddings = False
            AutoModelForMaskedLM.from_config(config).save_pretrained(folder / "untied")


if __name__ == "__main__":
    _make(Path(sys.argv[1]))
