"""Causal language models on packed rows: the numbers of transformers and of KerasHub itself."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from causal_models import LLAMA, SPECS, make
from causal_models import rows as documents
from textmill.errors import UserError
from textmill.models import causal_lm
from textmill.models.decoders import load_decoder
from textmill.models.preset import Preset, Scratch

ALONE = ["gemma", "gemma2"]  # a document in each row
PACKED = [kind for kind in SPECS if kind not in ALONE]


@pytest.fixture(scope="module")
def theirs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("causal"))


def packed(width: int = 40) -> dict[str, Any]:
    """Returns the documents in two rows, the first three one behind the other."""
    found = {n: np.zeros((2, width), np.int32) for n in ("token_ids", "document", "position")}
    found["target"] = np.full((2, width), -1, np.int32)
    for row, group in enumerate((documents()[:3], documents()[3:])):
        at = 0
        for number, ids in enumerate(group, 1):
            part = (row, slice(at, at + len(ids)))
            found["token_ids"][part], found["document"][part] = ids, number
            found["position"][part] = range(len(ids))
            found["target"][part] = [*ids[1:], -1]
            at += len(ids)
    return found


def expected_losses(folder: Path, smoothing: float = 0.0) -> list[Any]:
    found = []
    for ids, logits in zip(
        documents(), json.loads((folder / "logits.json").read_text()), strict=True
    ):
        said = np.array(logits, np.float64)
        said -= np.log(np.exp(said).sum(-1, keepdims=True))
        each = -said[np.arange(len(ids) - 1), ids[1:]]
        found.append((1 - smoothing) * each - smoothing * said[:-1].mean(-1))
    return found


def loaded(folder: Path, **more: Any) -> Any:
    return load_decoder(Preset(str(folder)), vocabulary_size=0, dropout=0.0, **more)


@pytest.mark.parametrize("kind", PACKED)
def test_logits_of_packed_documents_are_those_of_transformers(kind: str, theirs: Path) -> None:
    model = causal_lm.build(loaded(theirs / kind))
    found = causal_lm.logits(model, packed()).numpy()
    wanted = [np.array(x) for x in json.loads((theirs / kind / "logits.json").read_text())]
    at = 0
    for logits in wanted[:3]:
        np.testing.assert_allclose(found[0, at : at + len(logits)], logits, atol=1e-4)
        at += len(logits)
    np.testing.assert_allclose(found[1, : len(wanted[3])], wanted[3], atol=1e-4)
    assert np.ptp(wanted[2]) > 1


@pytest.mark.parametrize("kind", ["gpt2", "llama", "qwen2"])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("most", [None, 5 * 120])
def test_losses(kind: str, smoothing: float, most: int | None, theirs: Path) -> None:
    """They are what NumPy makes of transformers' logits, computed at once or in parts."""
    model = causal_lm.build(loaded(theirs / kind), smoothing=smoothing, most_logits=most)
    given = packed()
    found = model(given, training=True).numpy()
    wanted = np.concatenate(expected_losses(theirs / kind, smoothing))
    assert not found[given["target"] < 0].any()
    np.testing.assert_allclose(found[given["target"] >= 0], wanted, atol=1e-4)


@pytest.mark.parametrize("kind", ["gpt2", "gpt2-untied", "llama", "llama-biased", "qwen2"])
def test_gradients_are_those_of_keras_hub(kind: str, theirs: Path) -> None:
    """Of KerasHub's own layers on each document alone, and of parts as of the whole."""
    import keras
    import tensorflow as tf

    backbone = loaded(theirs / kind)
    given = {name: tf.constant(value) for name, value in packed().items()}
    variables = [v.value for v in backbone.trainable_variables]

    def gradients(most: int | None) -> list[Any]:
        model = causal_lm.build(backbone, most_logits=most)
        with tf.GradientTape() as tape:
            total = tf.reduce_sum(tf.function(lambda x: model(x, training=True))(given))
        return [tf.convert_to_tensor(g).numpy() for g in tape.gradient(total, variables)]

    with tf.GradientTape() as tape:
        total = tf.constant(0.0)
        for ids in documents()[:3]:  # the last one has nothing to guess
            row = tf.constant([ids])
            hidden = backbone({"token_ids": row, "padding_mask": tf.ones_like(row)})
            logits = backbone.token_embedding(hidden, reverse=True)[:, :-1]
            each = keras.losses.sparse_categorical_crossentropy(
                row[:, 1:], logits, from_logits=True
            )
            total += tf.reduce_sum(each)
    wanted = [tf.convert_to_tensor(g).numpy() for g in tape.gradient(total, variables)]
    for found in (gradients(None), gradients(7 * 120)):
        for ours, expected, variable in zip(
            found, wanted, backbone.trainable_variables, strict=True
        ):
            scale = np.abs(expected).max()
            np.testing.assert_allclose(
                ours, expected, atol=1e-4 * scale + 1e-5, err_msg=variable.path
            )


