"""Pretraining: from plain text to a preset that other models begin with."""

from __future__ import annotations

import csv
import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from huggingface_models import rows as rows_of_kind
from killing import ends_with_the_same_bits
from masked_models import KINDS, make
from test_cli import textmill
from textmill.artifact import RECORD, Examples, Kept, Pretrained, Statistics, Tokens, read_json
from textmill.components.ingest import ingest
from textmill.components.keep import keep
from textmill.components.pretrain import pretrain
from textmill.components.sources.by_name import open_source
from textmill.components.tokenize import tokenize
from textmill.components.tokenize_documents import tokenize_documents
from textmill.components.validate import validate
from textmill.errors import UserError
from textmill.models import masked_lm
from textmill.models.checkpoint import load_backbone
from textmill.models.masked_batches import Masking
from textmill.models.masked_learner import MaskedLearner
from textmill.models.preset import Preset, Scratch
from textmill.models.rows import read_rows
from textmill.models.settings import Settings
from textmill.models.tokenizer import load_tokenizer, read_tokenizer
from tiny_examples import empty, review_examples

SCRATCH = Scratch("tiny", vocabulary_size=200)
WIDTH = 24
HOW = {"epochs": 3, "batch_size": 8, "learning_rate": 3e-3, "precision": "float32"}


def corpus(file: Path, documents: int = 240) -> Path:
    """Writes documents in which a word tells of the next ones, a line each."""
    chance = random.Random(0)
    pairs = {"cat": "mouse", "dog": "cat", "bird": "worm", "fox": "hen", "whale": "krill"}

    def sentence() -> str:
        who = chance.choice(sorted(pairs))
        return f"the {who} always chases the {pairs[who]} number {chance.randrange(40)}."

    lines = [" ".join(sentence() for _ in range(chance.randrange(1, 9))) for _ in range(documents)]
    file.write_text("\n".join(lines))
    return file


@pytest.fixture(scope="module")
def examples(tmp_path_factory: pytest.TempPathFactory) -> Examples:
    folder = tmp_path_factory.mktemp("corpus")
    out = Examples(folder / "examples")
    source = open_source(str(corpus(folder / "corpus.txt")), documents="line")
    ingest(out, source, label=None, split={"train": 0.9, "validation": 0.1})
    return out


@pytest.fixture(scope="module")
def tokens(examples: Examples, tmp_path_factory: pytest.TempPathFactory) -> Tokens:
    out = empty(Tokens, tmp_path_factory.mktemp("tokens") / "tokens")
    tokenize_documents(out, examples, preset=SCRATCH, max_length=WIDTH)
    return out


def pretrained(tokens: Tokens, folder: Path, **settings: Any) -> Pretrained:
    out = empty(Pretrained, folder)
    given = Settings(**{**HOW, **settings})
    pretrain(out, tokens, preset=SCRATCH, dropout=0.0, settings=given)
    return out


@pytest.fixture(scope="module")
def model(tokens: Tokens, tmp_path_factory: pytest.TempPathFactory) -> Pretrained:
    return pretrained(tokens, tmp_path_factory.mktemp("model") / "model", epochs=12)


def history(model: Pretrained) -> list[dict[str, float]]:
    with (model.path / "history.csv").open(encoding="utf-8") as file:
        return [{name: float(x) for name, x in row.items()} for row in csv.DictReader(file)]


def test_rows_hold_every_token_of_every_document(examples: Examples, tokens: Tokens) -> None:
    learner = MaskedLearner(tokens, SCRATCH, Masking(), 0.0, Settings(**HOW))
    tokenizer = read_tokenizer(tokens.tokenizer_file)
    texts = examples.table("train")["text"].to_pylist()
    expected = [tokenizer.encode(text, add_special_tokens=False).ids for text in texts]
    first, last = tokenizer.token_to_id("[CLS]"), tokenizer.token_to_id("[SEP]")
    assert max(map(len, expected)) > 2 * WIDTH
    step = learner.build("float32", False)
    for epoch in (0, 1):
        choices = {"accumulate": 1 + epoch, "xla": epoch == 1}
        data = learner.data(step, epoch, learner.batches(epoch), choices)
        pieces = []
        used = held = 0
        weight = 0.0
        for inputs, labels, weights in data:
            weight += float(np.sum(weights))
            assert labels.shape == inputs["mask_positions"].shape
            assert labels.shape[1] % (8 if choices["xla"] else 1) == 0
            for i, mask in enumerate(inputs["padding_mask"].numpy()):
                row = inputs["token_ids"][i].numpy().copy()
                guessed = labels[i].numpy() >= 0
                row[inputs["mask_positions"][i].numpy()[guessed]] = labels[i].numpy()[guessed]
                kept = row[: mask.sum()].tolist()
                assert (kept[0], kept[-1], len(row)) == (first, last, WIDTH)
                used, held = used + len(kept), held + WIDTH
                ends = [j for j, token in enumerate(kept) if token == last]
                for begin, end in zip([0, *ends], ends, strict=False):
                    pieces.append(tuple(kept[begin + 1 : end]))
        cuts = [
            tuple(ids[j : j + WIDTH - 2]) for ids in expected for j in range(0, len(ids), WIDTH - 2)
        ]
        assert sorted(pieces) == sorted(cuts)
        assert learner.padding(epoch, learner.batches(epoch)) == pytest.approx(1 - used / held)
        assert used / held > 0.95
        assert weight == pytest.approx(len(learner.batches(epoch)))


