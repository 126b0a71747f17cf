"""Text generation: from plain text to a model, its history and how well it guesses."""

from __future__ import annotations

import csv
import math
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from killing import ends_with_the_same_bits, steps
from test_cli import textmill
from test_pretraining import corpus
from textmill.artifact import Evaluation, Examples, Model, Statistics, Tokens, read_json
from textmill.components.cleaning import UNTOUCHED
from textmill.components.evaluate_generation import evaluate_generation
from textmill.components.ingest import ingest
from textmill.components.sources.by_name import open_source
from textmill.components.sources.conversations import Conversations
from textmill.components.tokenize_generation import tokenize_generation
from textmill.components.train_generation import train_generation
from textmill.components.validate import validate
from textmill.errors import UserError
from textmill.models import causal_lm
from textmill.models.causal_batches import causal_rows
from textmill.models.causal_learner import CausalLearner, NextToken
from textmill.models.decoders import load_decoder
from textmill.models.preset import Preset, Scratch
from textmill.models.rows import Rows, read_rows
from textmill.models.settings import Settings
from textmill.models.tokenizer import read_tokenizer
from textmill.serving.defaults import GREEDY
from tiny_examples import empty

SCRATCH = Scratch("tiny", vocabulary_size=400, lowercase=False, tokenizer="bpe")
WIDTH = 24
HOW: dict[str, Any] = {"epochs": 3, "batch_size": 8, "learning_rate": 3e-3, "precision": "float32"}


@pytest.fixture(scope="module")
def examples(tmp_path_factory: pytest.TempPathFactory) -> Examples:
    folder = tmp_path_factory.mktemp("corpus")
    out = Examples(folder / "examples")
    source = open_source(str(corpus(folder / "corpus.txt")), documents="line")
    ingest(out, source, label=None, cleaning=UNTOUCHED)
    return out


@pytest.fixture(scope="module")
def tokens(examples: Examples, tmp_path_factory: pytest.TempPathFactory) -> Tokens:
    out = empty(Tokens, tmp_path_factory.mktemp("tokens") / "tokens")
    tokenize_generation(out, examples, preset=SCRATCH, max_length=WIDTH)
    return out


def trained(tokens: Tokens, folder: Path, preset: Any = SCRATCH, **settings: Any) -> Model:
    out = empty(Model, folder)
    train_generation(out, tokens, preset=preset, settings=Settings(**{**HOW, **settings}))
    return out


@pytest.fixture(scope="module")
def model(tokens: Tokens, tmp_path_factory: pytest.TempPathFactory) -> Model:
    return trained(tokens, tmp_path_factory.mktemp("model") / "model", epochs=6)


def history(model: Model) -> list[dict[str, float]]:
    with (model.path / "history.csv").open(encoding="utf-8") as file:
        return [{name: float(x) for name, x in row.items()} for row in csv.DictReader(file)]


def test_documents_stand_between_their_ends(examples: Examples, tokens: Tokens) -> None:
    tokenizer, rows = read_tokenizer(tokens.tokenizer_file), read_rows(tokens, "train")
    end = tokenizer.token_to_id("<|endoftext|>")
    texts = examples.table("train")["text"].to_pylist()
    assert len(rows) == len(texts)
    for i, text in enumerate(texts):
        ids = rows.token_ids[int(rows.starts[i]) : int(rows.starts[i + 1])].tolist()
        assert ids == [end, *tokenizer.encode(text).ids, end]
        assert tokenizer.decode(ids) == text
    assert tokens.info()["bytes"]["train"] == sum(len(text.encode()) for text in texts)
    assert read_json(tokens.path / "generation.json") == {
        "begin": "<|endoftext|>",
        "end": "<|endoftext|>",
        "stop": [end],
        "framing": {
            "before": [end],
            "before_text": "",
            "after_text": "",
            "after": [],
            "strip": "",
        },
    }


