"""The SavedModel of an encoder-decoder: what a server loads, and what it answers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from tokenizers import Tokenizer, decoders

from exported import asked
from textmill.models.encoder_decoder_serving_weights import encoder_decoder_serving_weights
from textmill.prompt_frame import PromptFrame
from textmill.serving.defaults import GREEDY
from textmill.serving.detokenizer import Detokenizer
from textmill.serving.encoder_decoder import EncoderDecoder
from textmill.serving.endings import Endings
from textmill.serving.fresh_process import ask
from textmill.serving.generator import SOURCE, generator_forms, write_generator
from textmill.serving.graph_tokenizer import graph_tokenizer
from textmill.serving.prompts import Prompts
from tiny_tokenizers import bpe

VOCABULARY, LONGEST, NEW = 500, 64, 9
TEXTS = ["A short one.", "", "zażółć gęślą jaźń", "word " * 300]


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("tokenizer") / "tokenizer.json"
    made = bpe(file)
    made.decoder = decoders.ByteLevel()
    made.save(str(file))
    return file


@pytest.fixture(scope="module")
def backbone() -> Any:
    import keras_hub

    made = keras_hub.models.BartBackbone(
        vocabulary_size=VOCABULARY, num_layers=2, num_heads=4, hidden_dim=64, intermediate_dim=128,
        max_sequence_length=LONGEST,
    )  # fmt: skip
    random = np.random.default_rng(0)
    for weight in made.weights:
        large = 0.4 if "position" in weight.path else 0.1
        weight.assign(weight + random.normal(0, large, weight.shape).astype(np.float32))
    return made


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory, tokenizer: Path, backbone: Any) -> Path:
    weights = encoder_decoder_serving_weights(backbone, longest_source=LONGEST, longest=LONGEST)
    model = EncoderDecoder(weights, [2, 0])
    folder = tmp_path_factory.mktemp("saved")
    write_generator(
        folder,
        decoder=model,
        prompts=Prompts(
            graph_tokenizer(tokenizer),
            PromptFrame([0], "", "", [2]),
            start=0,
            longest=model.longest_source,
        ),
        detokenizer=Detokenizer(tokenizer),
        endings=Endings((2,)),
        defaults=GREEDY._replace(max_new_tokens=NEW, num_beams=2),
    )
    return folder


def greedy(backbone: Any, tokenizer: Path, text: str) -> str:
    """Returns what Keras writes of a text, every token computed anew."""
    import keras

    library = Tokenizer.from_file(str(tokenizer))
    inside = library.encode(text, add_special_tokens=False).ids[: LONGEST - 2]
    source, target = [0, *inside, 2], [2, 0]
    while len(target) < NEW + 1 and (len(target) == 2 or target[-1] != 2):
        given = {}
        for half, ids in (("encoder", source), ("decoder", target)):
            given[f"{half}_token_ids"] = np.array([ids + [0] * (LONGEST - len(ids))])
            given[f"{half}_padding_mask"] = np.arange(LONGEST)[None] < len(ids)
        hidden = backbone(given)["decoder_sequence_output"][:, len(target) - 1]
        logits = backbone.token_embedding(hidden, reverse=True)
        target.append(int(keras.ops.argmax(logits, -1)[0]))
    text = library.decode(target[2:])
    assert isinstance(text, str)
    return text


def wished(texts: list[Any]) -> dict[str, list[Any]]:
    """Returns the inputs of `generate`, greedily."""
    numbers = GREEDY._replace(max_new_tokens=NEW).wishes().items()
    return {SOURCE: texts} | {name: [value] for name, value in numbers}


def test_a_server_without_xla_writes_what_keras_writes(
    saved: Path, backbone: Any, tokenizer: Path
) -> None:
    found = ask(
        saved,
        {
            "requests": [
                {"signature": "generate", "inputs": wished(TEXTS)},
                {"signature": "serving_default", "inputs": {SOURCE: TEXTS}},
                {"signature": "serving_default", "inputs": {SOURCE: []}},
                {"signature": "generate", "inputs": wished([])},
                {"signature": "score", "inputs": {SOURCE: TEXTS, "continuation": TEXTS}},
            ]
        },
    )
    assert found["xla"] == "disabled"
    assert not [each for each in found["answers"] if "error" in each]
    one, searched, none, no_wish, likely = found["answers"]
    assert one["text"] == [greedy(backbone, tokenizer, text) for text in TEXTS]
    assert len(set(one["text"])) > 1
    assert all(count <= NEW for count in searched["tokens_generated"])
    assert none == no_wish == {"text": [], "tokens_generated": []}
    assert likely["log_probability"][1] == 0
    assert all(each < 0 for each in likely["log_probability"][2:])


def test_signatures_are_what_forms_say(saved: Path) -> None:
    forms = generator_forms(["beams"], asks=SOURCE)
    with tf.compat.v1.Session(graph=tf.Graph()) as session:
        meta = tf.compat.v1.saved_model.load(session, ["serve"], str(saved))
        signatures = {n: s for n, s in meta.signature_def.items() if not n.startswith("__")}
    assert set(signatures) == set(forms)
    for name, form in forms.items():
        assert set(signatures[name].inputs) == set(form.inputs)
        assert set(signatures[name].outputs) == set(form.outputs)


def test_any_bytes_are_answered_with_utf8(saved: Path) -> None:
    texts = [b"\xff\xfe", b"caf\xc3", bytes(range(256)) * 9]
    given = {key: np.array(values) for key, values in wished([]).items()}
    given[SOURCE] = np.array(texts, object)
    found = asked(saved, "generate", **given)
    assert len([text.decode() for text in found["text"]]) == len(texts)


def test_of_a_long_text_the_beginning_is_read(saved: Path) -> None:
    texts = ["word " * 300, "word " * 300 + "and an end", "an end before " + "word " * 300]
    same, alike, other = asked(saved, "score", text=texts, continuation=["so it is"] * 3)[
        "log_probability"
    ]
    assert same == pytest.approx(alike, abs=1e-5)
    assert abs(same - other) > 1e-3


def test_every_weight_is_written_once(saved: Path, backbone: Any) -> None:
    data = sum(file.stat().st_size for file in (saved / "variables").iterdir())
    assert data <= 1.05 * 4 * backbone.count_params()
