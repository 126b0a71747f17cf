"""Makes small causal language models, and what transformers on torch makes of prompts with them.

It runs as a program of its own, for torch need not share a process with TensorFlow.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

VOCABULARY, LONGEST = 120, 64
LLAMA: dict[str, Any] = {
    "vocab_size": VOCABULARY, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "intermediate_size": 48, "max_position_embeddings": LONGEST,
    "initializer_range": 0.3,
}  # fmt: skip
GPT2: dict[str, Any] = {
    "vocab_size": VOCABULARY, "n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": LONGEST,
    "initializer_range": 0.3,
}  # fmt: skip
KINDS = {
    "gpt2": ("gpt2", GPT2),
    "llama": ("llama", {**LLAMA, "tie_word_embeddings": True}),
    "qwen2": ("qwen2", {**LLAMA, "tie_word_embeddings": False}),
}
WAYS: dict[str, dict[str, Any]] = {
    "greedy": {},
    "penalty": {"repetition_penalty": 1.3},
    "late": {"min_new_tokens": 20},
}
BEAMS: dict[str, dict[str, Any]] = {
    "beams": {"num_beams": 3},
    "long beams": {"num_beams": 4, "length_penalty": 2.0},
    "short beams": {"num_beams": 2, "length_penalty": 0.0},
    "late beams": {"num_beams": 3, "min_new_tokens": 12, "repetition_penalty": 1.2},
}
# What a model does to logits by itself, by the names of `generation_config.json`.
PROCESSED: dict[str, dict[str, Any]] = {
    "all": {
        "sequence_bias": [[[5], 0.5], [[9, 10], -3.0], [[7, 8, 9], 4.0]],
        "repetition_penalty": 1.2, "no_repeat_ngram_size": 2, "min_length": 27,
        "bad_words_ids": [[11], [12, 13], [20]], "forced_bos_token_id": 31,
        "suppress_tokens": [40, 41, 42], "begin_suppress_tokens": [50, 51, 52, 53, 60, 61],
        "forced_eos_token_id": [33, 34],
    },
    "once": {"no_repeat_ngram_size": 1, "begin_suppress_tokens": list(range(8, 70))},
    "early beams": {"num_beams": 3, "early_stopping": True, "no_repeat_ngram_size": 3},
    "endless beams": {
        "num_beams": 2, "early_stopping": "never", "length_penalty": 1.5,
        "renormalize_logits": True, "suppress_tokens": [*range(8, 33)], "forced_eos_token_id": 33,
    },
}  # fmt: skip
NEW = 30
# Temperature, top-k and top-p of a row.
WARPS = [(1.0, 0, 1.0), (0.7, 0, 1.0), (2.5, 5, 1.0), (1.0, 0, 0.6), (1.3, 40, 0.8), (0.3, 1, 0.9)]


def prompts() -> list[list[int]]:
    """Returns prompts of several lengths."""
    random = np.random.default_rng(1)
    return [random.integers(8, VOCABULARY, n).tolist() for n in (3, 9, 24, 1, 5)]


def logits() -> Any:
    """Returns logits of a large vocabulary, float32 [rows of `WARPS`, 1000]."""
    random = np.random.default_rng(2)
    return random.normal(0, 2, (len(WARPS), 1000)).astype(np.float32)


def make(folder: Path) -> Path:
    """Makes them in another process; returns the folder."""
    command = [sys.executable, __file__, str(folder)]
    said = subprocess.run(command, capture_output=True, text=True, check=False)
    assert said.returncode == 0, said.stderr
    return folder


def _make(folder: Path) -> None:
    """Writes `warped.json` and `<kind>/`.

    In that is `generated.json`: `ends`, the tokens that end a text, and for each way the new tokens
    of each prompt.
    """
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM
    from transformers.generation import logits_process as process

    torch.set_num_threads(1)  # they are so small that threads would wait for each other
    for name, (kind, sizes) in KINDS.items():
        torch.manual_seed(0)
        config = AutoConfig.for_model(kind, **sizes, eos_token_id=None, bos_token_id=None)
        model = AutoModelForCausalLM.from_config(config).eval()
        with torch.no_grad():
            for parameter in model.parameters():
                parameter += torch.randn_like(parameter) * 0.1

        def written(
            row: list[int], ends: list[int] | None, model: Any = model, **how: Any
        ) -> list[int]:
            ids = torch.tensor([row])
            both = {"eos_token_id": ends, "pad_token_id": 0, "max_new_tokens": NEW}
            made: list[int] = model.generate(
                ids, attention_mask=torch.ones_like(ids), do_sample=False, **both, **how
            )[0, len(row) :].tolist()
            return made

        whole = [written(row, None) for row in prompts()]
        ends = [whole[1][6], whole[2][14]]
        found: dict[str, Any] = {"ends": ends}
        for way, how in (WAYS | BEAMS | PROCESSED).items():
            found[way] = [written(row, ends, **how) for row in prompts()]
        model.save_pretrained(folder / name)
        (folder / name / "generated.json").write_text(json.dumps(found))
    warped = []
    for row, (heat, k, p) in zip(torch.tensor(logits()), WARPS, strict=True):
        steps: list[Any] = [process.TemperatureLogitsWarper(heat)]
        steps += [process.TopKLogitsWarper(k)] if k else []
        steps += [process.TopPLogitsWarper(p)] if p < 1 else []
        scores = process.LogitsProcessorList(steps)(torch.tensor([[0]]), row[None])
        warped.append(torch.softmax(scores, -1)[0].tolist())
    (folder / "warped.json").write_text(json.dumps(warped))


if __name__ == "__main__":
    _make(Path(sys.argv[1]))
