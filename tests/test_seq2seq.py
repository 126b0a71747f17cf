"""Sequence to sequence: from pairs of texts to a model, its history and how well it guesses."""

from __future__ import annotations

import csv
import json
import math
import random
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from bart_models import VOCABULARY, make
from killing import ends_with_the_same_bits
from test_cli import textmill
from textmill.artifact import Evaluation, Examples, Model, Saved, Tokens, read_json
from textmill.components.adopt_generation import adopt_generation
from textmill.components.cleaning import Cleaning
from textmill.components.evaluate_seq2seq import evaluate_seq2seq, read_sizes
from textmill.components.export_generation import export_generation
from textmill.components.ingest import ingest
from textmill.components.sources.by_name import open_source
from textmill.components.tokenize_seq2seq import tokenize_seq2seq
from textmill.components.train_seq2seq import train_seq2seq
from textmill.components.writer import writer
from textmill.config import build, read_toml
from textmill.errors import UserError
from textmill.models import seq2seq
from textmill.models.encoder_decoders import load_encoder_decoder
from textmill.models.pair_learner import PairLearner, TargetTokens
from textmill.models.preset import Preset, Scratch
from textmill.models.rows import read_rows
from textmill.models.settings import Settings
from textmill.models.tokenizer import read_tokenizer
from textmill.models.tokenizer_training import train_gpt2_tokenizer
from textmill.serving.contract import check_contract
from textmill.serving.defaults import GREEDY, Defaults
from textmill.serving.text_predictor import TextPredictor
from tiny_examples import empty

SCRATCH = Scratch("tiny", vocabulary_size=300, lowercase=False, tokenizer="bpe")
HOW: dict[str, Any] = {
    "epochs": 2, "batch_size": 32, "learning_rate": 3e-3, "precision": "float32", "warmup": 0.05,
}  # fmt: skip
SYLLABLES = ["ab", "cd", "ef", "gh", "ij", "kl", "mn", "op"]


def reversals(file: Path, rows: int) -> Path:
    """Writes pairs in which the target has the words of the source from behind."""
    chance = random.Random(0)
    lines = ["text\ttarget"]
    for _ in range(rows):
        words = [chance.choice(SYLLABLES) for _ in range(chance.randint(2, 6))]
        lines.append(" ".join(words) + "\t" + " ".join(words[::-1]))
    file.write_text("\n".join(lines))
    return file


@pytest.fixture(scope="module")
def examples(tmp_path_factory: pytest.TempPathFactory) -> Examples:
    folder = tmp_path_factory.mktemp("pairs")
    out = Examples(folder / "examples")
    source = open_source(str(reversals(folder / "pairs.tsv", 500)))
    cleaning = Cleaning(html=False)
    ingest(out, source, pair="target", label=None, cleaning=cleaning, split_by="text")
    return out


@pytest.fixture(scope="module")
def tokens(examples: Examples, tmp_path_factory: pytest.TempPathFactory) -> Tokens:
    out = empty(Tokens, tmp_path_factory.mktemp("tokens") / "tokens")
    tokenize_seq2seq(out, examples, preset=SCRATCH, max_source_length=16, max_target_length=16)
    return out


def trained(tokens: Tokens, folder: Path, preset: Any = SCRATCH, **settings: Any) -> Model:
    out = empty(Model, folder)
    how = Settings(**{**HOW, **settings})
    train_seq2seq(out, tokens, preset=preset, dropout=0.0, settings=how)
    return out


@pytest.fixture(scope="module")
def model(tokens: Tokens, tmp_path_factory: pytest.TempPathFactory) -> Model:
    return trained(tokens, tmp_path_factory.mktemp("model") / "model", label_smoothing=0.1)


def history(model: Model) -> list[dict[str, float]]:
    with (model.path / "history.csv").open(encoding="utf-8") as file:
        return [{name: float(x) for name, x in row.items()} for row in csv.DictReader(file)]


