"""What a model writes of the test split, beside what KerasHub's own layers find."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from test_pretraining import corpus
from textmill.artifact import Evaluation, Examples, Model, Tokens, read_json
from textmill.components.cleaning import UNTOUCHED
from textmill.components.evaluate_generation import evaluate_generation
from textmill.components.ingest import ingest
from textmill.components.sources.by_name import open_source
from textmill.components.sources.conversations import Conversations
from textmill.components.tokenize_generation import tokenize_generation
from textmill.components.train_generation import train_generation
from textmill.components.written import Written, figures_of_texts
from textmill.errors import UserError
from textmill.models import causal_lm
from textmill.models.causal_batches import count_targets
from textmill.models.chat import messages_of
from textmill.models.preset import Scratch
from textmill.models.rows import read_rows
from textmill.models.settings import Settings
from textmill.models.tokenizer import read_tokenizer
from textmill.progress import Silent, listening
from textmill.serving.defaults import GREEDY
from tiny_examples import empty

SCRATCH = Scratch("tiny", vocabulary_size=400, lowercase=False, tokenizer="bpe")
MOST = 6
HOW = GREEDY._replace(max_new_tokens=MOST)

Parts = tuple[Model, Tokens, Examples]


def made(examples: Examples, folder: Path, *, width: int, conversations: bool) -> Parts:
    """Returns a model that has learned a little."""
    tokens, model = empty(Tokens, folder / "tokens"), empty(Model, folder / "model")
    tokenize_generation(
        tokens, examples, preset=SCRATCH, max_length=width, conversations=conversations
    )
    settings = Settings(epochs=2, batch_size=8, learning_rate=3e-3, precision="float32")
    train_generation(model, tokens, preset=SCRATCH, settings=settings)
    return model, tokens, examples


@pytest.fixture(scope="module")
def documents(tmp_path_factory: pytest.TempPathFactory) -> Parts:
    folder = tmp_path_factory.mktemp("documents")
    examples = Examples(folder / "examples")
    source = open_source(str(corpus(folder / "corpus.txt")), documents="line")
    ingest(examples, source, label=None, cleaning=UNTOUCHED)
    return made(examples, folder, width=24, conversations=False)


@pytest.fixture(scope="module")
def talks(tmp_path_factory: pytest.TempPathFactory) -> Parts:
    folder = tmp_path_factory.mktemp("talks")
    rows = []
    for i in range(120):
        said = [f"What is <b>{i}</b>?", f"It is {i}.", f"And {i} and 1?", f"It is {i + 1}."]
        roles = ("user", "assistant", "user", "assistant")
        messages = [{"role": r, "content": c} for r, c in zip(roles, said, strict=True)]
        rows.append({"messages": messages if i % 2 else messages[:2]})
    import pyarrow as pa

    pq.write_table(pa.Table.from_pylist(rows), folder / "talks.parquet")
    examples = Examples(folder / "examples")
    source = Conversations(open_source(str(folder / "talks.parquet")), "messages")
    ingest(examples, source, label=None, cleaning=UNTOUCHED)
    return made(examples, folder, width=80, conversations=True)


def evaluated(parts: Parts, folder: Path, **more: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Returns the figures, and the columns of the rows that were sampled."""
    out = empty(Evaluation, folder)
    evaluate_generation(out, *parts, samples=6, how=HOW, resamples=30, **more)
    table = pq.read_table(out.path / "predictions.parquet")
    assert len(table) == len(read_rows(parts[1], "test"))
    return out.metrics(), table.filter(table["generated"].is_valid()).to_pydict()


def greedily(network: Any, prompt: list[int], stop: list[int]) -> list[int]:
    """Returns the likeliest tokens by KerasHub's own layers, all read anew for each."""
    ids = list(prompt)
    for _ in range(MOST):
        row = np.array([ids], np.int32)
        logits = network({"token_ids": row, "padding_mask": np.ones_like(row)})
        ids.append(int(np.argmax(np.asarray(logits)[0, -1])))
        if ids[-1] in stop:
            break
    return ids[len(prompt) :]