@pytest.mark.parametrize("kind", ALONE)
def test_other_decoders_take_a_document_a_row(kind: str, theirs: Path) -> None:
    model = causal_lm.build(loaded(theirs / kind))
    assert not model.packs
    wanted = expected_losses(theirs / kind)
    for ids, losses in zip(documents(), wanted, strict=True):
        row = np.zeros((1, 30), np.int32)
        row[0, : len(ids)] = ids
        held = (np.arange(30) < len(ids)).astype(np.int32)[None]
        target = np.full((1, 30), -1, np.int32)
        target[0, : len(ids) - 1] = ids[1:]
        given = {"token_ids": row, "document": held, "position": held * 0, "target": target}
        found = model(given).numpy()[0]
        np.testing.assert_allclose(found[: len(losses)], losses, atol=1e-4)


def test_dropout_and_lower_precision(theirs: Path) -> None:
    import tensorflow as tf

    whole = np.concatenate(expected_losses(theirs / "gpt2"))
    given = packed()
    used = given["target"] >= 0
    for precision in ("mixed_bfloat16", "float32"):
        backbone = load_decoder(
            Preset(str(theirs / "gpt2")), vocabulary_size=0, dropout=0.3, precision=precision
        )
        model = causal_lm.build(backbone)
        plain = model(given, training=False).numpy()
        assert plain.dtype == np.float32
        np.testing.assert_allclose(plain[used], whole, atol=1e-4 if precision == "float32" else 0.5)
        call = tf.function(lambda x, m=model: m(x, training=True))
        first, second = call(given).numpy()[used], call(given).numpy()[used]
        assert np.abs(first - second).max() > 0.1


def test_a_new_model_guesses_at_random() -> None:
    backbone = load_decoder(Scratch("tiny"), vocabulary_size=500, dropout=0.0)
    given = packed()
    found = causal_lm.build(backbone)(given).numpy()[given["target"] >= 0]
    assert found.mean() == pytest.approx(np.log(500), abs=0.2)


def copy(
    folder: Path, to: Path, *, weights: dict[str, Any] | None = None, **changed: Any
) -> Preset:
    """Copies a model, with other values in its config, and weights more."""
    from safetensors.numpy import load_file, save_file

    shutil.copytree(folder, to)
    config = json.loads((to / "config.json").read_text())
    (to / "config.json").write_text(json.dumps({**config, **changed}))
    held = load_file(to / "model.safetensors")
    save_file({**held, **(weights or {})}, to / "model.safetensors", {"format": "pt"})
    return Preset(str(to))


@pytest.mark.parametrize("kind", ["gpt2-untied", "llama", "mistral"])
def test_a_last_layer_that_is_there_is_used(kind: str, theirs: Path, tmp_path: Path) -> None:
    """Whatever the config says: transformers ties what is equal, and what is missing.

    Source: `PreTrainedModel.tie_weights` of transformers 5.24.
    """
    preset = copy(theirs / kind, tmp_path / "model", tie_word_embeddings=True)
    model = causal_lm.build(loaded(Path(preset.name)))
    given = packed()
    found = causal_lm.build(model.backbone)(given).numpy()[given["target"] >= 0]
    wanted = np.concatenate(expected_losses(theirs / kind))
    np.testing.assert_allclose(found, wanted, atol=1e-4)


