from __future__ import annotations

import csv
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from textmill.artifact import Model, Tokens, content, digest_files
from textmill.components.tokenize import tokenize
from textmill.components.train import train
from textmill.models import text_classification as task
from textmill.models.batches import by_length, padded
from textmill.models.checkpoint import load_backbone
from textmill.models.preset import Preset
from textmill.models.rows import read_rows
from textmill.models.settings import Settings
from textmill.models.task import logits_of
from textmill.models.tokenizer import load_tokenizer, read_tokenizer
from textmill.progress import listening
from tiny_examples import SCRATCH, empty, make_examples, review_examples, trained


def history(model: Model) -> list[dict[str, str]]:
    with (model.path / "history.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def accuracy(model: Model, tokens: Tokens) -> float:
    rows, classifier = read_rows(tokens, "validation"), task.load(model.path)
    right = 0
    for batch in by_length(rows.lengths, 16):
        given = padded(rows, batch, ("token_ids", "padding_mask"))
        logits = logits_of(classifier, given["token_ids"], given["padding_mask"]).numpy()
        right += int((logits.argmax(1) == rows.labels[batch]).sum())
    return right / len(rows)


def small_tokens(folder: Path, rows: int = 48) -> Tokens:
    made = empty(Tokens, folder / "tokens")
    tokenize(made, review_examples(folder / "made", rows), preset=SCRATCH, max_length=32)
    return made


def test_it_learns_and_says_how_it_went() -> None:
    _, tokens, model = trained()
    epochs = history(model)
    scores = ["val_accuracy", "val_loss", "val_f1_macro", "val_precision_macro", "val_recall_macro"]
    assert list(epochs[0]) == ["epoch", "loss", "accuracy", *scores, "learning_rate", "padding"]
    assert [row["epoch"] for row in epochs] == ["1", "2", "3", "4"]
    assert float(epochs[-1]["loss"]) < float(epochs[0]["loss"])
    best = max(float(row["val_accuracy"]) for row in epochs)
    assert best > 0.9
    assert accuracy(model, tokens) == pytest.approx(best, abs=1e-5)


def test_the_folder_says_what_serving_must_know() -> None:
    _, tokens, model = trained()
    assert model.task() == {
        "task": "text_classification",
        "labels": ["neg", "pos"],
        "kind": "one",
        "separator": "|",
        "pair": False,
        "max_length": 48,
        "overlap": None,
        "windows": 8,
        "cleaning": tokens.info()["cleaning"],
    }
    assert model.tokenizer_file.read_bytes() == tokens.tokenizer_file.read_bytes()
    saved = b"".join(f.read_bytes() for f in model.path.rglob("*.json"))
    assert b"date" not in saved
    assert str(model.path).encode() not in saved


def test_a_keras_users_tokenizer_gives_our_ids() -> None:
    import keras_hub

    examples, _, model = trained()
    classifier = keras_hub.models.TextClassifier.from_preset(str(model.path))
    tokenizer = read_tokenizer(model.tokenizer_file)
    for text in [*examples.table("test")["review"].to_pylist()[:20], "A CAFÉ, in the film!"]:
        ids = np.asarray(classifier.preprocessor(text)["token_ids"])
        assert ids[ids != 0].tolist() == tokenizer.encode(text).ids
    assert classifier.preprocessor.sequence_length == 48


def test_logits_need_no_new_trace_for_a_new_length() -> None:
    import tensorflow as tf

    _, _, model = trained()
    classifier, traces = task.load(model.path), 0

    def score(ids: Any, mask: Any) -> Any:
        nonlocal traces
        traces += 1
        return logits_of(classifier, ids, mask)

    open_ended = tf.TensorSpec([None, None], tf.int32)
    function = tf.function(score, input_signature=[open_ended, open_ended])
    ids = np.array([[2, 7, 8, 3]], np.int32)
    short = function(ids, np.ones_like(ids))
    wide = np.pad(ids, ((0, 0), (0, 9)))
    long = function(wide, (wide != 0).astype(np.int32))
    np.testing.assert_allclose(short, long, atol=1e-5)
    assert short.dtype == tf.float32
    assert traces == 1


def test_a_trained_model_is_a_preset_to_go_on_from() -> None:
    examples, tokens, model = trained()
    preset, texts = Preset(str(model.path)), examples.table("test")["review"].to_pylist()
    again, before = load_tokenizer(preset), read_tokenizer(tokens.tokenizer_file)
    assert [again.encode(t).ids for t in texts] == [before.encode(t).ids for t in texts]
    backbone = load_backbone(preset, vocabulary_size=0, dropout=0.25)
    kept = task.load(model.path).backbone
    assert backbone.dropout == 0.25
    for a, b in zip(backbone.get_weights(), kept.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.slow
def test_deterministic_trainings_give_equal_bytes(tmp_path: Path) -> None:
    """In a process of its own: what TensorFlow fixes for determinism can't be undone."""
    tokens = small_tokens(tmp_path)
    code = (
        "import sys; from pathlib import Path; from textmill.artifact import Model, Tokens\n"
        "from textmill.components.train import train; from textmill.models.preset import Scratch\n"
        "from textmill.models.settings import Settings\n"
        "for name, seed in (('one', 5), ('two', 5), ('other', 6)):\n"
        "    out = Path(sys.argv[1]) / name\n"
        "    out.mkdir()\n"
        "    train(Model(out), Tokens(Path(sys.argv[2])), preset=Scratch('tiny', 400),"
        " settings=Settings(epochs=2, batch_size=8, seed=seed, deterministic=True))\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path), str(tokens.path)]
    subprocess.run(command, check=True, capture_output=True)
    one, two, other = (digest_files(content(tmp_path / n)) for n in ("one", "two", "other"))
    assert one == two != other


class Heard:
    def __init__(self) -> None:
        self.notes: list[tuple[float, float | None, str]] = []

    def started(self, step: str) -> None: ...

    def advanced(self, step: str, done: float, total: float | None, note: str) -> None:
        self.notes.append((done, total, note))

    def finished(self, step: str, status: str, seconds: float, note: str) -> None: ...


def test_without_validation_rows_the_last_epoch_is_kept(tmp_path: Path) -> None:
    rows = [("a warm film", "pos"), ("a cold film", "neg")] * 8
    tokens, heard = empty(Tokens, tmp_path / "tokens"), Heard()
    tokenize(tokens, make_examples(tmp_path / "x", train=rows), preset=SCRATCH)
    model = empty(Model, tmp_path / "model")
    with listening(heard, "train"):
        train(
            model,
            tokens,
            preset=SCRATCH,
            settings=Settings(epochs=2, batch_size=4, learning_rate=1e-3),
        )
    columns = ["epoch", "loss", "accuracy", "learning_rate", "padding"]
    assert list(history(model)[0]) == columns
    done, total, note = heard.notes[-1]
    assert done == total == 8
    assert note.startswith("epoch 2/2 loss 0.")
    assert note.endswith(" rows/s")


def test_early_stopping_stops(tmp_path: Path) -> None:
    model = empty(Model, tmp_path / "model")
    tokens = small_tokens(tmp_path)
    # A learning rate that moves nothing: no epoch is better than the first.
    settings = Settings(epochs=9, batch_size=32, learning_rate=1e-12, early_stopping=2)
    train(model, tokens, preset=SCRATCH, settings=settings)
    assert len(history(model)) == 3