@pytest.mark.parametrize("accumulate", [1, 3])
def test_every_token_is_guessed_once_and_counts_alike(tokens: Tokens, accumulate: int) -> None:
    learner = CausalLearner(tokens, SCRATCH, NextToken(), 0.0, Settings(**HOW))
    documents = learner.documents
    ids = documents.token_ids[0 : int(documents.starts[-1])]
    wanted: list[tuple[int, ...]] = []
    for i, j in zip(documents.starts[:-1], documents.starts[1:], strict=True):
        wanted += zip(ids[i : j - 1], ids[i + 1 : j], strict=True)
    for epoch in (0, 1):
        batches = learner.batches(epoch)
        choices = {"accumulate": accumulate, "xla": False}
        found: list[tuple[int, ...]] = []
        shared = weight = 0.0
        for inputs, shares, weights in learner.data(None, epoch, batches, choices):  # type: ignore[arg-type]
            target = inputs["target"].numpy()
            used = target >= 0
            found += zip(inputs["token_ids"].numpy()[used], target[used], strict=True)
            shared += float(shares[0]) * used.sum()
            weight += float(np.sum(used.sum(1) * shares * weights))
        assert sorted(found) == sorted(wanted)
        assert shared == pytest.approx(len(learner.packing(epoch)), rel=1e-5)
        assert weight == pytest.approx(len(batches), rel=1e-5)


def test_it_learns(model: Model) -> None:
    found = history(model)
    assert list(found[0]) == [
        "epoch", "loss", "perplexity", "bits_per_byte",
        "val_loss", "val_perplexity", "val_bits_per_byte", "learning_rate", "padding",
    ]  # fmt: skip
    assert found[-1]["val_loss"] < found[0]["val_loss"] / 1.3
    for row in found:
        assert row["val_perplexity"] == pytest.approx(np.exp(row["val_loss"]), rel=1e-4)
    facts = read_json(model.path / "textmill" / "training.json")
    assert facts["best_epoch"] == 1 + min(range(6), key=lambda i: found[i]["val_loss"])


def nats_by_keras_hub(model: Model, documents: Rows, step: int) -> tuple[list[float], int]:
    """Returns the loss of each document, read in windows that begin so many tokens apart."""
    import keras
    import keras_hub
    import tensorflow as tf

    theirs = keras_hub.models.CausalLM.from_preset(str(model.path), preprocessor=None)
    nats, count = [], 0
    for i, j in zip(documents.starts[:-1], documents.starts[1:], strict=True):
        ids, known, total = documents.token_ids[i:j], 0, 0.0
        for at in range(0, len(ids) - 1, step):
            target = ids[at + 1 : at + WIDTH + 1]
            row = tf.constant(ids[None, at : at + len(target)])
            logits = theirs({"token_ids": row, "padding_mask": tf.ones_like(row)})
            each = keras.losses.sparse_categorical_crossentropy(target, logits[0], from_logits=True)
            total += float(tf.reduce_sum(each[max(known - at, 0) :]))
            known = at + len(target)
        nats.append(total)
        count += known
    return nats, count


def test_keras_hub_loads_it(model: Model, tokens: Tokens) -> None:
    """And its own layers, a document at a time, find the figures of the history."""
    each, count = nats_by_keras_hub(model, read_rows(tokens, "validation"), WIDTH)
    nats = sum(each)
    best = min(history(model), key=lambda row: row["val_loss"])
    assert nats / count == pytest.approx(best["val_loss"], rel=1e-4)
    size = tokens.info()["bytes"]["validation"]
    assert nats / math.log(2) / size == pytest.approx(best["val_bits_per_byte"], rel=1e-4)


