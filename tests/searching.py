"""What a user might plug into a search; a module of its own, as a user's would be."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

import keras
import keras_tuner

from textmill.artifact import Tokens


def bag_of_words(hp: keras_tuner.HyperParameters, tokens: Tokens) -> keras.Model:
    """A mean of embeddings; it asks for its width, and in wide models for a second layer."""
    token_ids = keras.Input((None,), dtype="int32", name="token_ids")
    width = hp.Choice("width", [8, 16])
    found = keras.layers.Embedding(500, width)(token_ids)
    found = keras.layers.GlobalAveragePooling1D()(found)
    with hp.conditional_scope("width", [16]):
        if width == 16:
            found = keras.layers.Dense(hp.Int("hidden", 4, 8))(found)
    logits = keras.layers.Dense(len(tokens.info()["labels"]))(found)
    model = keras.Model({"token_ids": token_ids}, logits)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    rate = hp.get("learning_rate")
    model.compile(optimizer=keras.optimizers.Adam(rate), loss=loss, metrics=["accuracy"])
    return model


def mean_token(hp: keras_tuner.HyperParameters, tokens: Tokens) -> keras.Model:
    """Learns nothing; its figures are what it is given of the rows, as `inputs` names it."""
    token_ids = keras.Input((None,), dtype="int32", name="token_ids")
    first = token_ids[:, :1]
    form = hp.Choice("form", ["dictionary", "list", "tensor", "wrong"])
    own = {"dictionary": {"token_ids": token_ids}, "list": [token_ids], "tensor": token_ids}
    if form == "wrong":
        token_ids = keras.Input((None,), dtype="int32", name="ids")
        own[form], first = {"ids": token_ids}, token_ids[:, :1]
    model = keras.Model(own[form], keras.ops.cast(first, "float32"))
    model.compile(loss="mse", metrics=[First()])
    return model


class First(keras.metrics.Mean):
    """The mean of what a model answers."""

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        super().update_state(y_pred)


class Plain(keras_tuner.Tuner):
    """Trains a model without asking how."""

    def run_trial(self, trial: Any, *args: Any, **kwargs: Any) -> Any:
        kwargs.pop("callbacks")
        return self.hypermodel.build(trial.hyperparameters).fit(*args, **kwargs)


def broken(hp: keras_tuner.HyperParameters, tokens: Tokens) -> keras.Model:
    raise ValueError("no such layer")


class Twice(keras_tuner.Tuner):
    """Trains each trial twice; says in which process, and in which one the search runs."""

    def run_trial(self, trial: Any, *args: Any, **kwargs: Any) -> Any:
        with Path("trials.txt").open("a") as file:
            file.write(f"{os.getpid()}\n")
        self.executions_per_trial = 2
        return super().run_trial(trial, *args, **kwargs)

    def on_search_end(self) -> None:
        Path("search.txt").write_text(str(os.getpid()))


class Formula(keras_tuner.Tuner):
    """Trains nothing."""

    def run_trial(self, trial: Any, *args: Any, **kwargs: Any) -> float:
        rate = trial.hyperparameters.get("learning_rate")
        if rate > 5e-3:
            os.kill(os.getpid(), signal.SIGKILL)
        if rate > 2e-3:
            raise RuntimeError("too fast\nand more")
        if Path("slow").exists():
            time.sleep(0.2)
        return float(rate)
