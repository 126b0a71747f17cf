"""A decoder as a SavedModel: texts in, texts out, whatever a client sends."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import tensorflow as tf
from tokenizers import Tokenizer, decoders

from test_decoder import shaken
from textmill.errors import UserError
from textmill.models.decoder_serving_weights import decoder_serving_weights
from textmill.prompt_frame import PromptFrame
from textmill.serving import operation_rules, savedmodel
from textmill.serving.decoder import Decoder
from textmill.serving.defaults import Defaults, check_defaults
from textmill.serving.detokenizer import Detokenizer
from textmill.serving.endings import Endings
from textmill.serving.fresh_process import ask
from textmill.serving.generator import PROMPT, generator_forms, write_generator
from textmill.serving.graph_rules import gives
from textmill.serving.graph_tokenizer import graph_tokenizer
from textmill.serving.prompts import Prompts
from tiny_tokenizers import bpe

VOCABULARY, LONGEST, NEW = 400, 48, 9
START = 0
TEXTS = ["Once upon", "", "x", "a b c d " * 80, "Ünïcödé 漢字 🙂"]
HOW = Defaults(repetition_penalty=1.2, max_new_tokens=NEW)


class Made(NamedTuple):
    greedy: Path
    beams: Path
    prompts: Prompts
    held: int


def signed(folder: Path, name: str, **inputs: Any) -> dict[str, Any]:
    """Returns what a signature answers, bytes as bytes."""
    loaded = tf.saved_model.load(str(folder))
    return {k: v.numpy() for k, v in loaded.signatures[name](**inputs).items()}


def wish(texts: list[str], **numbers: Any) -> dict[str, list[Any]]:
    """Returns the inputs of `generate`; a list has a number a row."""
    every = HOW.wishes() | {"seed": 3} | numbers
    rows = {n: v if isinstance(v, list) else [v] * len(texts) for n, v in every.items()}
    return {PROMPT: texts, **rows}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    import keras_hub

    folder = tmp_path_factory.mktemp("generator")
    file = folder / "tokenizer.json"
    bpe(file, vocabulary_size=VOCABULARY)
    tokenizer = Tokenizer.from_file(str(file))
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.save(str(file))
    backbone = keras_hub.models.GPT2Backbone(
        vocabulary_size=VOCABULARY, num_layers=2, num_heads=2, hidden_dim=32, intermediate_dim=64,
        max_sequence_length=LONGEST,
    )  # fmt: skip
    decoder = Decoder(decoder_serving_weights(shaken(backbone), longest=LONGEST))
    prompts = Prompts(graph_tokenizer(file), PromptFrame([], "", "", []), start=START)
    detokenizer = Detokenizer(file)
    parts: dict[str, Any] = {"decoder": decoder, "prompts": prompts, "detokenizer": detokenizer}
    endings = Endings((2,))
    write_generator(folder / "greedy", **parts, endings=endings, defaults=HOW)
    searching = HOW._replace(num_beams=3, length_penalty=0.7)
    write_generator(folder / "beams", **parts, endings=endings, defaults=searching)
    held = sum(v.dtype.size * v.shape.num_elements() for v in decoder.variables)
    return Made(folder / "greedy", folder / "beams", prompts, held)


@pytest.mark.parametrize("kind", ["greedy", "beams"])
def test_a_server_has_all_that_it_needs(made: Made, kind: str) -> None:
    folder: Path = getattr(made, kind)
    (meta,) = savedmodel.read(folder).meta_graphs
    rows = [operation_rules.portable(meta), operation_rules.operations(meta)]
    rows += [operation_rules.devices(meta), operation_rules.complete(folder, meta)]
    assert [row.found for row in rows if row.status != "passed"] == []
    forms = generator_forms(savedmodel.describe(folder)["more_signatures"])
    assert ("beams" in forms) == (kind == "beams")
    assert all(gives(meta, name, form) for name, form in forms.items())
    assert set(meta.signature_def) == {*forms, "__saved_model_init_op"}
    # Every weight is there once, however many signatures read it.
    data = sum(f.stat().st_size for f in (folder / "variables").iterdir())
    assert data < 1.05 * made.held + 10_000


def test_a_decoder_is_in_the_graph_once(made: Made) -> None:
    (meta,) = savedmodel.read(made.greedy).meta_graphs
    names = [each.signature.name for each in meta.graph_def.library.function]
    assert sum("written" in name for name in names) == 1


def test_strange_requests_are_answered_in_a_fresh_session(made: Made) -> None:
    broken = tf.make_tensor_proto([b"caf\xc3", b"\xff\xfe\x80 x"]).SerializeToString()
    requests: list[dict[str, Any]] = [
        {"signature": "serving_default", "inputs": {PROMPT: TEXTS}},
        {"signature": "generate", "inputs": wish(TEXTS)},
        {"signature": "generate", "inputs": wish(TEXTS, max_new_tokens=[0, 1, -5, 3, 0])},
        {"signature": "generate", "inputs": wish(TEXTS, max_new_tokens=2**30, min_new_tokens=99)},
        {"signature": "generate", "inputs": wish([])},
        {"signature": "generate", "inputs": wish(TEXTS, temperature=-1.0, repetition_penalty=-3.0)},
        {"signature": "score", "inputs": {PROMPT: TEXTS, "continuation": ["", "y", "z", "", "q"]}},
        {"signature": "serving_default", "tensors": {PROMPT: base64.b64encode(broken).decode()}},
        {"signature": "generate", "inputs": wish(TEXTS, temperature=1e-30, top_k=-4, top_p=0.0)},
        *({"signature": "generate", "inputs": wish([text])} for text in TEXTS),
    ]
    said = ask(made.greedy, {"requests": requests})
    assert said["xla"] == "disabled"
    answers = said["answers"]
    assert [a["error"] for a in answers if "error" in a] == []
    default, same, few, many, none, plain, likely, bad, sharp, *alone = answers
    assert default == same
    assert [{"text": a["text"], "n": a["tokens_generated"]} for a in alone] == [
        {"text": [text], "n": [n]}
        for text, n in zip(same["text"], same["tokens_generated"], strict=True)
    ]
    assert few["tokens_generated"] == [0, 1, 0, 3, 0]
    assert [few["text"][i] for i in (0, 2, 4)] == ["", "", ""]
    read = [len(row) for row in made.prompts(tf.constant(TEXTS)).to_list()]
    assert read[1] == 1  # of nothing, the token with which texts begin
    # As far as the row goes, and of a long prompt half a row is read.
    assert many["tokens_generated"] == [LONGEST - min(n, LONGEST // 2) for n in read]
    assert none == {"text": [], "tokens_generated": []}
    assert plain["tokens_generated"] != [0] * 5
    assert likely["tokens"][0] == likely["tokens"][3] == 0
    assert likely["log_probability"][1] < 0 == likely["log_probability"][0]
    assert len(bad["text"]) == 2
    assert sharp == same  # hardly any heat, or one token to draw from, is greedy


def test_beams_answer_by_default_and_generate_is_greedy_still(made: Made) -> None:
    numbers = {"repetition_penalty": 1.2, "length_penalty": 0.7}
    whole = {"min_new_tokens": 0, "max_new_tokens": NEW}
    rows = {name: [value] * len(TEXTS) for name, value in (numbers | whole).items()}
    requests: list[dict[str, Any]] = [
        {"signature": "serving_default", "inputs": {PROMPT: TEXTS}},
        {"signature": "beams", "inputs": {PROMPT: TEXTS, **rows}},
        {"signature": "beams", "inputs": {PROMPT: [], **{name: [] for name in rows}}},
        {"signature": "beams", "inputs": {PROMPT: TEXTS, **rows, "max_new_tokens": [0] * 5}},
        {"signature": "generate", "inputs": wish(TEXTS)},
    ]
    said = ask(made.beams, {"requests": requests})
    assert "error" not in said
    default, same, none, nothing, greedy = said["answers"]
    assert default == same != greedy
    assert none == {"text": [], "tokens_generated": []}
    assert nothing == {"text": [""] * 5, "tokens_generated": [0] * 5}
    written = signed(made.greedy, "serving_default", prompt=tf.constant(TEXTS))
    assert [text.decode() for text in written["text"]] == greedy["text"]


def test_what_is_written_is_utf8(made: Made) -> None:
    texts = tf.constant([b"caf\xc3", b"\xff\xfe\x80 x", "漢".encode()] * 4)
    numbers = {"temperature": 3.0, "top_p": 1.0, "repetition_penalty": 1.0}
    whole = {"top_k": 0, "min_new_tokens": 30, "max_new_tokens": 40, "seed": 5}
    given = {name: tf.fill([12], value) for name, value in (numbers | whole).items()}
    given["seed"] = tf.range(12)
    found = signed(made.greedy, "generate", prompt=texts, **given)["text"]
    assert len({text.decode() for text in found}) == 12  # and none of it raises
    assert any("\ufffd" in text.decode() for text in found)


def test_a_request_may_leave_out_what_the_model_has_by_default(made: Made) -> None:
    (meta,) = savedmodel.read(made.beams).meta_graphs
    for name in ("generate", "beams"):
        signature = meta.signature_def[name]
        assert set(signature.defaults) == set(signature.inputs) - {PROMPT}
        told = {k: tf.make_ndarray(v).tolist() for k, v in signature.defaults.items()}
        assert told["max_new_tokens"] == [NEW]
        np.testing.assert_allclose(told["repetition_penalty"], [1.2])


@pytest.mark.parametrize(
    ("numbers", "said"),
    [
        ({"temperature": -1.0}, "temperature = -1.0"),
        ({"top_p": 0.0}, "top_p = 0.0"),
        ({"max_new_tokens": LONGEST}, f"max_new_tokens = {LONGEST}"),
        ({"min_new_tokens": 10}, "min_new_tokens = 10"),
        ({"num_beams": 0}, "num_beams = 0"),
        ({"num_beams": 2, "temperature": 0.5}, "num_beams = 2"),
    ],
)
def test_defaults_that_can_not_be_are_told(numbers: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError, match=said):
        check_defaults(HOW._replace(**numbers), longest=LONGEST)
