"""Training: epochs of steps, from where the last attempt stood to the best epoch's weights."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from textmill.artifact import LOGS, Tokens
from textmill.errors import UserError
from textmill.models.adaptation import copy_merged
from textmill.models.curves import Log
from textmill.models.learner import Learner
from textmill.models.objective import direction_of
from textmill.models.parts import Parts
from textmill.models.preset import Preset, Scratch
from textmill.models.schedule import learning_rate
from textmill.models.settings import Settings, seconds
from textmill.models.state import State, find, restore, save
from textmill.progress import advance, warn

if TYPE_CHECKING:
    import keras

    from textmill.models.rows import Places
    from textmill.models.state import Arrays
    from textmill.models.step import Floats

ADVANCE_EVERY = 10  # steps
ROWS_NAMED = 8  # in an error
SCORING = 0.4  # time that a row takes to be scored, where training on it takes 1

Figures = dict[str, float]


@dataclass(frozen=True)
class Learned:
    """What a training ends with.

    Attributes:
        model: With the weights of the best epoch, computing in float32.
        history: A row of figures for each epoch.
        facts: What was chosen for this machine, and how much was done.
    """

    model: keras.Model
    history: list[Figures]
    facts: dict[str, Any]


class Training:
    """A training on the rows of `tokens`; made anew in `folder`, it goes on where it was killed.

    Args:
        tokens: Rows and labels.
        preset: The weights to begin with.
        task: What is learned: a `Task`, or what else `learner` takes for one.
        dropout: Share of activations to drop, 0 to 1.
        settings: How.
        folder: Where step checkpoints are kept. The caller removes it when what came of the
            training is safe.
        learner: Makes the parts of the training from the five values before `folder`.

    Raises:
        UserError: The preset can't be loaded.
    """

    def __init__(
        self,
        tokens: Tokens,
        *,
        preset: Preset | Scratch,
        task: Any,
        dropout: float,
        settings: Settings,
        folder: Path,
        learner: Callable[[Tokens, Preset | Scratch, Any, float, Settings], Parts] = Learner,
    ) -> None:
        import keras
        import tensorflow as tf

        # Keras counts up the names of layers, and saves them: a second training in one process
        # would write other bytes.
        keras.utils.clear_session()
        if settings.deterministic:
            tf.config.experimental.enable_op_determinism()
        advance(0, None, "loading the model")
        self.settings, self.folder = settings, folder
        self.learner = learner(tokens, preset, task, dropout, settings)
        self.held_out = self.learner.held_out
        self.total = sum(map(self.learner.steps, range(settings.epochs)))

        found = find(folder)
        self.state = found or State(choices=self.learner.choices())
        self.step = self.learner.build(self.state.choices["precision"], self.state.choices["xla"])
        self.best: Arrays = restore(folder, found, self._variables()) if found else []
        self.began = time.monotonic() - self.state.seconds
        self.saved = time.monotonic()
        self.row_seconds = 0.0
        self.log = Log(folder / LOGS)

    def run(self, on_epoch: Callable[[list[Figures]], bool] = lambda history: True) -> Learned:
        """Trains to the end.

        Args:
            on_epoch: Called with the history after each epoch; when it is false, training ends.

        Raises:
            UserError: The loss became NaN, or memory does not suffice.
        """
        now, settings = self.state, self.settings
        if now.steps:
            warn(f"going on in epoch {now.epoch + 1} after {now.step} steps of it")
        while now.epoch < settings.epochs and self._progress() < 1 and not self._stale():
            self._run_epoch()
            if not on_epoch(now.history):
                self._save()  # whoever stopped it may let it go on another time
                break
        model = self.step.model
        model.set_weights(self.best)
        if now.choices["precision"] != "float32" or settings.lora_rank:
            trained, model = model, self.learner.plain()
            copy_merged(trained, model)
        self.learner.finish(model)
        done = {"steps": now.steps, "epochs": now.epoch, "best_epoch": now.best_epoch + 1}
        spread = {"devices": self.learner.strategy.num_replicas_in_sync}
        return Learned(model, now.history, {**now.choices, **spread, **done})

    def _run_epoch(self) -> None:
        now = self.state
        batches = self.learner.batches(now.epoch)
        data = self.learner.data(self.step, now.epoch, batches[now.step :], now.choices)
        began, before, first = time.monotonic(), now.rows, True
        while now.step < len(batches) and self._progress() < 1:
            batch, rate = batches[now.step], self._learning_rate()
            try:
                pieces = min(now.choices["accumulate"], len(batch))
                losses, right = self.step(data, rate, pieces=pieces)
            except Exception as error:
                if not _out_of_memory(error):
                    raise
                self._split_batches(error)
                data = self.learner.data(self.step, now.epoch, batches[now.step :], now.choices)
                continue
            if not math.isfinite(losses.sum()):
                raise self._not_finite(losses, batch, rate)
            now.loss += float(losses.sum())
            now.right += float(right.sum())
            now.rows += len(batch)
            now.step += 1
            now.steps += 1
            if not (first and self.row_seconds):
                self.row_seconds = (time.monotonic() - began) / (now.rows - before)
            if first:  # it traced the step, which says nothing of the time of others
                began, before, first = time.monotonic(), now.rows, False
            if now.step % ADVANCE_EVERY == 0 or now.step == len(batches):
                self._tell(float(losses.mean()), rate)
            self._save_when_due()
        self._end_epoch(batches[: now.step])

    def _tell(self, loss: float, rate: float) -> None:
        now, total, speed = self.state, self.total, 1 / self.row_seconds
        note = f"loss {now.loss / now.rows:.3f} · {speed:.0f} rows/s"
        epoch = f"epoch {now.epoch + 1}/{self.settings.epochs}"
        advance(self._progress() * total, total, f"{epoch} {note}")
        figures = {"step/loss": loss, "step/learning_rate": rate, "step/rows_per_second": speed}
        self.log.add(now.steps, figures)

    def _end_epoch(self, batches: list[Places]) -> None:
        """Scores the validation split, adds a row to the history, keeps the weights if better."""
        now = self.state
        figures: Figures = {"epoch": now.epoch + 1}
        figures |= self.learner.figures(now.loss / now.rows, now.right / now.rows)
        if len(self.held_out):
            figures |= {
                f"val_{name}": value for name, value in self.learner.validate(self.step).items()
            }
        figures["learning_rate"] = self._learning_rate()
        figures["padding"] = self.learner.padding(now.epoch, batches)
        now.history.append(
            {n: v if isinstance(v, int) else float(f"{v:.6g}") for n, v in figures.items()}
        )
        self.log.add(now.steps, {f"epoch/{name}": value for name, value in figures.items()})
        if now.best_epoch < 0 or self._merit(now.epoch) > self._merit(now.best_epoch):
            self.best, now.best_epoch = self.step.model.get_weights(), now.epoch
        now.epoch, now.step = now.epoch + 1, 0
        now.loss, now.right, now.rows = 0.0, 0.0, 0
        self._save_when_due()

    def _merit(self, epoch: int) -> tuple[float, float]:
        """Returns what makes an epoch better than another."""
        figures = self.state.history[epoch]
        first = next((name for name in figures if name.startswith("val_")), None)
        if first is None:
            return epoch, 0.0
        sign = -1 if direction_of(first) == "min" else 1
        return sign * figures[first], -figures["val_loss"]

    def _stale(self) -> bool:
        patience = self.settings.early_stopping
        return patience is not None and self.state.epoch - 1 - self.state.best_epoch >= patience

    def _progress(self) -> float:
        """Returns how much of the training is done, 0 to 1: of its steps, or of its time."""
        done = self.state.steps / self.total
        if self.settings.budget is None or not self.state.steps:
            return done
        # The validation of the last epoch belongs to the time that was given.
        scoring = SCORING * len(self.held_out) * self.row_seconds
        budget = seconds(self.settings.budget)
        given = budget - min(scoring, budget / 2)
        return max(done, (time.monotonic() - self.began) / given)

    def _learning_rate(self) -> float:
        given = self.settings
        return learning_rate(
            self._progress(), peak=given.learning_rate, warmup=given.warmup, decay=given.decay
        )

    def _split_batches(self, error: Exception) -> None:
        """Makes smaller pieces of batches that memory does not hold, once."""
        pieces = self.state.choices["accumulate"]
        if pieces > self.settings.accumulate:
            raise UserError(
                "the machine's memory does not hold a batch, nor half of one",
                expected=f"room for {self.settings.batch_size // pieces} rows at a time",
                received=str(error).partition("\n")[0][:200],
                fix="lower train.batch_size or model.max_length, or raise train.accumulate",
            ) from error
        self.state.choices["accumulate"] = 2 * pieces
        warn(f"out of memory: each batch is computed in {2 * pieces} parts from here on")

    def _not_finite(self, losses: Floats, batch: Places, rate: float) -> UserError:
        wrong = batch[~np.isfinite(losses)]
        places = np.concatenate([self.learner.places(self.state.epoch, row) for row in wrong])
        named = ", ".join(map(str, places[:ROWS_NAMED].tolist()))
        more = f" and {len(places) - ROWS_NAMED} more" if len(places) > ROWS_NAMED else ""
        return UserError(
            f"the loss became {losses.sum()} in step {self.state.steps + 1}",
            expected="a finite loss",
            received=f"{losses.sum()} at a learning rate of {rate:.2g}, in rows {named}{more} "
            "of the training split",
            fix="lower train.learning_rate, set train.clip_norm = 1.0, or look at these rows",
        )

    def _variables(self) -> list[keras.Variable]:
        """Returns all that a step changes: weights, moments, and random generators' states."""
        return [*self.step.model.variables, *self.step.optimizer.variables]

    def _save_when_due(self) -> None:
        steps = self.settings.checkpoint_steps
        waited = time.monotonic() - self.saved
        if (steps and self.state.steps % steps == 0) or waited > seconds(self.settings.checkpoint):
            self._save()

    def _save(self) -> None:
        self.state.seconds = time.monotonic() - self.began
        try:
            save(self.folder, self.state, self._variables(), self.best)
        except OSError as error:
            # The training itself still goes well; a full disk is told where its result is kept.
            warn(f"no step checkpoint: {error}")
        self.saved = time.monotonic()


def _out_of_memory(error: Exception) -> bool:
    import tensorflow as tf

    return isinstance(error, tf.errors.ResourceExhaustedError | MemoryError)