def test_perplexity_falls(model: Pretrained) -> None:
    found = history(model)
    assert list(found[0]) == [
        "epoch", "loss", "perplexity", "masked_accuracy",
        "val_masked_accuracy", "val_loss", "val_perplexity", "learning_rate", "padding",
    ]  # fmt: skip
    assert found[-1]["val_perplexity"] < found[0]["val_perplexity"] / 3
    assert found[-1]["val_masked_accuracy"] > 0.5
    for row in found:
        assert row["val_perplexity"] == pytest.approx(np.exp(row["val_loss"]), rel=1e-4)
        assert row["perplexity"] == pytest.approx(np.exp(row["loss"]), rel=1e-4)
    assert (model.path / "learning_curve.png").stat().st_size > 5000


def test_validation_is_what_numpy_says(tokens: Tokens) -> None:
    learner = MaskedLearner(tokens, SCRATCH, Masking(whole_word=True), 0.0, Settings(**HOW))
    step = learner.build("float32", False)
    found = learner.validate(step)
    assert found == learner.validate(step)  # its masks are the same each time
    other = MaskedLearner(tokens, SCRATCH, Masking(whole_word=True), 0.0, Settings(**HOW, seed=9))
    theirs = other.build("float32", False)
    theirs.model.set_weights(step.model.get_weights())
    assert other.validate(theirs) == pytest.approx(found)  # whatever the seed

    from functools import partial

    from textmill.models.masked_batches import Drawing

    drawing = Drawing(learner.masking, learner.vocabulary, 0, 0)
    rows = np.arange(len(learner.held_out))
    documents = read_rows(tokens, "validation")
    made, mask = partial(drawing.rows, documents, learner.held_out)(rows)
    inputs = {
        "token_ids": made.token_ids,
        "padding_mask": mask,
        "segment_ids": np.zeros_like(mask),
        "mask_positions": made.positions,
    }
    logits = step.model.predict(inputs, verbose=0).astype(np.float64)
    used = made.labels >= 0
    logits, labels = logits[used], made.labels[used]
    losses = np.log(np.exp(logits).sum(1)) - logits[np.arange(len(labels)), labels]
    assert found["loss"] == pytest.approx(losses.mean(), rel=1e-4)
    assert found["masked_accuracy"] == pytest.approx((logits.argmax(1) == labels).mean())


def test_keras_hub_loads_it_and_guesses(model: Pretrained) -> None:
    import keras_hub

    ours = masked_lm.load(model.path)
    theirs = keras_hub.models.MaskedLM.from_preset(str(model.path))
    tokenizer = read_tokenizer(model.tokenizer_file)
    said = tokenizer.encode("the fox always chases the hen number 3.")
    place = said.tokens.index("chases")
    ids = np.array([said.ids], np.int32)
    ids[0, place] = tokenizer.token_to_id("[MASK]")
    inputs = {
        "token_ids": ids,
        "padding_mask": np.ones_like(ids),
        "segment_ids": np.zeros_like(ids),
        "mask_positions": np.array([[place]], np.int32),
    }
    found = ours(inputs).numpy()[0, 0]
    assert said.ids[place] in found.argsort()[-5:]
    np.testing.assert_allclose(theirs(inputs).numpy()[0, 0], found, atol=0.05)


