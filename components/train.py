"""Token ids to a trained model."""

from __future__ import annotations

import csv
import math
import shutil
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from textmill.artifact import Model, Tokens, write_json
from textmill.errors import UserError
from textmill.models import text_classification
from textmill.models.preset import Preset, Scratch
from textmill.models.task import Task
from textmill.progress import advance
from textmill.quiet import import_tensorflow

if TYPE_CHECKING:
    import keras

ADVANCE_EVERY = 10  # steps


def train(
    out: Model,
    tokens: Tokens,
    *,
    preset: Preset | Scratch,
    task: Task = text_classification,
    epochs: int = 3,
    batch_size: int = 32,
    learning_rate: float = 5e-5,
    warmup: float = 0.1,
    weight_decay: float = 0.01,
    dropout: float = 0.1,
    early_stopping: int | None = None,
    seed: int = 0,
    deterministic: bool = False,
) -> None:
    """Trains a model on `tokens` and writes the best epoch's weights to `out`.

    The best epoch has the highest accuracy on the validation split, of equals the lowest loss;
    without validation rows it is the last one.

    Args:
        out: A KerasHub preset folder, `history.csv`, and `task.json` and `tokenizer.json` in
            `textmill/`.
        tokens: What to learn from.
        preset: The weights to begin with.
        task: What is learned: a module, or any object, that says what `Task` asks.
        epochs: Times to go through the training split.
        batch_size: Rows a step.
        learning_rate: The highest one, reached when the warmup ends; from there it falls to 0.
        warmup: Share of the steps in which the learning rate rises, 0 to 1.
        weight_decay: How much of every weight but norms and biases goes, times the learning rate.
        dropout: Share of activations to drop, 0 to 1.
        early_stopping: Epochs without a better one after which to stop; None: never.
        seed: Decides the new weights, the order of rows, and what is dropped.
        deterministic: Whether two trainings must give equal bits, at some cost in speed.

    Raises:
        UserError: The preset can't be loaded, or the loss became NaN.
    """
    import_tensorflow()
    import keras
    import tensorflow as tf

    from textmill.models.batches import read_rows, training, validation
    from textmill.models.checkpoint import load_backbone, save_classifier, vocabulary
    from textmill.models.schedule import adamw

    # Keras counts up the names of layers, and saves them: a second training in one process would
    # write other bytes.
    keras.utils.clear_session()
    keras.utils.set_random_seed(seed)
    if deterministic:
        tf.config.experimental.enable_op_determinism()
    info = tokens.info()
    advance(0, None, "loading the model")
    words = vocabulary(tokens.tokenizer_file)
    backbone = load_backbone(preset, vocabulary_size=len(words), dropout=dropout)
    model = task.build(backbone, info["labels"], dropout=dropout)

    rows, held_out = read_rows(tokens, "train"), read_rows(tokens, "validation")
    steps = math.ceil(len(rows) / batch_size)
    model.compile(
        optimizer=adamw(
            model,
            peak=learning_rate,
            warmup=round(warmup * steps * epochs),
            total=steps * epochs,
            weight_decay=weight_decay,
        ),
        loss=task.loss(),
        metrics=task.metrics(),
        # Rows differ in length, and XLA would compile a program for each length.
        jit_compile=False,
    )
    watch = _Watch(model, rows=len(rows), steps=steps, epochs=epochs, patience=early_stopping)
    model.fit(
        training(rows, batch_size, model.input, seed=seed),
        steps_per_epoch=steps,
        epochs=epochs,
        validation_data=validation(held_out, batch_size, model.input) if len(held_out) else None,
        callbacks=[
            keras.callbacks.LambdaCallback(
                on_train_batch_end=watch.step_ended,
                on_epoch_end=watch.epoch_ended,
            )
        ],
        shuffle=False,  # the input is shuffled already
        verbose=0,
    )
    model.set_weights(watch.best)

    save_classifier(
        model, out.path, tokenizer_file=tokens.tokenizer_file, max_length=info["max_length"]
    )
    write_json(
        out.path / "textmill" / "task.json",
        {"task": task.NAME, "labels": info["labels"], "max_length": info["max_length"]},
    )
    shutil.copyfile(tokens.tokenizer_file, out.tokenizer_file)
    with (out.path / "history.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=watch.history[0], lineterminator="\n")
        writer.writeheader()
        writer.writerows(watch.history)


@dataclass
class _Watch:
    """Follows a training: says how far it is, notices NaN, keeps the best epoch's weights."""

    model: keras.Model
    rows: int
    steps: int
    epochs: int
    patience: int | None
    history: list[dict[str, float]] = field(default_factory=list)
    best: list[Any] = field(default_factory=list)
    best_epoch: int = -1
    started: float = 0.0

    def step_ended(self, step: int, logs: dict[str, float]) -> None:
        done = len(self.history) * self.steps + step + 1
        if not math.isfinite(logs["loss"]):
            rate = float(self.model.optimizer.learning_rate)
            raise UserError(
                f"the loss became {logs['loss']} in step {done}",
                expected="a finite loss",
                received=f"{logs['loss']} at a learning rate of {rate:.2g}",
                fix="lower train.learning_rate, or raise train.warmup",
            )
        if step == 0:
            # The very first step compiles, which says nothing about the speed of the rest.
            self.started = time.monotonic()
        elif step % ADVANCE_EVERY == 0 or step == self.steps - 1:
            speed = step / self.steps * self.rows / (time.monotonic() - self.started)
            epoch = f"epoch {len(self.history) + 1}/{self.epochs}"
            note = f"{epoch} loss {logs['loss']:.3f} · {speed:.0f} rows/s"
            advance(done, self.steps * self.epochs, note)

    def epoch_ended(self, epoch: int, logs: dict[str, float]) -> None:
        names = [n for n in ("loss", "accuracy", "val_loss", "val_accuracy") if n in logs]
        self.history.append({"epoch": epoch + 1} | {n: round(logs[n], 6) for n in names})
        if self.best_epoch < 0 or self._merit(epoch) > self._merit(self.best_epoch):
            self.best, self.best_epoch = self.model.get_weights(), epoch
        if self.patience is not None and epoch - self.best_epoch >= self.patience:
            self.model.stop_training = True

    def _merit(self, epoch: int) -> tuple[float, float]:
        figures = self.history[epoch]
        if "val_loss" not in figures:
            return (epoch, 0.0)
        return (figures["val_accuracy"], -figures["val_loss"])