def test_sources_and_targets_stand_in_their_frames(examples: Examples, tokens: Tokens) -> None:
    tokenizer, rows = read_tokenizer(tokens.tokenizer_file), read_rows(tokens, "train")
    end = tokenizer.token_to_id("<|endoftext|>")
    texts = examples.texts("train").to_pylist()
    assert len(rows) == len(texts)
    for i, text in enumerate(texts):
        part = slice(int(rows.starts[i]), int(rows.starts[i + 1]))
        source, target = (tokenizer.encode(text[name]).ids for name in ("text", "pair"))
        assert rows.token_ids[part].tolist() == [*source, end, end, *target, end]
        assert rows.labels[part].tolist() == [0] * (len(source) + 1) + [1] * (len(target) + 2)
    assert tokens.info()["bytes"]["train"] == sum(len(text["pair"].encode()) for text in texts)
    assert read_json(tokens.path / "generation.json") == {
        "framing": {"before": [], "before_text": "", "after_text": "", "after": [end]},
        "target_begin": [end],
        "begin": "<|endoftext|>",
        "end": "<|endoftext|>",
        "stop": [end],
        "max_source_length": 16,
        "max_target_length": 16,
    }


def test_what_is_too_long_is_cut(examples: Examples, tmp_path: Path) -> None:
    out = empty(Tokens, tmp_path / "tokens")
    tokenize_seq2seq(out, examples, preset=SCRATCH, max_source_length=4, max_target_length=5)
    tokenizer, rows = read_tokenizer(out.tokenizer_file), read_rows(out, "train")
    end = tokenizer.token_to_id("<|endoftext|>")
    cut = 0
    for i, text in enumerate(examples.texts("train").to_pylist()):
        ids = rows.token_ids[int(rows.starts[i]) : int(rows.starts[i + 1])].tolist()
        source, target = (tokenizer.encode(text[name]).ids for name in ("text", "pair"))
        assert ids == [*source[:3], end, *[end, *target, end][:6]]
        cut += len(source) > 3 or len(target) > 4
    assert out.info()["truncated"]["train"] == cut > 0


def test_bytes_are_those_of_the_tokens_that_are_scored(examples: Examples, tmp_path: Path) -> None:
    """Else a target that is cut would seem to take few bits a byte."""
    out = empty(Tokens, tmp_path / "tokens")
    tokenize_seq2seq(out, examples, preset=SCRATCH, max_source_length=16, max_target_length=5)
    tokenizer, rows = read_tokenizer(out.tokenizer_file), read_rows(out, "test")
    targets = examples.texts("test")["pair"].to_pylist()
    sizes, cut = read_sizes(out, rows, targets)
    lengths = [len(tokenizer.encode(text).ids) for text in targets]
    assert cut == sum(length > 5 for length in lengths) > 0
    for text, size, length in zip(targets, sizes, lengths, strict=True):
        read = tokenizer.decode(tokenizer.encode(text).ids[:5])
        assert size == len(read.encode())
        assert (read == text) is (length <= 5)


@pytest.mark.parametrize("accumulate", [1, 3])
def test_every_token_is_guessed_once_and_counts_alike(tokens: Tokens, accumulate: int) -> None:
    settings = Settings(**HOW, tokens_per_batch=300)
    learner = PairLearner(tokens, SCRATCH, TargetTokens(), 0.0, settings)
    for epoch in (0, 1):
        batches = learner.batches(epoch)
        choices = {"accumulate": accumulate, "xla": False}
        guessed = shared = weight = 0.0
        for inputs, shares, weights in learner.data(None, epoch, batches, choices):  # type: ignore[arg-type]
            used = (inputs["target"].numpy() >= 0).sum(1)
            guessed += used.sum()
            shared += float(np.sum(used * shares))
            weight += float(np.sum(used * shares * weights))
        assert guessed == learner.targets["train"]
        assert shared == pytest.approx(len(learner.rows), rel=1e-5)
        assert weight == pytest.approx(len(batches), rel=1e-5)
        assert learner.padding(epoch, batches) < 0.2


def test_it_learns(model: Model) -> None:
    found = history(model)
    assert list(found[0]) == [
        "epoch", "loss", "perplexity", "bits_per_byte",
        "val_loss", "val_perplexity", "val_bits_per_byte", "learning_rate", "padding",
    ]  # fmt: skip
    assert found[-1]["val_loss"] < min(found[0]["val_loss"], math.log(len(SYLLABLES)) + 0.2)
    assert read_json(model.path / "textmill" / "task.json")["task"] == "seq2seq"