@pytest.mark.parametrize(
    ("kind", "name", "match"),
    [
        ("gemma", "lm_head.weight", "a last layer of its own"),
        ("llama", "lm_head.bias", "weight lm_head.bias has no place"),
        ("llama", "model.layers.0.self_attn.q_norm.weight", "self_attn.q_norm.weight has no place"),
        ("llama", "model.layers.2.mlp.up_proj.weight", "layers.2.mlp.up_proj.weight has no place"),
        ("llama-tied", "model.layers.1.self_attn.q_proj.bias", "q_proj.bias has no place"),
        ("qwen2", "model.layers.1.self_attn.o_proj.bias", "o_proj.bias has no place"),
        ("gpt2", "transformer.h.0.crossattention.c_attn.weight", "c_attn.weight has no place"),
        ("mistral", "model.layers.0.lora_A.weight", "lora_A.weight has no place"),
    ],
)
def test_a_weight_without_a_place_is_refused(
    kind: str, name: str, match: str, theirs: Path, tmp_path: Path
) -> None:
    more = {name: np.ones((120, 32), np.float32)}
    preset = copy(theirs / kind, tmp_path / "model", weights=more)
    with pytest.raises(UserError, match=match):
        loaded(Path(preset.name))


def test_buffers_of_older_versions_have_no_effect(theirs: Path, tmp_path: Path) -> None:
    for kind, name in (
        ("gpt2", "transformer.h.1.attn.bias"),
        ("gpt2-untied", "transformer.h.0.attn.masked_bias"),
        ("llama", "model.layers.0.self_attn.rotary_emb.inv_freq"),
    ):
        more = {name: np.ones(4, np.float32)}
        made = loaded(Path(copy(theirs / kind, tmp_path / kind, weights=more).name))
        for ours, plain in zip(made.weights, loaded(theirs / kind).weights, strict=True):
            np.testing.assert_array_equal(ours, plain)


@pytest.mark.parametrize(
    ("kind", "match"),
    [("mistral", "a last layer that is the embeddings"), ("llama", "lm_head")],
)
def test_a_last_layer_that_is_missing(kind: str, match: str, theirs: Path, tmp_path: Path) -> None:
    """Mistral's can't be the embeddings in KerasHub; Llama's, where the config says so alone."""
    from safetensors.numpy import load_file, save_file

    tie = kind == "mistral"
    preset = copy(theirs / kind, tmp_path / "model", tie_word_embeddings=tie)
    file = tmp_path / "model" / "model.safetensors"
    held = {name: value for name, value in load_file(file).items() if name != "lm_head.weight"}
    save_file(held, file, {"format": "pt"})
    with pytest.raises(UserError, match=match):
        loaded(Path(preset.name))


@pytest.mark.parametrize("kind", ["gpt2-untied", "llama-biased"])
def test_a_keras_folder_of_it_is_the_same(kind: str, theirs: Path, tmp_path: Path) -> None:
    before = loaded(theirs / kind)
    causal_lm.task_class(before)(backbone=before).save_to_preset(str(tmp_path / "keras"))
    for after in (loaded(tmp_path / "keras"), causal_lm.load(tmp_path / "keras").backbone):
        assert type(after) is type(before)
        for ours, its in zip(after.weights, before.weights, strict=True):
            np.testing.assert_array_equal(ours.numpy(), its.numpy())


def write(folder: Path, config: dict[str, Any]) -> Preset:
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(config))
    return Preset(str(folder))


YARN = {"type": "yarn", "factor": 4.0}


@pytest.mark.parametrize(
    ("config", "match"),
    [
        ({**LLAMA, "model_type": "llama", "hidden_act": "gelu"}, "hidden_act 'gelu'"),
        ({**LLAMA, "model_type": "llama", "head_dim": 64}, "head_dim 64"),
        ({**LLAMA, "model_type": "llama", "rope_scaling": YARN}, "rope_scaling, 'yarn'"),
        ({**LLAMA, "model_type": "mistral", "sliding_window": 8}, "sliding_window 8"),
        ({"model_type": "gpt2", "scale_attn_weights": False}, "scale_attn_weights False"),
        ({"model_type": "qwen3"}, "no causal language model can be made of a qwen3 model"),
        ({"model_type": "bloom-ish"}, "no causal language model can be made of a bloom-ish"),
        ({"model_type": "llama", "hidden_size": "wide"}, "does not suit a llama model"),
    ],
)
def test_what_keras_hub_does_not_have(config: dict[str, Any], match: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=match):
        loaded(Path(write(tmp_path / "model", config).name))


def test_an_encoder_is_no_generator(tmp_path: Path) -> None:
    import keras_hub

    bert = keras_hub.models.BertBackbone(60, 1, 2, 16, 16)
    with pytest.raises(UserError, match="no causal language model for BertBackbone"):
        causal_lm.task_class(bert)
    bart = keras_hub.models.BartBackbone(60, 1, 2, 16, 16)
    with pytest.raises(UserError, match="no causal language model for BartBackbone"):
        causal_lm.task_class(bart)