def test_a_classifier_begins_with_it(model: Pretrained, tmp_path: Path) -> None:
    preset = Preset(str(model.path))
    assert load_tokenizer(preset).to_str() == read_tokenizer(model.tokenizer_file).to_str()
    backbone = load_backbone(preset, vocabulary_size=0, dropout=0.0)
    ours = masked_lm.load(model.path).backbone
    for a, b in zip(backbone.get_weights(), ours.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    made = empty(Tokens, tmp_path / "tokens")
    tokenize(made, review_examples(tmp_path / "made", rows=60), preset=preset, max_length=WIDTH)
    assert made.tokenizer_file.read_bytes() == model.tokenizer_file.read_bytes()


def test_a_pretraining_goes_on_from_another(model: Pretrained, tokens: Tokens) -> None:
    preset = Preset(str(model.path))
    learner = MaskedLearner(tokens, preset, Masking(), 0.0, Settings(**HOW))
    found = learner.validate(learner.build("float32", False))
    best = max(row["val_masked_accuracy"] for row in history(model))
    assert found["masked_accuracy"] == pytest.approx(best, abs=1e-5)


def test_it_is_deterministic(tokens: Tokens, tmp_path: Path) -> None:
    a, b = (
        pretrained(tokens, tmp_path / name, epochs=1, deterministic=True, precision="auto")
        for name in "ab"
    )
    for name in ("model.weights.h5", "task.weights.h5", "history.csv", "textmill/training.json"):
        assert (a.path / name).read_bytes() == (b.path / name).read_bytes()


def test_settings(tokens: Tokens, tmp_path: Path) -> None:
    """LoRA, clipping, smoothing, pieces, tokens a batch and a budget do what they do elsewhere."""
    how = {"lora_rank": 2, "clip_norm": 1.0, "label_smoothing": 0.1, "accumulate": 2}
    made = pretrained(tokens, tmp_path / "many", epochs=1, tokens_per_batch=8 * WIDTH, **how)
    whole = pretrained(tokens, tmp_path / "whole", epochs=1, **{**how, "accumulate": 1})
    assert history(made)[0]["loss"] == pytest.approx(history(whole)[0]["loss"], abs=1e-4)
    facts = read_json(made.path / "textmill" / "training.json")
    assert (facts["accumulate"], facts["precision"]) == (2, "float32")
    loaded = masked_lm.load(made.path)
    assert not any("lora" in weight.path for weight in loaded.weights)
    with pytest.raises(UserError, match="class_weights are for rows with labels"):
        pretrained(tokens, tmp_path / "weights", class_weights="balanced")


def test_kept_where_other_configs_name_it(model: Pretrained, tmp_path: Path) -> None:
    out, to = empty(Kept, tmp_path / "kept"), tmp_path / "presets" / "domain"
    keep(out, model, to=str(to))
    assert out.model_path == to
    digest = Preset(str(to)).digest()
    (to / "textmill" / "lineage.json").write_text("{}")
    assert Preset(str(to)).digest() == digest
    assert Kept.digest_of(to) == read_json(out.path / "kept.json")["digest"]
    (to / "stale.json").write_text("{}")
    (out.path / RECORD).write_text(json.dumps({"files": {}}))
    assert "was changed since" in str(out.damage())
    again = empty(Kept, tmp_path / "again")
    keep(again, model, to=str(to))
    assert not (to / "stale.json").exists()
    assert out.damage() is None
    assert [f.name for f in to.parent.iterdir()] == ["domain"]
    with pytest.raises(UserError, match="is there already"):
        keep(empty(Kept, tmp_path / "other"), model, to=str(tmp_path))
    (tmp_path / "a_file").write_text("")
    with pytest.raises(UserError, match="can't be written"):
        keep(empty(Kept, tmp_path / "no"), model, to=str(tmp_path / "a_file" / "x"))


def test_too_little_text(tmp_path: Path) -> None:
    file = tmp_path / "corpus.txt"
    file.write_text("")
    split = {"train": 0.9, "validation": 0.1}
    with pytest.raises(UserError, match="no rows"):
        ingest(Examples(tmp_path / "none"), open_source(str(file), documents="line"), label=None)
    file.write_text("One line alone.\n")
    one = Examples(tmp_path / "one")
    ingest(one, open_source(str(file), documents="line"), label=None, split=split)
    with pytest.raises(UserError, match="no rows in validation"):
        validate(Statistics(tmp_path / "statistics"), one)


def test_a_model_that_keras_hub_cannot_train_so(tokens: Tokens) -> None:
    import keras_hub

    small = {"num_layers": 1, "num_heads": 2, "hidden_dim": 16, "intermediate_dim": 16}
    electra = keras_hub.models.ElectraBackbone(vocab_size=60, embedding_dim=16, **small)
    with pytest.raises(UserError, match="no masked language model for ElectraBackbone"):
        masked_lm.build(electra)


@pytest.fixture(scope="module")
def theirs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("masked"))


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_guesses_are_those_of_transformers(kind: str, theirs: Path) -> None:
    preset = Preset(str(theirs / kind))
    model = masked_lm.build(load_backbone(preset, vocabulary_size=0, dropout=0.0))
    assert masked_lm.load_head(model, preset)
    ids, mask = rows_of_kind(kind)
    places = np.tile(np.arange(ids.shape[1], dtype=np.int32), (len(ids), 1))
    every = {
        "token_ids": ids,
        "padding_mask": mask,
        "segment_ids": np.zeros_like(ids),
        "mask_positions": places,
    }
    found = model({name: every[name] for name in model.input}).numpy()
    wanted = np.load(theirs / kind / "logits.npy")
    assert np.ptp(wanted) > 0.5
    np.testing.assert_allclose(found[mask == 1], wanted[mask == 1], atol=1e-4)