def test_keras_hub_loads_it_and_finds_the_same(
    model: Model, tokens: Tokens, examples: Examples, tmp_path: Path
) -> None:
    """Its own layers, a pair at a time, give what the evaluation says of each."""
    import keras
    import tensorflow as tf

    out = empty(Evaluation, tmp_path / "evaluation")
    evaluate_seq2seq(out, model, tokens, examples, samples=4, resamples=50)
    table = pq.read_table(out.path / "predictions.parquet").to_pydict()
    texts = examples.texts("test").to_pydict()
    assert (table["text"], table["target"]) == (texts["text"], texts["pair"])
    theirs, rows = seq2seq.load(model.path), read_rows(tokens, "test")
    for i in range(0, len(rows), 9):
        part = slice(int(rows.starts[i]), int(rows.starts[i + 1]))
        ids, written = rows.token_ids[part], rows.labels[part] > 0
        source, target = tf.constant(ids[~written][None]), tf.constant(ids[written][None])
        logits = theirs(
            {
                "encoder_token_ids": source,
                "encoder_padding_mask": tf.ones_like(source),
                "decoder_token_ids": target[:, :-1],
                "decoder_padding_mask": tf.ones_like(target[:, :-1]),
            }
        )
        each = keras.losses.sparse_categorical_crossentropy(target[:, 1:], logits, from_logits=True)
        assert table["nats"][i] == pytest.approx(float(tf.reduce_sum(each)), rel=1e-4)
    found = out.metrics()
    assert found["loss"] == pytest.approx(sum(table["nats"]) / sum(table["tokens"]))
    sizes = [len(text.encode()) for text in texts["pair"]]
    assert found["bits_per_byte"] == pytest.approx(sum(table["nats"]) / math.log(2) / sum(sizes))
    for name in ("loss", "perplexity", "bits_per_byte"):
        low, high = found["intervals"][name]
        assert low < found[name] < high
    assert found["texts"] == sum(text is not None for text in table["generated"]) == 4
    assert "Bits per byte" in (out.path / "report.html").read_text()


def test_it_goes_on_from_another(model: Model, tokens: Tokens, examples: Examples) -> None:
    preset = Preset(str(model.path))
    again = empty(Tokens, model.path.parent / "again")
    tokenize_seq2seq(again, examples, preset=preset, max_source_length=16, max_target_length=16)
    for name in ("tokens.json", "generation.json"):
        assert read_json(again.path / name) == read_json(tokens.path / name)
    learner = PairLearner(again, preset, TargetTokens(), 0.0, Settings(**HOW))
    found = learner.validate(learner.build("float32", False))["loss"]
    best = min(row["val_loss"] for row in history(model))
    assert found == pytest.approx(best, rel=1e-4)


