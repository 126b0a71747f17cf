"""Golden rows: texts with what the trained model answers, for `check` to compare with."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from textmill.artifact import Model, TokensInfo
from textmill.components.cleaning import Cleaning, clean
from textmill.frame import read_frame
from textmill.models.batches import padded
from textmill.models.row_maker import RowMaker
from textmill.models.rows import Rows
from textmill.models.scoring import of_texts
from textmill.models.task import Task, logits_of
from textmill.models.token_classification import found_spans
from textmill.models.token_ids import TokenIds
from textmill.models.tokenizer import read_tokenizer
from textmill.progress import advance
from textmill.serving.savedmodel import PAIR, TEXT

if TYPE_CHECKING:
    import keras
    import numpy.typing as npt
    import pyarrow as pa


def golden(
    task: Task,
    network: keras.Model,
    model: Model,
    texts: list[dict[str, str]],
    rules: Cleaning,
    stands: npt.NDArray[np.int32] | None = None,
) -> list[dict[str, Any]]:
    """Returns texts with the answers of the Keras model.

    They are cleaned as `ingest` cleans, made rows of as for training, and scored a row at a time,
    so that nothing of the served graph is in them.

    Args:
        task: What the model learned.
        network: The Keras model.
        model: Its folder.
        texts: Raw texts, and second ones where the model takes two.
        rules: How texts are cleaned.
        stands: Which token the model is to read for each, int32 [vocabulary]; None: itself.

    Returns:
        Each text with its `token_ids`, of the first row if it has several; and its `answer`: the
        scores of the labels, a number, or the spans as [start, end, label, score]. With `stands`
        also `unseen`, for how many of its tokens another one was read.
    """
    import pyarrow as pa

    about = model.task()
    names = [name for name in (TEXT, PAIR) if texts and name in texts[0]]
    columns = [clean(pa.array([row[n] for row in texts], pa.string()), rules) for n in names]
    make = RowMaker(
        TokenIds(read_tokenizer(model.tokenizer_file)),
        read_frame(model.tokenizer_file),
        cast(TokensInfo, about),
    )
    found = []
    for i, row in enumerate(texts):
        advance(i, len(texts), "golden rows")
        one = [column[i : i + 1] for column in columns]
        rows = _rows(make, one, about)
        ids = rows.token_ids[: rows.starts[1]].tolist()
        unseen = {}
        if stands is not None:
            read = stands[rows.token_ids[: rows.starts[-1]]]
            unseen = {"unseen": int((read != rows.token_ids[: rows.starts[-1]]).sum())}
            rows = replace(rows, token_ids=read)
        answer = _answer(task, network, rows, one[0].to_pylist(), about)
        found.append({**row, "token_ids": ids, "answer": answer, **unseen})
    return found


def _rows(make: RowMaker, texts: list[pa.Array], about: dict[str, Any]) -> Rows:
    """Returns the rows of one text, or of a pair."""
    import pyarrow as pa

    label = {"one": about["labels"][0] if about["labels"] else "", "number": "0", "spans": "[]"}
    made = make(
        texts[0],
        texts[1] if len(texts) > 1 else None,
        pa.array([label.get(about["kind"], "")]),
        "test",
    )
    framed = made.framed
    return Rows(
        framed.ids.astype(np.int32),
        framed.starts,
        made.labels.values if about["kind"] == "spans" else np.zeros(len(framed.texts), np.int32),
        framed.texts,
        about["kind"],
        framed.firsts if about["overlap"] is not None else None,
        make.frame.separator if about["pair"] else None,
        made.unread,
    )


def _answer(
    task: Task, network: keras.Model, rows: Rows, texts: list[str], about: dict[str, Any]
) -> Any:
    batches = [np.array([row]) for row in range(len(rows))]
    logits = [np.asarray(logits_of(network, **padded(rows, batch, _INPUTS))) for batch in batches]
    _, joined = of_texts(rows, batches, logits)
    if about["kind"] == "spans":
        (spans,) = found_spans(joined, about["labels"], texts)
        return [list(span) for span in spans]
    answer = task.decode(joined.astype(np.float64), about)[0]
    if about["kind"] == "number":
        return float(answer)
    return [float(x) for x in answer.astype(np.float32)]


_INPUTS = ("token_ids", "padding_mask", "segment_ids")
