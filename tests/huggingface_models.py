"""Makes small Hugging Face classifiers of every kind, and what transformers on torch says of them.

It runs as a program of its own, for torch need not share a process with TensorFlow.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

KINDS = ("albert", "bert", "deberta-v2", "distilbert", "electra", "roberta", "xlm-roberta")
LABELS = {0: "bad", 1: "fair", 2: "good"}
SIZE = {
    "vocab_size": 120,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 48,
    "max_position_embeddings": 40,
    "initializer_range": 0.2,
}
MORE: dict[str, dict[str, Any]] = {
    "albert": {"embedding_size": 16, "inner_group_num": 1},
    "deberta-v2": {
        "relative_attention": True,
        "share_att_key": True,
        "norm_rel_ebd": "layer_norm",
        "position_biased_input": False,
        "type_vocab_size": 0,
        "pos_att_type": ["p2c", "c2p"],
        "position_buckets": 8,
    },
    "electra": {"embedding_size": 16},
    "roberta": {"type_vocab_size": 1, "layer_norm_eps": 1e-5, "pad_token_id": 1},
    "xlm-roberta": {"type_vocab_size": 1, "layer_norm_eps": 1e-5, "pad_token_id": 1},
}


def make(folder: Path) -> Path:
    """Makes them in another process; returns the folder."""
    _call("make", folder)
    return folder


def score(folder: Path) -> None:
    """Loads the models under `folder` in another process, and writes `logits.npy` into each."""
    _call("score", folder)


def _call(what: str, folder: Path) -> None:
    command = [sys.executable, __file__, what, str(folder)]
    said = subprocess.run(command, capture_output=True, text=True, check=False)
    assert said.returncode == 0, said.stderr


def rows(kind: str) -> tuple[Any, Any]:
    """Returns token ids and a padding mask [rows, tokens], for a model of `SIZE`."""
    random = np.random.default_rng(1)
    lengths = np.array([3, 9, 24])
    mask = (np.arange(24) < lengths[:, None]).astype(np.int32)
    padding = MORE.get(kind, {}).get("pad_token_id", 0)
    ids = np.where(mask, random.integers(5, SIZE["vocab_size"], mask.shape), padding)
    return ids.astype(np.int32), mask


def logits(model: Any, kind: str) -> Any:
    import torch

    ids, mask = (torch.tensor(x, dtype=torch.int64) for x in rows(kind))
    with torch.no_grad():
        return model(input_ids=ids, attention_mask=mask).logits.numpy()


def _score(folder: Path) -> None:
    from transformers import AutoModelForSequenceClassification

    for kind in KINDS:
        model = AutoModelForSequenceClassification.from_pretrained(folder / kind).eval()
        assert dict(model.config.id2label) == LABELS
        np.save(folder / kind / "logits.npy", logits(model, kind))


def _make(folder: Path) -> None:
    """Writes `<kind>/` with `logits.npy`, and BERT's weights in other kinds of files too."""
    import torch
    from transformers import AutoConfig, AutoModelForSequenceClassification

    for kind in KINDS:
        torch.manual_seed(0)
        config = AutoConfig.for_model(kind, **{**SIZE, **MORE.get(kind, {})}, id2label=LABELS)
        model = AutoModelForSequenceClassification.from_config(config).eval()
        with torch.no_grad():
            # As transformers makes them, biases are 0 and norms 1: what is mixed up would not show.
            for parameter in model.parameters():
                parameter += torch.randn_like(parameter) * 0.2
        model.save_pretrained(folder / kind)
        np.save(folder / kind / "logits.npy", logits(model, kind))
        if kind == "bert":
            for name in ("sharded", "torch", "legacy"):
                model.save_pretrained(folder / name, max_shard_size="20KB")
            for name, zipped in (("torch", True), ("legacy", False)):
                for file in (folder / name).glob("model*"):
                    file.unlink()
                torch.save(
                    model.state_dict(),
                    folder / name / "pytorch_model.bin",
                    _use_new_zipfile_serialization=zipped,
                )


if __name__ == "__main__":
    {"make": _make, "score": _score}[sys.argv[1]](Path(sys.argv[2]))
