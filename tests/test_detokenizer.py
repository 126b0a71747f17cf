"""Token ids become text inside the graph as the `tokenizers` library makes it of them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import tensorflow as tf
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken, Tokenizer, decoders

from textmill.errors import UserError
from textmill.serving.detokenizer import Detokenizer
from tiny_models import SCRIPTS
from tiny_tokenizers import bpe

Texts = Callable[[list[list[int]]], list[str]]
SIZE = 500


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> tuple[Texts, Tokenizer]:
    file = tmp_path_factory.mktemp("tokenizer") / "tokenizer.json"
    made = bpe(file, vocabulary_size=SIZE)
    made.decoder = decoders.ByteLevel()
    made.add_tokens([AddedToken("a b → c", special=False)])  # not made of the bytes' characters
    made.save(str(file))
    return in_graph(file), made


def in_graph(file: Path) -> Texts:
    traced = tf.function(
        Detokenizer(file),
        input_signature=[tf.RaggedTensorSpec([None, None], tf.int32)],
        autograph=False,
    )

    def texts(ids: list[list[int]]) -> list[str]:
        ragged = tf.ragged.constant(ids, tf.int32, ragged_rank=1)
        return [text.decode() for text in traced(ragged).numpy()]

    return texts


def test_texts_come_back(both: tuple[Texts, Tokenizer]) -> None:
    texts, made = both
    ids = [each.ids for each in made.encode_batch(SCRIPTS)]
    assert texts(ids) == made.decode_batch(ids) == SCRIPTS


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(ids=st.lists(st.lists(st.integers(0, SIZE + 3), max_size=12), max_size=6))
def test_any_ids_decode_as_in_the_library(
    both: tuple[Texts, Tokenizer], ids: list[list[int]]
) -> None:
    texts, made = both
    assert texts(ids) == made.decode_batch(ids)


def test_bytes_that_are_no_character_are_replaced_one_for_each_broken_one(
    both: tuple[Texts, Tokenizer],
) -> None:
    texts, made = both
    alphabet = made.get_vocab()
    smile = [alphabet[character] for character in "ðŁĺĢ"]  # the four bytes of U+1F600
    assert texts([smile, smile[:3], smile[1:]]) == ["😀", "\ufffd", "\ufffd" * 3]


def test_another_decoder_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "tokenizer.json"
    bpe(file)
    spec = json.loads(file.read_text())
    for other in (None, {"type": "WordPiece", "prefix": "##", "cleanup": True}):
        spec["decoder"] = other
        file.write_text(json.dumps(spec))
        with pytest.raises(UserError, match=r"(?s)this decoder.*ByteLevel"):
            Detokenizer(file)
