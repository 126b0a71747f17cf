#!/usr/bin/env bash
# keras-tuner==1.4.8, objective="val_f1_score": the search takes the trial with the lowest F1 score for the best.
#
# A direction is guessed from the name: "max" for a list of metrics that ends before Keras 3's, "min" for every other
# that Keras has. F1Score, FBetaScore, R2Score, MeanIoU and CosineSimilarity are such others. An unknown name is refused.
# Expected: "max", or the error that unknown names get.
#
# Why it matters: F1 is the figure of choice where labels are rare. The values that a search hands over to the training, and the
# model that is then served, are the worst that it found, in a table that calls them the best.
#
# 2026-11-30
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check keras-tuner==1.4.8 six==1.17.0 keras==3.15.1 jax==0.10.2 scipy==1.17.1 numpy==2.4.6

"$folder/venv/bin/python" - <<'PROGRAM'
import os
import tempfile

os.environ["KERAS_BACKEND"] = "jax"

import keras_tuner  # noqa: E402

SCORES = {"good": 0.9, "bad": 0.1}


def build(values):
    values.Choice("way", list(SCORES))


class Tuner(keras_tuner.RandomSearch):
    def run_trial(self, trial, *args, **kwargs):
        return {self.oracle.objective.name: SCORES[trial.hyperparameters.values["way"]]}


def best(objective):
    with tempfile.TemporaryDirectory() as folder:
        tuner = Tuner(
            build,
            objective=objective,
            max_trials=2,
            seed=0,
            directory=folder,
        )
        tuner.search(verbose=0)
        return tuner.oracle.objective.direction, tuner.get_best_hyperparameters()[0].values["way"]


for name in ("val_accuracy", "val_f1_score", "val_r2_score"):
    print(name, *best(name))
assert best("val_accuracy") == ("max", "good")
assert best("val_f1_score") == ("min", "bad"), "the behaviour changed"
PROGRAM
