"""How well a model that reads one text and writes another guesses targets that it has not seen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from textmill.artifact import Evaluation, Examples, Model, Tokens, read_json, write_json
from textmill.components.generation_report import generation_report
from textmill.components.scored_rows import history_of, rows_to_score, scored_table
from textmill.components.written import (
    Written,
    judged,
    sampled,
    writer_of,
)
from textmill.models.likelihood import Likelihoods, figures_of
from textmill.models.pair_batches import source_lengths
from textmill.models.text_metrics import Words
from textmill.models.tokenizer import read_tokenizer
from textmill.progress import warn
from textmill.quiet import import_tensorflow
from textmill.serving.defaults import GREEDY, Defaults

if TYPE_CHECKING:
    import numpy.typing as npt
    import pyarrow as pa

    from textmill.models.rows import Places, Rows


def evaluate_seq2seq(
    out: Evaluation,
    model: Model,
    tokens: Tokens,
    examples: Examples,
    *,
    samples: int = 500,
    how: Defaults = GREEDY,
    stop: tuple[str, ...] = (),
    words: Words = "13a",
    resamples: int = 1000,
    seed: int = 0,
) -> None:
    """Scores the test split, lets the model write some of it, and writes figures and a report.

    Args:
        out: `metrics.json`: loss (nats a token), perplexity and bits_per_byte of targets, the 95 %
            confidence intervals of these under "intervals", rows, tokens and bytes, targets_cut
            (how many are longer than the model reads: their beginnings are scored), and the figures
            of `figures_of_texts`, which see whole targets; `predictions.parquet`: row int64, text
            (the source), target, nats, tokens, bytes and bits_per_byte of each pair, and prompt
            (the source again), reference and generated of those that were sampled; `report.html`.
        model: What to score.
        tokens: The test split's token ids.
        examples: The test split's texts.
        samples: How many texts are written; 0: none.
        how: How they are decoded; a seed below 0 is that of the draws.
        stop: Strings with which a text ends, beside the tokens of the model.
        words: How texts are taken apart to be compared, see `text_figures`.
        resamples: Draws of as many pairs, with replacement, for the intervals.
        seed: Decides these draws, and what is sampled.

    Raises:
        UserError: The test split is empty, or a package for `words` is missing.

    Source: https://doi.org/10.1214/aos/1176344552 (bootstrap); bits per byte as in
    https://arxiv.org/abs/2101.00027, section 3.1.
    """
    import_tensorflow()
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    from textmill.models import seq2seq
    from textmill.models.pair_likelihood import pair_likelihoods

    rows = rows_to_score(tokens, "pair")
    pairs = source_and_reference(examples, rows.places)
    sizes, cut = read_sizes(tokens, rows, pairs["target"].to_pylist())
    if cut:
        warn(
            f"{cut} of {len(rows)} targets are longer than the model reads: loss, perplexity and"
            " bits_per_byte are of their beginnings; what is written is compared with them whole"
        )
    found = pair_likelihoods(seq2seq.build(seq2seq.load(model.path).backbone), rows)
    scored = Likelihoods(found.nats, found.tokens, sizes)
    figures = {"rows": len(rows), "targets_cut": cut}
    figures |= figures_of(scored, resamples=resamples, seed=seed)
    table = scored_table(pairs, scored)
    made = writer_of(model, stop) if samples else None
    if made is not None:
        some = sampled(len(rows), samples, seed)
        sources, targets = (pairs[name].take(some).to_pylist() for name in ("text", "target"))
        texts = made.answers(sources, how.seeded(seed))
        written = Written(some, sources, targets, texts)
        figures, table = judged(
            figures,
            table,
            written,
            made.tokenizer,
            tokens,
            words=words,
            resamples=resamples,
            seed=seed,
        )
    write_json(out.path / "metrics.json", figures)
    pq.write_table(table, out.path / "predictions.parquet")
    both = pc.binary_join_element_wise(table["text"], table["target"], " → ")
    shown = table.set_column(1, pa.field("text", pa.string()), both)
    page = generation_report(figures, shown, history_of(model))
    (out.path / "report.html").write_text(page, "utf-8")


def source_and_reference(examples: Examples, places: Places) -> pa.Table:
    """Returns pairs of the test split: `row`, `text` (the source) and `target` (its reference).

    Args:
        examples: Whose.
        places: Rows of it, int64 [pairs].
    """
    import pyarrow as pa

    table = examples.texts("test").take(pa.array(places))
    return pa.table({"row": places, "text": table["text"], "target": table["pair"]})


def read_sizes(
    tokens: Tokens, rows: Rows, targets: Sequence[str]
) -> tuple[npt.NDArray[np.int64], int]:
    """Returns the bytes of what is read of each target, and how many are longer than that.

    Args:
        tokens: Whose tokenizer, and beginning of targets.
        rows: The pairs.
        targets: Their targets, whole.
    """
    about = read_json(tokens.path / "generation.json")
    tokenizer = read_tokenizer(tokens.tokenizer_file)
    sizes = np.array([len(text.encode()) for text in targets], np.int64)
    read = rows.lengths - source_lengths(rows) - len(about["target_begin"])
    cut = 0
    # One that is whole ends with another token.
    full = about["max_target_length"] + 1 - len(about["target_begin"])
    for i in np.flatnonzero(read == full).tolist():
        offsets = tokenizer.encode(targets[i], add_special_tokens=False).offsets
        if len(offsets) > full:
            cut += 1
            end = offsets[full - 1][1] if full else 0
            sizes[i] = len(targets[i][:end].encode())
    return sizes, cut
