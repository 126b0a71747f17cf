"""The signature `explain`: integrated gradients, as torch computes them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from exported import asked, exported
from huggingface_models import named, rows
from test_encoder import network, weights_of
from textmill.artifact import read_json
from textmill.frame import Frame
from textmill.models.preset import Preset
from textmill.serving import savedmodel
from textmill.serving.encoder import Encoder
from textmill.serving.explain import Explainer
from textmill.serving.framing import Framing, Rows
from textmill.serving.heads import Head
from tiny_models import load_tokenizer

NEAR = 1e-3  # how far a sum of contributions may be from the difference of the scores
CASES = [("one", False), ("many", True), ("number", False)]


@pytest.mark.parametrize(("head", "pair"), CASES, ids=[head for head, _ in CASES])
def test_contributions_are_those_of_torch(
    head: str, pair: bool, theirs: Path, tmp_path: Path
) -> None:
    checkpoint = theirs / f"text-{head}"
    folder = exported(checkpoint, tmp_path, pair=pair)
    texts = [t for t in read_json(checkpoint / "answers.json")["texts"] if len(t) < 200][-6:]
    given = {"text": np.array([t.encode() for t in texts], object)}
    others = texts[::-1]
    if pair:
        given["text_pair"] = np.array([t.encode() for t in others], object)
    found = asked(folder, "explain", **given)

    tokenizer = load_tokenizer(tmp_path / "model" / "textmill" / "tokenizer.json", 64)
    encoded = tokenizer.encode_batch(list(zip(texts, others, strict=True)) if pair else texts)
    special = [tokenizer.token_to_id(token) for token in ("[CLS]", "[SEP]")]
    wanted = torch_says(
        tmp_path,
        checkpoint=str(checkpoint),
        kind=head,
        special=special,
        rows=[[e.ids, e.type_ids] for e in encoded],
    )
    for i, (row, (contributions, reached, began)) in enumerate(zip(encoded, wanted, strict=True)):
        size = len(row.ids)
        assert [t.decode() for t in found["tokens"][i, :size]] == row.tokens
        assert set(found["tokens"][i, size:]) <= {b""}
        assert (found["contributions"][i, size:] == 0).all()
        ours = found["contributions"][i, :size]
        assert (ours[np.isin(row.ids, special)] == 0).all()
        np.testing.assert_allclose(ours, contributions, atol=NEAR)
        score = found["value" if head == "number" else "score"][i]
        np.testing.assert_allclose(score, reached, atol=1e-4)
        np.testing.assert_allclose(found["difference"][i], reached - began, atol=1e-4)
    sums = found["contributions"].sum(1)
    np.testing.assert_allclose(sums, found["difference"], atol=NEAR)
    assert np.ptp(found["contributions"]) > 20 * NEAR  # else equal would mean little


def torch_says(folder: Path, **given: Any) -> Any:
    """In another process, for torch need not share one with TensorFlow."""
    (folder / "given.json").write_text(json.dumps(given))
    script = Path(__file__).with_name("torch_gradients.py")
    said = subprocess.run(
        [sys.executable, script, folder], capture_output=True, text=True, check=False
    )
    assert said.returncode == 0, said.stderr
    return json.loads((folder / "found.json").read_text())


def explained(encoder: Encoder, ids: Any, mask: Any) -> dict[str, Any]:
    explain = Explainer(
        encoder,
        Head("one", ("bad", "fair", "good")),
        Framing(Frame((5,), (6,), (6,), 6), 40),
        [f"token {i}" for i in range(120)],
    )
    nothing = tf.zeros(len(ids), tf.int64)
    given = Rows(tf.constant(ids), tf.constant(mask > 0), tf.zeros_like(ids), nothing, nothing)
    found = tf.function(lambda: explain(given), autograph=False)()
    return {name: value.numpy() for name, value in found.items()}


def test_the_one_word_that_decides_gets_all(theirs: Path) -> None:
    weights = weights_of(network(Preset(str(theirs / "bert"))))
    tokens = weights.tokens.copy()
    tokens[7:] = 0  # as if they were not there
    tokens[50] = weights.tokens[50]
    encoder = Encoder(weights._replace(tokens=tokens))
    ids = np.array([[5, 30, 31, 50, 32, 6], [5, 50, 33, 34, 35, 6]], np.int32)
    found = explained(encoder, ids, np.ones_like(ids))
    here = ids == 50
    assert (np.abs(found["difference"]) > 0.01).all()
    np.testing.assert_allclose(found["contributions"][here], found["difference"], atol=NEAR)
    assert (found["contributions"][~here] == 0).all()


@pytest.mark.parametrize("kind", ["albert", "electra", "roberta"])
def test_a_text_is_explained_alike_alone_and_in_a_batch(kind: str, theirs: Path) -> None:
    encoder = Encoder(weights_of(network(Preset(str(theirs / kind)))))
    ids, mask = rows(kind)
    together = explained(encoder, ids, mask)
    np.testing.assert_allclose(together["contributions"].sum(1), together["difference"], atol=NEAR)
    for row, length in enumerate(mask.sum(1)):
        one = slice(row, row + 1), slice(0, length)
        alone = explained(encoder, ids[one], mask[one])
        for name, value in alone.items():
            whole = together[name][one] if value.ndim == 2 else together[name][one[0]]
            if value.dtype == object:
                assert (value == whole).all()
            else:
                np.testing.assert_allclose(value, whole, atol=1e-5)


@pytest.mark.parametrize("checkpoint", ["text-tags", "text-one"])
def test_taggers_and_graphs_of_keras_are_not_explained(
    checkpoint: str, theirs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if checkpoint == "text-one":
        monkeypatch.setattr(
            "textmill.components.export.serving_weights", lambda network, pair: None
        )
    folder = exported(theirs / checkpoint, tmp_path)
    assert savedmodel.describe(folder)["more_signatures"] == ["tokens"]


def test_no_texts_are_explained_by_nothing(theirs: Path) -> None:
    encoder = Encoder(weights_of(network(Preset(str(theirs / named("bert", "one"))))))
    nothing = np.zeros((0, 1), np.int32)
    assert explained(encoder, nothing, nothing)["contributions"].shape == (0, 1)
