#!/usr/bin/env bash
# keras==3.15.1, Model: of a dictionary with more than a model's inputs, the first by the alphabet are taken, not those named.
#
# A functional model of {"token_ids": ...} that is given {"padding_mask": ..., "token_ids": ...} computes with the mask, and
# warns that the structures differ. The same model made of [token_ids], or of token_ids alone, takes what is called so.
# Expected: the named value in all three, or an error.
#
# Why it matters: a tokenizer's output is such a dictionary, and a simple model needs only the ids. It trains on ones and zeros;
# the loss moves a little, and nothing but a warning among a program's many says why the model that is served knows no words.
#
# 2026-11-30
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check keras==3.15.1 jax==0.10.2 scipy==1.17.1 numpy==2.4.6

"$folder/venv/bin/python" - <<'PROGRAM'
import os
import warnings

os.environ["KERAS_BACKEND"] = "jax"

import keras  # noqa: E402
import numpy as np  # noqa: E402

warnings.simplefilter("ignore", UserWarning)
given = {"padding_mask": np.ones((1, 3), "int32"), "token_ids": np.array([[7, 8, 9]], "int32")}


def taken(form):
    token_ids = keras.Input((None,), dtype="int32", name="token_ids")
    return keras.Model(form(token_ids), token_ids * 1).predict(given, verbose=0).tolist()


found = {
    "tensor": taken(lambda ids: ids),
    "list": taken(lambda ids: [ids]),
    "dictionary": taken(lambda ids: {"token_ids": ids}),
}
print(found)
assert found["tensor"] == found["list"] == [[7, 8, 9]]
assert found["dictionary"] == [[1, 1, 1]], "the behaviour changed"
PROGRAM
