"""Changes each key of a config once, on tiny random models that write; and what transformers says.

It runs as a program of its own, for torch need not share a process with TensorFlow.
"""

from __future__ import annotations

import copy
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

from bart_models import SIZES as BART
from bart_models import pairs
from causal_models import SCALED, SPECS, rows

WINDOW = 8  # tokens, fewer than a row has
KINDS: dict[str, dict[str, Any]] = {
    **{kind: SPECS[kind][1] for kind in ("gpt2", "llama", "mistral", "qwen2", "gemma", "gemma2")},
    "bart": BART,
}
TURNS: list[Any] = [
    {"rope_type": "default", "rope_theta": 500.0},
    {"rope_type": "default", "rope_theta": 10000.0, "partial_rotary_factor": 0.5},
    {"rope_type": "linear", "rope_theta": 10000.0, "factor": 4.0},
    {"rope_type": "dynamic", "rope_theta": 10000.0, "factor": 4.0},
    {"rope_type": "yarn", "rope_theta": 10000.0, "factor": 4.0},
    SCALED,
]
# Key -> what it becomes, where another number or its contrary would be no model.
VALUES: dict[str, list[Any]] = {
    "activation_function": ["relu", "gelu", "silu", "quick_gelu"],
    "attn_logit_softcapping": [5.0, None],
    "decoder_start_token_id": [3],
    "final_logit_softcapping": [5.0, None],
    "head_dim": [16, 4],
    "hidden_act": ["gelu", "relu", "gelu_new", "swish"],
    "hidden_activation": ["gelu", "gelu_new"],
    "id2label": [{0: "a", 1: "b", 2: "c"}],
    "intermediate_size": [80],
    "label2id": [{"a": 0, "b": 1, "c": 2}],
    "layer_types": [["sliding_attention"] * 2, ["full_attention"] * 2],
    "max_window_layers": [1],
    "bos_token_id": [3],
    "eos_token_id": [3],
    "pad_token_id": [3],
    "n_inner": [80],
    "num_attention_heads": [2],
    "n_head": [2],
    "num_key_value_heads": [4, 1],
    "problem_type": ["regression"],
    "query_pre_attn_scalar": [64],
    "rope_parameters": TURNS,
    "sliding_window": [WINDOW, WINDOW // 2],
    "summary_activation": ["tanh"],
    "summary_type": ["last"],
    "use_bidirectional_attention": [True],
}
# Beside those of the class: older spellings, keys that transformers heeds all the same, and two
# that only mean something together.
MORE: dict[str, list[dict[str, Any]]] = {
    "gpt2": [{"is_causal": False}, {"n_ctx": 8}],
    "llama": [
        {"is_causal": False},
        {"rope_theta": 500.0},
        {"rope_scaling": {"type": "linear", "factor": 4.0}},
        {"rope_scaling": {**SCALED}},
        {"partial_rotary_factor": 0.5, "rope_theta": 10000.0},
        {"attention_bias": True, "mlp_bias": True, "tie_word_embeddings": True},
    ],
    "mistral": [{"layer_types": ["full_attention"] * 2}],
    "qwen2": [{"use_sliding_window": True, "sliding_window": WINDOW, "max_window_layers": 1}],
    "gemma": [{"layer_types": ["full_attention"] * 2}, {"hidden_activation": "gelu"}],
    "gemma2": [{"head_dim": 16, "query_pre_attn_scalar": 16}, {"sliding_window": None}],
    "bart": [{"normalize_before": True}],
}


def make(folder: Path) -> dict[str, list[dict[str, Any]]]:
    """Makes them in another process.

    Returns:
        Of each kind a row a change, of which the first changes nothing: its keys and values under
        `changed`; and `folder`, with the model and `logits.npy`, or `failed`, what transformers
        said in its place.
    """
    command = [sys.executable, __file__, str(folder)]
    said = subprocess.run(command, capture_output=True, text=True, check=False)
    assert said.returncode == 0, said.stderr
    return json.loads((folder / "walk.json").read_text())  # type: ignore[no-any-return]


def given(kind: str) -> dict[str, list[list[int]]]:
    """Returns what a model reads: a row of each of its inputs."""
    if kind != "bart":
        return {"input_ids": [rows()[2]]}
    source, target = pairs()[3]
    return {"input_ids": [source], "decoder_input_ids": [target]}


def changes(kind: str, known: dict[str, Any]) -> list[dict[str, Any]]:
    """Returns every change of one key, and those of `MORE`.

    Args:
        kind: Of the model.
        known: All keys of its config class, with the values of the tiny model.
    """
    found = [{key: value} for key, old in known.items() for value in _others(key, old)]
    return found + MORE[kind]


def _others(key: str, old: Any) -> list[Any]:
    if key in VALUES:
        return [value for value in VALUES[key] if value != old]
    if isinstance(old, bool) or old is None:
        return [not old]
    if isinstance(old, (int, float)):
        return [old * 2 if old else type(old)(0.5) or 1]
    return [f"another {key}"]


def _walk(folder: Path, kind: str) -> list[dict[str, Any]]:
    import torch
    from transformers import CONFIG_MAPPING, AutoModelForCausalLM, AutoModelForSeq2SeqLM

    auto = AutoModelForSeq2SeqLM if kind == "bart" else AutoModelForCausalLM
    tokens = {name: torch.tensor(ids) for name, ids in given(kind).items()}
    known = CONFIG_MAPPING[kind](**KINDS[kind]).to_dict()
    walk = []
    usual: Any = None
    for i, changed in enumerate([{}, *changes(kind, known)]):
        row: dict[str, Any] = {"changed": changed}
        walk.append(row)
        try:
            # The class puts more into what it is given.
            config = CONFIG_MAPPING[kind].from_dict({**KINDS[kind], **copy.deepcopy(changed)})
            torch.manual_seed(0)
            model = auto.from_config(config, attn_implementation="eager").eval()
            with torch.no_grad():
                for parameter in model.parameters():
                    parameter += torch.randn_like(parameter) * 0.2
                usual = usual or copy.deepcopy(model.state_dict())
                # The same weights, so that nothing but the key makes a difference.
                if _shapes(usual) == _shapes(model.state_dict()):
                    model.load_state_dict(usual)
                logits = model(**tokens, return_dict=True).logits[0].numpy()
            to = folder / kind / str(i)
            model.save_pretrained(to)
        except Exception as error:  # transformers' own: of any class
            row["failed"] = f"{type(error).__name__}: {error}"[:300]
            continue
        # As a stranger's file may say it, and not only as transformers writes it.
        said = json.loads((to / "config.json").read_text())
        if {"rope_theta", "rope_scaling", "partial_rotary_factor"} & changed.keys():
            del said["rope_parameters"]
        (to / "config.json").write_text(json.dumps({**said, **changed}))
        np.save(to / "logits.npy", logits)
        row["folder"] = str(to)
    return walk


def _shapes(weights: Any) -> dict[str, Any]:
    return {name: weight.shape for name, weight in weights.items()}


def _make(folder: Path) -> None:
    import torch

    torch.set_num_threads(1)
    (folder / "walk.json").write_text(json.dumps({kind: _walk(folder, kind) for kind in KINDS}))


if __name__ == "__main__":
    _make(Path(sys.argv[1]))
