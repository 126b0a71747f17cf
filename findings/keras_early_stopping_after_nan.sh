#!/usr/bin/env bash
# keras==3.15.1, EarlyStopping: where the first epoch's figure is NaN no later one is better, and its weights are kept.
#
# The first value is the best so far whatever it is, and nothing compares as greater or smaller than NaN: with patience=2 a
# training ends after three epochs while the figure goes up, and restore_best_weights brings back those of epoch 0. With a NaN in any
# other epoch all is well. Expected: a number is better than NaN, as numpy.nanargmax has it, or an error.
#
# Why it matters: F1 and a rank correlation are 0 / 0 until a text classifier says more than one label, which most begin
# with. The training ends quietly, and the model that is exported is the one that has learned the least.
#
# 2026-11-30
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check keras==3.15.1 jax==0.10.2 scipy==1.17.1 numpy==2.4.6

"$folder/venv/bin/python" - <<'PROGRAM'
import os

os.environ["KERAS_BACKEND"] = "jax"

import keras  # noqa: E402
import numpy as np  # noqa: E402


class Figure(keras.callbacks.Callback):
    """A figure of one's own for each epoch."""

    def __init__(self, values):
        super().__init__()
        self.values = values

    def on_epoch_end(self, epoch, logs):
        logs["val_f1"] = self.values[epoch]


def trained(*values):
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    stop = keras.callbacks.EarlyStopping(
        "val_f1", mode="max", patience=2, restore_best_weights=True
    )
    rows = np.ones((8, 2)), np.ones((8, 1))
    epochs = model.fit(
        *rows, epochs=len(values), verbose=0, callbacks=[Figure(values), stop]
    ).epoch
    return len(epochs), stop.best_epoch


first = trained(np.nan, 0.5, 0.7, 0.8, 0.9, 0.95)
second = trained(0.4, np.nan, 0.7, 0.8, 0.9, 0.95)
print("NaN in the first epoch: epochs", first[0], " best", first[1])
print("NaN in the second:      epochs", second[0], " best", second[1])
assert second == (6, 5)
assert first == (3, 0), "the behaviour changed"
PROGRAM