@pytest.mark.slow
def test_a_checkpoint_without_a_head_gets_a_new_one(theirs: Path) -> None:
    preset = Preset(str(theirs / "headless"))
    model = masked_lm.build(load_backbone(preset, vocabulary_size=0, dropout=0.0))
    assert not masked_lm.load_head(model, preset)


@pytest.mark.slow
def test_a_head_with_a_matrix_of_its_own_is_refused(theirs: Path) -> None:
    preset = Preset(str(theirs / "untied"))
    model = masked_lm.build(load_backbone(preset, vocabulary_size=0, dropout=0.0))
    with pytest.raises(UserError, match="its head for masked words has a matrix of its own"):
        masked_lm.load_head(model, preset)


@pytest.mark.slow
def test_killed_in_the_middle_of_an_epoch_it_ends_with_the_same_bits(
    tokens: Tokens, tmp_path: Path
) -> None:
    ends_with_the_same_bits(
        tmp_path,
        "pretrain",
        f'Tokens(Path({str(tokens.path)!r})), preset=Scratch("tiny", 200)',
        kind=Pretrained,
        files=("model.weights.h5", "task.weights.h5", "history.csv"),
        **{**HOW, "precision": "auto"},
    )


CONFIG = """
pipeline = "pretraining"
workspace = "runs/domain"
[data]
source = "corpus.txt"
documents = "line"
[model]
scratch = "tiny"
vocabulary_size = 200
max_length = 24
[masking]
whole_word = true
[train]
epochs = 1
precision = "float32"
[save]
to = "presets/domain"
"""
FOLLOW_UP = """
pipeline = "text_classification"
workspace = "runs/reviews"
[data]
source = "reviews.csv"
[model]
preset = "presets/domain"
max_length = 24
[train]
epochs = 1
precision = "float32"
[push]
to = "models/reviews"
"""


@pytest.mark.slow
def test_from_plain_text_to_a_served_classifier(tmp_path: Path) -> None:
    from textmill.testing import tiny_reviews

    corpus(tmp_path / "corpus.txt")
    tiny_reviews(tmp_path, 120)
    (tmp_path / "domain.toml").write_text(CONFIG)
    (tmp_path / "reviews.toml").write_text(FOLLOW_UP)
    first = textmill("run", "domain.toml", cwd=tmp_path)
    assert first.returncode == 0, first.stdout + first.stderr
    assert "saved presets/domain in" in first.stdout
    lineage = read_json(tmp_path / "presets/domain/textmill/lineage.json")
    assert lineage["inputs"]["tokens"]["made_by"]["step"] == "tokenize_documents"
    told = textmill("lineage", "presets/domain", cwd=tmp_path)
    assert "tokenize_documents" in told.stdout
    again = textmill("run", "domain.toml", cwd=tmp_path)
    assert again.stdout.count("cached") == 5, again.stdout
    second = textmill("run", "reviews.toml", cwd=tmp_path)
    assert second.returncode == 0, second.stdout + second.stderr
    said = textmill("predict", "models/reviews", "a wonderful film", cwd=tmp_path)
    assert json.loads(said.stdout)["label"] in ("pos", "neg")
