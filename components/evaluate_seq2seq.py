"""How well a model that reads one text and writes another guesses targets that it has not seen."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from textmill.artifact import Evaluation, Examples, Model, Tokens, write_json
from textmill.components.generation_report import generation_report
from textmill.components.scored_rows import history_of, rows_to_score, scored_table
from textmill.components.written import (
    Written,
    judged,
    sampled,
    writer_of,
)
from textmill.models.likelihood import Likelihoods, figures_of
from textmill.models.text_metrics import Words
from textmill.quiet import import_tensorflow
from textmill.serving.defaults import GREEDY, Defaults

if TYPE_CHECKING:
    import pyarrow as pa

    from textmill.models.rows import Places


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
            confidence intervals of these under "intervals", rows, tokens and bytes, and the
            figures of `figures_of_texts`; `predictions.parquet`: row int64, text (the source),
            target, nats, tokens, bytes and bits_per_byte of each pair, and prompt (the source
            again), reference and generated of those that were sampled; `report.html`.
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
    sizes = pc.binary_length(pairs["target"]).to_numpy().astype(np.int64)
    found = pair_likelihoods(seq2seq.build(seq2seq.load(model.path).backbone), rows)
    scored = Likelihoods(found.nats, found.tokens, sizes)
    figures = {"rows": len(rows), **figures_of(scored, resamples=resamples, seed=seed)}
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
