"""Makes small causal language models of every kind, and what transformers on torch says of them.

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
LLAMA: dict[str, Any] = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "intermediate_size": 48,
    "max_position_embeddings": 64,
    "initializer_range": 0.2,
    "rms_norm_eps": 0.02,
    "bos_token_id": 0,
    "eos_token_id": 0,
}
GPT2: dict[str, Any] = {
    "vocab_size": VOCABULARY,
    "n_embd": 32,
    "n_layer": 2,
    "n_head": 4,
    "n_positions": 64,
    "initializer_range": 0.2,
    "bos_token_id": 0,
    "eos_token_id": 0,
}
SCALED = {
    "rope_type": "llama3",
    "rope_theta": 500.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 32,
}
SPECS: dict[str, tuple[str, dict[str, Any]]] = {
    "gpt2": ("gpt2", GPT2),
    "gpt2-untied": ("gpt2", {**GPT2, "n_inner": 48, "tie_word_embeddings": False}),
    "llama": ("llama", {**LLAMA, "tie_word_embeddings": False}),
    "llama-biased": (
        "llama",
        {**LLAMA, "attention_bias": True, "mlp_bias": True, "tie_word_embeddings": True},
    ),
    "llama-tied": ("llama", {**LLAMA, "tie_word_embeddings": True, "rms_norm_eps": 1e-5}),
    "llama-scaled": ("llama", {**LLAMA, "tie_word_embeddings": True, "rope_parameters": SCALED}),
    "qwen2": ("qwen2", {**LLAMA, "tie_word_embeddings": True}),
    "mistral": ("mistral", {**LLAMA, "sliding_window": None, "tie_word_embeddings": False}),
    "gemma": (
        "gemma",
        {
            **LLAMA,
            "head_dim": 8,
            "hidden_activation": "gelu_pytorch_tanh",
            "pad_token_id": 0,
            "rms_norm_eps": 1e-6,
        },
    ),
    "gemma2": (
        "gemma2",
        {
            **LLAMA,
            "head_dim": 8,
            "query_pre_attn_scalar": 8,
            "sliding_window": 8,
            "pad_token_id": 0,
            "rms_norm_eps": 1e-6,
        },
    ),
}


def make(folder: Path) -> Path:
    """Makes them in another process; returns the folder."""
    command = [sys.executable, __file__, str(folder)]
    said = subprocess.run(command, capture_output=True, text=True, check=False)
    assert said.returncode == 0, said.stderr
    return folder


def rows() -> list[list[int]]:
    """Returns documents of token ids."""
    random = np.random.default_rng(1)
    return [random.integers(1, VOCABULARY, n).tolist() for n in (3, 9, 24, 1)]


def _make(folder: Path) -> None:
    """Writes `<kind>/` with `logits.json`: for each of `rows`, [tokens, vocabulary]."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    for name, (kind, sizes) in SPECS.items():
        torch.manual_seed(0)
        config = AutoConfig.for_model(kind, **sizes)
        model = AutoModelForCausalLM.from_config(config).eval()
        with torch.no_grad():
            for parameter in model.parameters():
                parameter += torch.randn_like(parameter) * 0.2
            found = [model(torch.tensor([row])).logits[0].tolist() for row in rows()]
        model.save_pretrained(folder / name)
        (folder / name / "logits.json").write_text(json.dumps(found))


if __name__ == "__main__":
    _make(Path(sys.argv[1]))