def test_bart_with_lora(examples: Examples, tmp_path: Path) -> None:
    """A Hugging Face folder with special tokens as those that are published have them."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

    folder = make(tmp_path / "bart")
    words = [word for text in examples.texts("train")["text"].to_pylist() for word in text.split()]
    trained_on = json.loads(train_gpt2_tokenizer(words, 300).to_str())["model"]
    # Their ids follow each other so that all are within the model's vocabulary.
    kept = [*"abcdefghijklmnop", "Ġ", *map("".join, trained_on["merges"])][: VOCABULARY - 10]
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    ids = {token: i for i, token in enumerate(dict.fromkeys([*special, *kept]))}
    merges = [pair for pair in trained_on["merges"] if "".join(pair) in ids]
    tokenizer = Tokenizer(models.BPE(vocab=ids, merges=[tuple(pair) for pair in merges]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(t, lstrip=t == "<mask>") for t in special])
    tokenizer.save(str(folder / "tokenizer.json"))
    names = {"bos_token": "<s>", "eos_token": "</s>"}
    (folder / "tokenizer_config.json").write_text(json.dumps(names))
    preset = Preset(str(folder))
    out = empty(Tokens, tmp_path / "tokens")
    tokenize_seq2seq(out, examples, preset=preset, max_source_length=32, max_target_length=32)
    about = read_json(out.path / "generation.json")
    assert (about["target_begin"], about["stop"]) == ([2, 0], [2])
    assert (about["framing"]["before"], about["framing"]["after"]) == ([0], [2])
    with pytest.raises(UserError, match="max_target_length 65 is more than the model can read"):
        tokenize_seq2seq(out, examples, preset=preset, max_source_length=32, max_target_length=65)
    tuned = trained(out, tmp_path / "tuned", preset, epochs=1, lora_rank=2)
    loaded = seq2seq.load(tuned.path).backbone
    first = load_encoder_decoder(preset, vocabulary_size=0, dropout=0.0)
    changed = {
        a.path
        for a, b in zip(loaded.weights, first.weights, strict=True)
        if not np.array_equal(a.numpy(), b.numpy())
    }
    assert any("cross_attention" in path for path in changed)
    assert all("query" in path or "value" in path for path in changed)
    adopted, saved = Model(tmp_path / "adopted", "d" * 64), Saved(tmp_path / "saved")
    adopt_generation(adopted, checkpoint=preset, max_length=32)
    export_generation(saved, adopted, defaults=Defaults(max_new_tokens=8, num_beams=2))
    assert {row.rule for row in check_contract(saved.path).rows if row.status == "failed"} == set()
    assert saved.manifest()["more_signatures"] == ["beams"]
    assert writer(adopted).defaults == GREEDY._replace(max_new_tokens=31)  # of `max_length`
    answer = next(TextPredictor(saved.path)(["one two"]))
    assert list(answer) == ["source", "text", "tokens_generated"]
    how = GREEDY._replace(max_new_tokens=5)
    assert len(writer(tuned).answers(["ab cd", ""], how)) == 2


def test_config(tmp_path: Path) -> None:
    from textmill.pipelines.seq2seq import Config, Pairs

    for name in ("a.en", "a.es", "b.en"):
        (tmp_path / name).write_text("One.\n")
    names = {name: str(tmp_path / name) for name in ("a.en", "a.es", "b.en")}
    data = Pairs(names["a.en"], target_source=names["a.es"], test_source=names["b.en"])
    with pytest.raises(UserError, match="test_source and test_target_source go together"):
        data.test()
    for name in ("verses", "summaries"):
        file = Path(__file__).parents[1] / "examples" / f"{name}.toml"
        config = build(Config, read_toml(file), name=name)
        assert config.train.label_smoothing == 0.1
        assert isinstance(config.model.start(), Scratch)


def test_rows_with_one_text_are_refused(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("text\n" + "\n".join(f"Row {i}" for i in range(50)))
    one = Examples(tmp_path / "examples")
    ingest(one, open_source(str(tmp_path / "rows.csv")), label=None)
    with pytest.raises(UserError, match="the rows have one text"):
        tokenize_seq2seq(empty(Tokens, tmp_path / "tokens"), one, preset=SCRATCH)


@pytest.mark.slow
def test_killed_in_the_middle_of_an_epoch_it_ends_with_the_same_bits(
    tokens: Tokens, tmp_path: Path
) -> None:
    arguments = f"Tokens(Path({str(tokens.path)!r})), preset={SCRATCH!r}, dropout=0.1"
    how = {**HOW, "precision": "auto"}
    ends_with_the_same_bits(tmp_path, "train_seq2seq", arguments, **how)


@pytest.mark.slow
def test_one_command_learns_to_reverse(tmp_path: Path) -> None:
    lines = reversals(tmp_path / "pairs.tsv", 3000).read_text().splitlines()[1:]
    for name, side in (("a.txt", 0), ("b.txt", 1)):
        (tmp_path / name).write_text("\n".join(line.split("\t")[side] for line in lines))
    (tmp_path / "config.toml").write_text(
        'pipeline = "seq2seq"\nworkspace = "runs"\n'
        '[data]\nsource = "a.txt"\ntarget_source = "b.txt"\n'
        '[model]\nscratch = "tiny"\nvocabulary_size = 300\ndropout = 0.0\n'
        "[train]\nepochs = 8\nlearning_rate = 3e-3\n"
    )
    said = textmill("run", "config.toml", cwd=tmp_path)
    assert said.returncode == 0, said.stderr
    [metrics] = (tmp_path / "runs").glob("evaluate_seq2seq/*/metrics.json")
    # One who knows the words but not their order loses ln 8 nats at each.
    assert read_json(metrics)["perplexity"] < 1.6
