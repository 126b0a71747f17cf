"""Makes small Hugging Face models of every kind and head, and what transformers on torch says.

It runs as a program of its own, for torch need not share a process with TensorFlow.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

KINDS = ("albert", "bert", "deberta-v2", "distilbert", "electra", "roberta", "xlm-roberta")
LABELS = {0: "bad", 1: "fair", 2: "good"}
# What an architecture ends with, `problem_type`, and the labels. The orders of the tags are none of
# ours; the second one's lack of a B-PER is that of models of CoNLL-2003.
HEADS: dict[str, tuple[str, str | None, dict[int, str]]] = {
    "one": ("ForSequenceClassification", None, LABELS),
    "many": ("ForSequenceClassification", "multi_label_classification", LABELS),
    "number": ("ForSequenceClassification", None, {0: "LABEL_0"}),
    "tags": (
        "ForTokenClassification",
        None,
        dict(enumerate(["O", "I-PER", "B-ORG", "B-PER", "I-ORG"])),
    ),
    "conll": (
        "ForTokenClassification",
        None,
        dict(enumerate(["B-LOC", "B-ORG", "I-LOC", "I-ORG", "I-PER", "O"])),
    ),
}
TFBERT = Path(__file__).parent / "golden" / "tfbert_tiny"
TEXTS = [
    *json.loads((TFBERT / "golden.json").read_text("utf-8"))["texts"],
    "Ada Lovelace and Charles Babbage met in London; so did Bob.",
    "Eve's brother-in-law flew from New York (JFK) to São Paulo on 3/4/1999.",
    "unbelievably overcomplicated antidisestablishmentarianism, isn't it?",
    "她在北京 met Łukasz, 他 in Kraków.",
]
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
    "roberta": {"type_vocab_size": 1, "layer_norm_eps": 1e-5, "pad_token_id": 3},
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


def named(kind: str, head: str) -> str:
    """Returns the folder of a model."""
    return kind if head == "one" else f"{kind}-{head}"


def logits(model: Any, kind: str) -> Any:
    import torch

    ids, mask = (torch.tensor(x, dtype=torch.int64) for x in rows(kind))
    with torch.no_grad():
        return model(input_ids=ids, attention_mask=mask)[0].numpy()


def loader(head: str) -> Any:
    """Returns the class of transformers that loads models with this head."""
    import transformers

    return getattr(transformers, f"AutoModel{HEADS[head][0]}")


def _score(folder: Path) -> None:
    """Writes `said.json` and `logits.npy` into each model's folder there is."""
    from transformers import AutoTokenizer

    for kind in KINDS:
        for head in HEADS:
            path = folder / named(kind, head)
            if not path.exists():
                continue
            model, info = loader(head).from_pretrained(path, output_loading_info=True)
            model.eval()
            np.save(path / "logits.npy", logits(model, kind))
            tokenizer = AutoTokenizer.from_pretrained(path)
            # Whatever a tokenizer gives, the model must take.
            given = tokenizer("a text", "and another", return_tensors="pt")
            if model.config.vocab_size > max(given["input_ids"][0]):
                model(**given)
            said = {
                "class": type(model).__name__,
                "labels": [model.config.id2label[i] for i in range(model.config.num_labels)],
                "problem_type": model.config.problem_type,
                "missing": sorted(info["missing_keys"]),
                "unexpected": sorted(info["unexpected_keys"]),
                "inputs": tokenizer.model_input_names,
            }
            (path / "said.json").write_text(json.dumps(said))


def _make(folder: Path) -> None:
    """Writes models with `logits.npy`, BERT's weights in other kinds of files, and `text-…`."""
    import torch

    for kind in KINDS:
        for head in HEADS:
            model = shaken(kind, head, {**SIZE, **MORE.get(kind, {})})
            model.save_pretrained(folder / named(kind, head))
            np.save(folder / named(kind, head) / "logits.npy", logits(model, kind))
            if (kind, head) != ("bert", "one"):
                continue
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
    for head in HEADS:
        _with_texts(folder / f"text-{head}", head)


def shaken(kind: str, head: str, sizes: dict[str, Any]) -> Any:
    """Returns a model of random weights, those that transformers sets to 0 and 1 too."""
    import torch
    from transformers import AutoConfig

    torch.manual_seed(0)
    _, problem, names = HEADS[head]
    config = AutoConfig.for_model(kind, **{"id2label": names, "problem_type": problem, **sizes})
    model = loader(head).from_config(config).eval()
    with torch.no_grad():
        # As transformers makes them, biases are 0 and norms 1: what is mixed up would not show.
        for parameter in model.parameters():
            parameter += torch.randn_like(parameter) * 0.2
    return model


def _with_texts(folder: Path, head: str) -> None:
    """Writes a BERT with a tokenizer, and `answers.json`: logits of texts and pairs, or spans."""
    import torch
    from transformers import AutoTokenizer, pipeline

    words = len((TFBERT / "vocab.txt").read_text("utf-8").splitlines())
    model = shaken("bert", head, {**SIZE, "vocab_size": words, "max_position_embeddings": 64})
    folder.mkdir()
    for name in ("vocab.txt", "tokenizer_config.json", "special_tokens_map.json"):
        shutil.copyfile(TFBERT / name, folder / name)
    tokenizer = AutoTokenizer.from_pretrained(folder, model_max_length=64)
    with torch.no_grad():
        # Whatever a random head prefers, each of its labels comes up in some text.
        given = [tokenizer(text, truncation=True, return_tensors="pt") for text in TEXTS]
        every = torch.cat([model(**each).logits.flatten(0, -2) for each in given])
        model.classifier.bias -= every.mean(0)
    model.save_pretrained(folder)
    found: dict[str, Any] = {"texts": TEXTS}
    if HEADS[head][0] == "ForTokenClassification":
        reads = pipeline(
            "token-classification", model, tokenizer=tokenizer, aggregation_strategy="first"
        )
        keys = ("start", "end", "entity_group", "score")
        found["spans"] = [
            [[float(e[k]) if k == "score" else e[k] for k in keys] for e in reads(t)] for t in TEXTS
        ]
    else:
        for key, others in (("logits", None), ("pairs", TEXTS[::-1])):
            # As lists of one: an empty second text by itself counts as none.
            given = [
                tokenizer(
                    TEXTS[i : i + 1],
                    others and others[i : i + 1],
                    truncation=True,
                    return_tensors="pt",
                )
                for i in range(len(TEXTS))
            ]
            with torch.no_grad():
                found[key] = [model(**each).logits[0].tolist() for each in given]
    (folder / "answers.json").write_text(json.dumps(found))


if __name__ == "__main__":
    {"make": _make, "score": _score}[sys.argv[1]](Path(sys.argv[2]))
