"""Makes a small BART, and what transformers on torch writes of sources with it.

It runs as a program of its own, for torch need not share a process with TensorFlow.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

VOCABULARY, LONGEST, NEW = 120, 64, 31
BEGIN = (2, 0)  # decoder_start_token_id and forced_bos_token_id, as BART's checkpoints have them
BART: dict[str, Any] = {
    "vocab_size": VOCABULARY, "d_model": 32, "encoder_layers": 2, "decoder_layers": 2,
    "encoder_attention_heads": 4, "decoder_attention_heads": 4, "encoder_ffn_dim": 48,
    "decoder_ffn_dim": 48, "max_position_embeddings": LONGEST, "init_std": 0.3,
}  # fmt: skip
WAYS: dict[str, dict[str, Any]] = {
    "greedy": {},
    "penalty": {"repetition_penalty": 1.3},
    "late": {"min_new_tokens": 20},
}
BEAMS: dict[str, dict[str, Any]] = {
    "beams": {"num_beams": 3},
    "long beams": {"num_beams": 4, "length_penalty": 2.0},
    "short beams": {"num_beams": 2, "length_penalty": 0.0},
}


def sources() -> list[list[int]]:
    """Returns sources of several lengths."""
    random = np.random.default_rng(1)
    return [random.integers(8, VOCABULARY, n).tolist() for n in (3, 9, LONGEST, 1, 20)]


def continuations() -> list[list[int]]:
    """Returns a continuation for each source; one is empty."""
    random = np.random.default_rng(2)
    return [random.integers(8, VOCABULARY, n).tolist() for n in (4, 1, 12, 0, 7)]


def make(folder: Path) -> Path:
    """Makes it in another process; returns the folder."""
    command = [sys.executable, __file__, str(folder)]
    said = subprocess.run(command, capture_output=True, text=True, check=False)
    assert said.returncode == 0, said.stderr
    return folder


def _make(folder: Path) -> None:
    """Writes the model, and `generated.json` beside it.

    In that is `end`, the token that ends a text; for each way the new tokens of each source, the
    forced one among them; and `likely`, the log-probabilities of `continuations`.
    """
    import torch
    from transformers import BartConfig, BartForConditionalGeneration

    torch.set_num_threads(1)  # it is so small that threads would wait for each other
    torch.manual_seed(0)
    model = BartForConditionalGeneration(BartConfig(**BART)).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter += torch.randn_like(parameter) * 0.1
            # Else it writes one token again and again, whatever it reads.
            if "shared" in name:
                parameter /= parameter.norm(dim=1, keepdim=True)
            parameter *= 3 if "positions" in name else 0.3 if "out_proj" in name else 1
    start, first = BEGIN
    model.generation_config.forced_eos_token_id = None

    def written(row: list[int], end: int | None, **how: Any) -> list[int]:
        ids = torch.tensor([row])
        model.generation_config.eos_token_id = end
        found: list[int] = model.generate(
            ids, attention_mask=torch.ones_like(ids), decoder_start_token_id=start,
            forced_bos_token_id=first, max_new_tokens=NEW, do_sample=False, **how,
        )[0].tolist()  # fmt: skip
        assert tuple(found[:2]) == BEGIN
        return found[1:]

    end = written(sources()[2], None)[7]
    found: dict[str, Any] = {"end": end}
    for way, how in (WAYS | BEAMS).items():
        found[way] = [written(row, end, **how) for row in sources()]
    found["likely"] = []
    for row, after in zip(sources(), continuations(), strict=True):
        with torch.no_grad():
            logits = model(
                torch.tensor([row]), decoder_input_ids=torch.tensor([[*BEGIN, *after]])
            ).logits[0, len(BEGIN) - 1 : -1]
        each = torch.log_softmax(logits, -1)[range(len(after)), after]
        found["likely"].append(float(each.sum()))
    model.save_pretrained(folder)
    # Published files say it, and KerasHub reads it; transformers 5 leaves it out.
    config = json.loads((folder / "config.json").read_text())
    config["num_hidden_layers"] = BART["encoder_layers"]
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "generated.json").write_text(json.dumps(found))


if __name__ == "__main__":
    _make(Path(sys.argv[1]))