def test_evaluation(model: Model, tokens: Tokens, examples: Examples, tmp_path: Path) -> None:
    out = empty(Evaluation, tmp_path / "evaluation")
    evaluate_generation(out, model, tokens, examples, samples=0, resamples=400)
    found = out.metrics()
    table = pq.read_table(out.path / "predictions.parquet").to_pydict()
    texts = examples.table("test")["text"].to_pylist()
    assert table["text"] == texts
    assert table["bytes"] == [len(text.encode()) for text in texts]
    assert (
        found["tokens"]
        == sum(table["tokens"])
        == read_rows(tokens, "test").lengths.sum() - len(texts)
    )
    theirs, _ = nats_by_keras_hub(model, read_rows(tokens, "test"), WIDTH // 2)
    np.testing.assert_allclose(table["nats"], theirs, rtol=1e-4)
    assert found["loss"] == pytest.approx(sum(table["nats"]) / found["tokens"])
    bits = sum(table["nats"]) / math.log(2) / sum(table["bytes"])
    assert found["bits_per_byte"] == pytest.approx(bits)
    assert found["perplexity"] == pytest.approx(math.exp(found["loss"]))
    for name, (low, high) in found["intervals"].items():
        assert low < found[name] < high
    # The normal approximation of a ratio's spread, another way to the same.
    nats, sizes = np.array(table["nats"]), np.array(table["bytes"]) * math.log(2)
    spread = np.std(nats - bits * sizes) * len(nats) ** 0.5 / sizes.sum()
    low, high = found["intervals"]["bits_per_byte"]
    assert (high - low) / 3.92 == pytest.approx(spread, rel=0.25)
    assert "Bits per byte" in (out.path / "report.html").read_text()


def test_it_goes_on_from_another_and_with_lora(
    model: Model, tokens: Tokens, tmp_path: Path
) -> None:
    preset = Preset(str(model.path))
    best = min(row["val_loss"] for row in history(model))
    learner = CausalLearner(tokens, preset, NextToken(), 0.0, Settings(**HOW))
    assert learner.validate(learner.build("float32", False))["loss"] == pytest.approx(
        best, rel=1e-4
    )
    how: dict[str, Any] = {"epochs": 1, "lora_rank": 2, "learning_rate": 1e-3}
    tuned = trained(tokens, tmp_path / "lora", preset, **how)
    assert history(tuned)[0]["val_loss"] < best * 1.05
    half = trained(tokens, tmp_path / "half", preset, precision="mixed_bfloat16", **how)
    found = [history(each)[0]["val_loss"] for each in (half, tuned)]
    assert found[0] == pytest.approx(found[1], rel=0.02)
    loaded = causal_lm.load(tuned.path)
    assert not any("lora" in weight.path for weight in loaded.weights)
    before = load_decoder(preset, vocabulary_size=0, dropout=0.0)
    changed = {
        a.path.split("/", 1)[1]
        for a, b in zip(loaded.backbone.weights, before.weights, strict=True)
        if not np.array_equal(a.numpy(), b.numpy())
    }
    assert changed
    assert all("query" in path or "value" in path for path in changed)


def test_settings(tokens: Tokens, tmp_path: Path) -> None:
    """Pieces of a batch, parts of logits and smoothing change nothing that they should not."""
    how = {
        "epochs": 1,
        "batch_size": 32,
        "clip_norm": 1.0,
        "label_smoothing": 0.1,
        "deterministic": True,
    }
    whole = trained(tokens, tmp_path / "whole", **how)
    parts = trained(tokens, tmp_path / "parts", accumulate=2, **how)
    for ours, theirs in zip(history(parts)[0].values(), history(whole)[0].values(), strict=True):
        assert ours == pytest.approx(theirs, rel=2e-3)
    plain = trained(tokens, tmp_path / "plain", **{**how, "label_smoothing": 0.0})
    assert history(plain)[0]["loss"] < history(whole)[0]["loss"]
    with pytest.raises(UserError, match="class_weights are for rows with labels"):
        trained(tokens, tmp_path / "weights", class_weights="balanced")


def test_texts_are_written_after_a_deterministic_training(
    tokens: Tokens, examples: Examples, tmp_path: Path
) -> None:
    """TensorFlow then refuses random operations in the whole process."""
    model = trained(tokens, tmp_path / "model", epochs=1, deterministic=True)
    out = empty(Evaluation, tmp_path / "evaluation")
    how = GREEDY._replace(temperature=1.0, max_new_tokens=4)
    evaluate_generation(out, model, tokens, examples, samples=2, how=how, resamples=2)
    table = pq.read_table(out.path / "predictions.parquet")
    assert table["generated"].null_count == len(table) - 2


@pytest.fixture(scope="module")
def talks(tmp_path_factory: pytest.TempPathFactory) -> Tokens:
    folder = tmp_path_factory.mktemp("talks")
    rows = [f"What is {i} and {j}?\tIt is {i + j}." for i in range(12) for j in range(12)]
    (folder / "sums.tsv").write_text("\n".join(["prompt\tresponse", *rows]))
    source = Conversations(open_source(str(folder / "sums.tsv")), "", "prompt", "response")
    found = Examples(folder / "examples")
    ingest(found, source, label=None, cleaning=UNTOUCHED)
    out = empty(Tokens, folder / "tokens")
    tokenize_generation(out, found, preset=SCRATCH, max_length=80, conversations=True)
    return out


def test_responses_alone_are_learned(talks: Tokens, tmp_path: Path) -> None:
    learner = CausalLearner(talks, SCRATCH, NextToken(), 0.0, Settings(**HOW))
    tokenizer = read_tokenizer(talks.tokenizer_file)
    rows = partial(causal_rows, learner.documents, learner.packing(0))
    made = rows(np.arange(len(learner.packing(0))))
    assert made["document"].max() > 1  # several share a row
    said = []
    for target, document in zip(made["target"], made["document"], strict=True):
        for number in range(1, document.max() + 1):
            ids = target[(document == number) & (target >= 0)].tolist()
            said.append(tokenizer.decode(ids, skip_special_tokens=False))
    assert all(text.startswith("It is ") and text.endswith(".<|endoftext|>") for text in said)
    found = history(trained(talks, tmp_path / "model", epochs=8))
    assert found[-1]["val_loss"] < found[0]["val_loss"] / 2


@pytest.mark.parametrize("kind", ["one line", "too long a row"])
def test_bad_input(kind: str, examples: Examples, tmp_path: Path) -> None:
    if kind == "one line":
        file = tmp_path / "corpus.txt"
        file.write_text("One line alone.\n")
        one = Examples(tmp_path / "one")
        ingest(one, open_source(str(file), documents="line"), label=None)
        with pytest.raises(UserError, match=r"no rows in .*validation"):
            validate(Statistics(tmp_path / "statistics"), one, test=True)
    else:
        out = empty(Tokens, tmp_path / "tokens")
        with pytest.raises(UserError, match="max_length 2000 is more than the model can read"):
            tokenize_generation(out, examples, preset=SCRATCH, max_length=2000)


def test_config(tmp_path: Path) -> None:
    from textmill.pipelines.text_generation import TextClean, Texts

    file = tmp_path / "pairs.csv"
    file.write_text("prompt,response\nHi,Hello\n")
    for given, match in (
        ({"prompt": "prompt"}, "prompt and response, or messages"),
        ({"prompt": "a", "response": "b", "messages": "c"}, "prompt and response, or messages"),
        ({"messages": "c", "split_column": "split"}, "data.split_column is for documents"),
        ({"messages": "c", "clean": TextClean(lowercase=True)}, "data.clean is for documents"),
    ):
        with pytest.raises(UserError, match=match):
            Texts(source=str(file), **given).texts(str(file))  # type: ignore[arg-type]


@pytest.mark.slow
def test_killed_in_the_middle_of_an_epoch_it_ends_with_the_same_bits(
    tokens: Tokens, tmp_path: Path
) -> None:
    arguments = f"Tokens(Path({str(tokens.path)!r})), preset={SCRATCH!r}, dropout=0.1"
    ends_with_the_same_bits(
        tmp_path,
        "train_generation",
        arguments,
        kills=[steps(3), steps(25)],
        **{**HOW, "precision": "auto", "optimizer": "muon"},
    )


@pytest.mark.slow
def test_one_command(tmp_path: Path) -> None:
    corpus(tmp_path / "corpus.txt")
    (tmp_path / "config.toml").write_text(
        'pipeline = "text_generation"\nworkspace = "runs"\n'
        '[data]\nsource = "corpus.txt"\ndocuments = "line"\n'
        '[model]\nscratch = "tiny"\nvocabulary_size = 400\nmax_length = 24\n'
        "[train]\nepochs = 1\nlearning_rate = 3e-3\n"
    )
    said = textmill("run", "config.toml", cwd=tmp_path)
    assert said.returncode == 0, said.stderr
    [metrics] = (tmp_path / "runs").glob("evaluate_generation/*/metrics.json")
    assert read_json(metrics)["bits_per_byte"] < 8