def test_of_documents(documents: Parts, tmp_path: Path) -> None:
    model, tokens, _ = documents
    figures, rows = evaluated(documents, tmp_path / "evaluation")
    tokenizer = read_tokenizer(tokens.tokenizer_file)
    (begin,) = model.task()["framing"]["before"]
    network = causal_lm.load(model.path)
    assert len(rows["row"]) == figures["texts"] == 6
    for text, prompt, reference, generated in zip(
        *(rows[name] for name in ("text", "prompt", "reference", "generated")), strict=True
    ):
        assert text.startswith(prompt + reference)
        assert reference.startswith(" ")
        assert len(tokenizer.encode(reference).ids) <= MOST
        assert abs(len(prompt) - len(text) / 2) < 12
        ids = [begin, *tokenizer.encode(prompt).ids]
        wanted = greedily(network, ids[-(24 - MOST) :], model.task()["stop"])
        assert generated == tokenizer.decode(wanted)
    assert figures["bits_per_byte"] > 0
    for name in ("bleu", "chrf", "rouge1", "distinct_1", "length_ratio", "copied"):
        low, high = figures["intervals"][name]
        assert low <= figures[name] <= high
    page = (tmp_path / "evaluation" / "report.html").read_text("utf-8")
    assert "What it writes" in page
    assert "ROUGE-L" in page


def test_of_conversations(talks: Parts, tmp_path: Path) -> None:
    """The model is given what stood before the response when it learned, and answers from there."""
    model, tokens, examples = talks
    _, rows = evaluated(talks, tmp_path / "evaluation")
    tokenizer, learned = read_tokenizer(tokens.tokenizer_file), read_rows(tokens, "test")
    texts = examples.table("test")["text"].to_pylist()
    network, lengths = causal_lm.load(model.path), set()
    for at, row in enumerate(rows["row"]):
        messages = messages_of(texts[row])
        lengths.add(len(messages))
        i = learned.places.tolist().index(row)
        part = slice(int(learned.starts[i]), int(learned.starts[i + 1]))
        labels, ids = learned.labels[part], learned.token_ids[part].tolist()
        last = np.flatnonzero(np.diff(np.concatenate([[0], labels])) == 1)[-1]
        wanted = greedily(network, ids[:last], model.task()["stop"])
        assert rows["generated"][at] == tokenizer.decode(wanted)
        assert messages[-1][1] == rows["reference"][at]  # whole, though `MOST` tokens are written
        assert rows["prompt"][at].endswith(messages[-2][1])
    assert lengths == {2, 4}
    page = (tmp_path / "evaluation" / "report.html").read_text("utf-8")
    assert "&lt;b&gt;" in page
    assert "What is <b>" not in page


def test_no_response_of_the_test_split_is_lost(talks: Parts, tmp_path: Path) -> None:
    """However short the rows are that a model learns from."""
    _, whole, examples = talks
    tokens = empty(Tokens, tmp_path / "tokens")
    tokenize_generation(tokens, examples, preset=SCRATCH, max_length=40, conversations=True)
    for split in ("validation", "test"):
        cut, rows = read_rows(tokens, split), read_rows(whole, split)
        assert cut.lengths.max() > 41
        assert cut.lengths.tolist() == rows.lengths.tolist()
        assert count_targets(cut) == count_targets(rows)
        assert tokens.info()["bytes"][split] == whole.info()["bytes"][split]
        assert tokens.info()["truncated"][split] == 0
    assert read_rows(tokens, "train").lengths.max() == 41


def test_what_was_learned_by_heart_is_found(documents: Parts) -> None:
    _, tokens, examples = documents
    learned, unseen = (examples.table(x)["text"].to_pylist()[:4] for x in ("train", "test"))
    found = Written([0, 1, 2, 3], learned, unseen, [*learned[:3], ""])
    figures = figures_of_texts(
        found,
        read_tokenizer(tokens.tokenizer_file),
        read_rows(tokens, "train"),
        words="13a",
        resamples=5,
        seed=0,
    )
    assert figures["copied"] == 0.75
    assert figures["copied_reference"] == 0.0


def test_a_model_that_can_not_be_served_is_measured_without_texts(
    documents: Parts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise UserError("this can't be served", expected="a", received="b", fix="c")

    class Heard(Silent):
        def warned(self, step: str, text: str) -> None:
            said.append(text)

    said: list[str] = []
    monkeypatch.setattr("textmill.components.writer.decoder_serving_weights", refuse)
    out = empty(Evaluation, tmp_path / "evaluation")
    with listening(Heard(), "evaluate_generation"):
        evaluate_generation(out, *documents, samples=4, how=HOW, resamples=5)
    assert said == ["no text was written: this can't be served"]
    assert "bleu" not in read_json(out.path / "metrics.json")
    assert "What it writes" not in (out.path / "report.html").read_text("utf-8")
