"""How well a model that writes guesses texts that it has not seen, and what it writes itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from textmill.artifact import Evaluation, Examples, Model, Tokens, write_json
from textmill.components.generation_report import generation_report
from textmill.components.scored_rows import history_of, rows_to_score, scored_table
from textmill.components.written import (
    judged,
    sampled,
    writer_of,
    written,
)
from textmill.models.likelihood import Likelihoods, figures_of
from textmill.models.text_metrics import Words
from textmill.quiet import import_tensorflow
from textmill.serving.defaults import GREEDY, Defaults

if TYPE_CHECKING:
    import pyarrow as pa


def evaluate_generation(
    out: Evaluation,
    model: Model,
    tokens: Tokens,
    examples: Examples,
    *,
    samples: int = 100,
    how: Defaults = GREEDY,
    stop: tuple[str, ...] = (),
    words: Words = "13a",
    resamples: int = 1000,
    seed: int = 0,
) -> None:
    """Scores the test split, lets the model write some of it, and writes figures and a report.

    Texts are decoded with what is served. Of a document the model is given the first half, of a
    conversation all but the last response.

    Args:
        out: `metrics.json`: loss (nats a token), perplexity and bits_per_byte, the 95 % confidence
            intervals of these under "intervals", rows, tokens and bytes, and the figures of
            `figures_of_texts`; `predictions.parquet`: row int64, text, nats, tokens, bytes and
            bits_per_byte of each document, and prompt, reference and generated of those that were
            sampled; `report.html`. Of conversations responses alone count.
        model: What to score.
        tokens: The test split's token ids.
        examples: The test split's texts.
        samples: How many texts are written; 0: none.
        how: How they are decoded; a seed below 0 is that of the draws.
        stop: Strings with which a text ends, beside the tokens of the model.
        words: How texts are taken apart to be compared, see `text_figures`.
        resamples: Draws of as many documents, with replacement, for the intervals.
        seed: Decides these draws, and what is sampled.

    Raises:
        UserError: The test split is empty, or a package for `words` is missing.

    Source: https://doi.org/10.1214/aos/1176344552 (bootstrap); bits per byte as in
    https://arxiv.org/abs/2101.00027, section 3.1.
    """
    import_tensorflow()
    import pyarrow.parquet as pq

    from textmill.models import causal_lm
    from textmill.models.likelihood import likelihoods

    rows = rows_to_score(tokens, "document")
    texts = _texts(examples, rows.places)
    conversations = rows.kind == "spans"
    sizes = np.array([_size(text, conversations) for text in texts["text"].to_pylist()])
    network = causal_lm.build(causal_lm.load(model.path).backbone)
    likely = likelihoods(network, rows, tokens.info()["max_length"])
    scored = Likelihoods(likely.nats, likely.tokens, sizes)
    figures = {"rows": len(rows), **figures_of(scored, resamples=resamples, seed=seed)}
    table = scored_table(texts, scored)
    made = writer_of(model, stop) if samples else None
    if made is not None:
        some = sampled(len(rows), samples, seed)
        asked = [texts["text"][i].as_py() for i in some]
        found = written(made, asked, some, how=how.seeded(seed))
        figures, table = judged(
            figures,
            table,
            found,
            made.tokenizer,
            tokens,
            words=words,
            resamples=resamples,
            seed=seed,
        )
    write_json(out.path / "metrics.json", figures)
    pq.write_table(table, out.path / "predictions.parquet")
    page = generation_report(figures, table, history_of(model))
    (out.path / "report.html").write_text(page, "utf-8")


def _texts(examples: Examples, places: Any) -> pa.Table:
    import pyarrow as pa

    column = examples.schema()["text"]
    table = examples.table("test", [column]).take(pa.array(places))
    return pa.table({"row": places, "text": table[column]})


def _size(text: str, conversation: bool) -> int:
    """Returns the bytes of a document, or of the responses in a conversation."""
    from textmill.models.chat import messages_of

    if not conversation:
        return len(text.encode())
    return sum(len(said.encode()) for role, said in messages_of(text) if role == "assistant")
