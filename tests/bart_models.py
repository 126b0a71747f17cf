"""Makes a small BART, and the logits that transformers on torch gives for pairs.

It runs as a program of its own, for torch need not share a process with TensorFlow.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

VOCABULARY = 120
SIZES: dict[str, Any] = {
    "vocab_size": VOCABULARY, "d_model": 32, "encoder_layers": 2, "decoder_layers": 2,
    "encoder_attention_heads": 4, "decoder_attention_heads": 4, "encoder_ffn_dim": 48,
    "decoder_ffn_dim": 48, "max_position_embeddings": 64, "init_std": 0.2,
}  # fmt: skip


def make(folder: Path) -> Path:
    """Makes it in another process; returns the folder."""
    command = [sys.executable, __file__, str(folder)]
    said = subprocess.run(command, capture_output=True, text=True, check=False)
    assert said.returncode == 0, said.stderr
    return folder


def pairs() -> list[tuple[list[int], list[int]]]:
    """Returns sources and targets, the first tokens of these included."""
    random = np.random.default_rng(1)

    def ids(count: int) -> list[int]:
        return random.integers(4, VOCABULARY, count).tolist()  # type: ignore[no-any-return]

    return [([0, *ids(n), 2], [2, 0, *ids(m), 2]) for n, m in ((3, 9), (20, 2), (1, 1), (8, 8))]


def _make(folder: Path) -> None:
    """Writes the model, and `logits.json`: for each pair, [tokens of the target, vocabulary]."""
    import torch
    from transformers import BartConfig, BartForConditionalGeneration

    torch.set_num_threads(1)
    torch.manual_seed(0)
    model = BartForConditionalGeneration(BartConfig(**SIZES)).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += torch.randn_like(parameter) * 0.1
        found = [
            model(torch.tensor([source]), decoder_input_ids=torch.tensor([target])).logits[0]
            for source, target in pairs()
        ]
    model.save_pretrained(folder)
    (folder / "logits.json").write_text(json.dumps([each.tolist() for each in found]))


if __name__ == "__main__":
    _make(Path(sys.argv[1]))
