"""What spans are compared with: the examples, whatever of a text a model reads.

The model is an oracle: a table from token ids to the right tags, so that all it misses is what it
does not read, or can't say. Expected figures are those of seqeval 1.2.2, run once (by
`precision_recall_fscore_support` of `seqeval.metrics.sequence_labeling`, `zero_division=0`) on tags
of single characters, "B-" on the first of a span and "I-" on the others.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from textmill.artifact import Evaluation, Examples, Model, Tokens, read_json, write_json
from textmill.components.evaluate import evaluate
from textmill.components.scored_texts import true_spans
from textmill.components.tokenize import tokenize
from textmill.models import token_classification
from textmill.models.answered import predictions_of
from textmill.models.rows import read_rows
from textmill.models.scoring import of_texts
from textmill.models.tokenizer import read_tokenizer
from textmill.progress import Silent, listening
from tiny_examples import SCRATCH, Row, empty, make_examples

TAGS = ["O", "B-person", "I-person", "B-place", "I-place", "B-thing", "I-thing"]
SAID = {"ada": 1, "bob": 1, "lee": 2, "oslo": 3, "berliner": 3}
FAR = " ".join(["the sun is up"] * 5)  # twenty words


def row(text: str, *spans: tuple[int, int, str]) -> Row:
    return text, json.dumps([list(span) for span in spans])


ROWS = [
    row(f"ada saw oslo {FAR} bob", (0, 3, "person"), (8, 12, "place"), (83, 86, "person")),
    row("the berliner saw bob", (4, 10, "place"), (17, 20, "person")),
    row("the sun is up"),
]
TRAIN = [
    row("ada lee bob lee saw oslo berliner the sun is up", (0, 7, "person"), (20, 24, "place")),
    row("ada lee bob lee saw oslo berliner the sun is up", (0, 7, "person"), (37, 40, "thing")),
]


class Heard(Silent):
    """Keeps what is warned of."""

    def __init__(self) -> None:
        self.warnings: list[str] = []

    def warned(self, step: str, text: str) -> None:
        self.warnings.append(text)


class Oracle:
    """The task, with a model that knows the tag of each token."""

    NAME, LABELS = token_classification.NAME, token_classification.LABELS
    predictions = staticmethod(token_classification.predictions)

    @staticmethod
    def load(path: Path) -> Any:
        import keras

        vocabulary = read_tokenizer(path / "tokenizer.json").get_vocab()
        table = np.zeros((len(vocabulary), len(TAGS)), np.float32)
        table[np.arange(len(vocabulary)), [SAID.get(word, 0) for word in vocabulary]] = 9
        order = np.argsort(list(vocabulary.values()))
        ids = keras.Input((None,), dtype="int32", name="token_ids")
        layer = keras.layers.Embedding(*table.shape)
        logits = layer(ids)
        layer.set_weights([table[order]])
        mask = keras.Input((None,), dtype="int32", name="padding_mask")
        return keras.Model({"token_ids": ids, "padding_mask": mask}, logits)


def made(folder: Path, rows: list[Row], **lengths: int) -> tuple[Examples, Tokens, list[str]]:
    """Returns examples with spans, their tokens, and what `tokenize` warned of."""
    examples = make_examples(folder / "examples", train=TRAIN * 9, validation=rows, test=rows)
    schema = examples.schema()
    write_json(examples.path / "schema.json", {**schema, "labels": "spans"})
    tokens, heard = empty(Tokens, folder / "tokens"), Heard()
    with listening(heard, "tokenize"):
        tokenize(tokens, examples, preset=SCRATCH, **lengths)
    return examples, tokens, heard.warnings


def evaluated(folder: Path, examples: Examples, tokens: Tokens) -> tuple[Evaluation, Any]:
    """Returns what the oracle is worth, and the table of its predictions."""
    model, out = empty(Model, folder / "model"), empty(Evaluation, folder / "evaluation")
    (model.path / "textmill").mkdir()
    write_json(model.path / "textmill" / "task.json", {"labels": TAGS})
    (model.path / "tokenizer.json").write_bytes(tokens.tokenizer_file.read_bytes())
    (model.path / "history.csv").write_text("epoch,loss,val_loss\n1,0.5,0.5\n", "utf-8")
    evaluate(out, model, tokens, examples, task=Oracle())  # type: ignore[arg-type]
    return out, pq.read_table(out.path / "predictions.parquet").to_pydict()


def figures(found: dict[str, Any]) -> list[float]:
    return [
        round(found[f"{kind}_{mean}"], 4)
        for mean in ("micro", "macro")
        for kind in ("precision", "recall", "f1")
    ]


# Of five spans the model finds three where it reads 10 tokens, and four where it reads all; of
# "berliner" it says the whole word, which is another span than its first six letters.
SHORT = [0.75, 0.6, 0.6667, 0.75, 0.5833, 0.65]
WHOLE = [0.8, 0.8, 0.8, 0.75, 0.75, 0.75]
LOST = {"spans": 5, "behind": 1, "across": 0, "inside_words": 1}
KEPT = LOST | {"behind": 0}


@pytest.mark.parametrize(
    ("lengths", "expected", "counts"),
    [
        ({"max_length": 10}, SHORT, LOST),
        ({"max_length": 10, "overlap": 2, "windows": 2}, SHORT, LOST),
        ({"max_length": 10, "overlap": 2, "windows": 8}, WHOLE, KEPT),
        ({"max_length": 48}, WHOLE, KEPT),
    ],
)
def test_spans_that_a_model_does_not_read_are_missed(
    tmp_path: Path, lengths: dict[str, int], expected: list[float], counts: dict[str, int]
) -> None:
    examples, tokens, warnings = made(tmp_path, ROWS, **lengths)
    out, table = evaluated(tmp_path, examples, tokens)
    found = out.metrics()
    assert figures(found) == expected
    assert found["spans"] == tokens.info()["spans"]["test"] == counts
    assert found["per_class"]["person"]["support"] == 3
    assert found["words"] == 32
    assert table["label"] == [row[1] for row in ROWS]
    assert [json.loads(said) for said in table["predicted"]][1:] == [
        [[4, 12, "place"], [17, 20, "person"]],
        [],
    ]
    page = (out.path / "report.html").read_text("utf-8")
    lost = "1 of 5 spans end behind what the model reads"
    assert (lost in page) is bool(counts["behind"])
    said = "test: 1 of 5 spans are cut off by max_length = 10 (1 whole, 0 in part)"
    assert any(said in each for each in warnings) is bool(counts["behind"])
    assert any("test: 1 of 5 spans do not begin and end with words" in each for each in warnings)


def test_the_validation_counts_words_that_are_not_read(tmp_path: Path) -> None:
    """Else a search would find that the shortest texts are tagged best."""
    rows = {}
    for length in (10, 48):
        _, tokens, _ = made(tmp_path / str(length), ROWS, max_length=length)
        rows[length] = read_rows(tokens, "validation")
    scores = {}
    for length, each in rows.items():
        logits = np.zeros((len(each), int(each.lengths.max()), len(TAGS)), np.float32)
        for i, (start, end) in enumerate(zip(each.starts[:-1], each.starts[1:], strict=True)):
            tags = np.maximum(each.labels[start:end] - 1, 0)
            logits[i, : end - start] = 9 * np.eye(len(TAGS))[tags]
        scores[length] = token_classification.metrics(
            *of_texts(each, [np.arange(len(each))], [logits]), TAGS
        )
    assert (scores[48]["recall_micro"], scores[10]["recall_micro"]) == (1, 0.8)
    assert scores[10]["word_accuracy"] == pytest.approx(31 / 32)
    # The loss is that of words that are read.
    assert scores[10]["loss"] == pytest.approx(math.log(1 + 6 * math.exp(-9)), rel=1e-3)


def test_a_served_model_is_measured_by_the_same_truth(tmp_path: Path) -> None:
    examples, tokens, _ = made(tmp_path, ROWS, max_length=10)
    truth = true_spans(examples, read_rows(tokens, "test"))
    answers = [
        [[0, 3, "person", 0.9], [8, 12, "place", 0.9]],
        [[4, 12, "place", 0.9], [17, 20, "person", 0.9]],
        [],
    ]
    about, texts = {"kind": "spans", "labels": TAGS}, [row[0] for row in ROWS]
    found, _ = predictions_of(token_classification, answers, truth, about, texts)
    assert figures(found.figures) == SHORT
    out, _ = evaluated(tmp_path, examples, tokens)
    assert read_json(out.path / "metrics.json")["word_accuracy"] == pytest.approx(
        found.figures["word_accuracy"]
    )


def test_a_span_across_the_end_of_what_is_read_is_another(tmp_path: Path) -> None:
    long = "ada" + " lee" * 9  # eight of its words are read
    examples, tokens, _ = made(tmp_path, [row(long, (0, 39, "person"))], max_length=10)
    out, table = evaluated(tmp_path, examples, tokens)
    assert json.loads(table["predicted"][0]) == [[0, 31, "person"]]
    assert out.metrics()["f1_micro"] == 0
    assert out.metrics()["spans"] == {"spans": 1, "behind": 0, "across": 1, "inside_words": 0}


@pytest.mark.parametrize(
    ("text", "true", "inside"),
    [
        ("berliner", [(0, 6, "place")], 1),
        ("oslo ", [(0, 5, "place")], 1),  # white space behind it
        ("ada lee", [(0, 3, "person"), (4, 7, "person")], 0),  # two, which the model takes for one
        ("ada", [(0, 1, "person"), (1, 3, "place")], 2),  # two in a word
        ("the sun", [(3, 4, "place")], 1),  # nothing but white space
        ("", [], 0),
    ],
)
def test_spans_that_no_answer_can_be(
    tmp_path: Path, text: str, true: list[tuple[int, int, str]], inside: int
) -> None:
    examples, tokens, _ = made(tmp_path, [row("bob", (0, 3, "person")), row(text, *true)])
    out, table = evaluated(tmp_path, examples, tokens)
    found = out.metrics()
    assert found["recall_micro"] == 1 / (1 + len(true))
    assert found["spans"]["inside_words"] == inside
    assert json.loads(table["label"][1]) == [list(span) for span in true]
