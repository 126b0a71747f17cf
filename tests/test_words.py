"""Words of texts: those of training and those of the served graph, on any text at all."""

from __future__ import annotations

import sys
from typing import Any

import pyarrow as pa
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers.pre_tokenizers import BertPreTokenizer

from textmill.serving.tagging import words_in
from textmill.words import words_of
from tiny_models import SCRIPTS

Word = tuple[str, int, int]


def in_training(texts: list[str]) -> list[list[Word]]:
    found = words_of(pa.array(texts, pa.string()))
    rows: list[list[Word]] = [[] for _ in texts]
    columns = found.words.to_pylist(), found.texts, found.begins, found.ends
    for word, text, begin, end in zip(*columns, strict=True):
        rows[text].append((word, int(begin), int(end)))
    return rows


served = tf.function(words_in, input_signature=[tf.TensorSpec([None], tf.string)], autograph=False)


def in_the_graph(texts: list[Any]) -> list[list[Word]]:
    raw = [text.encode() if isinstance(text, str) else text for text in texts]
    words, begins, ends = (each.to_list() for each in served(tf.constant(raw, tf.string)))
    return [
        [(word.decode(), begin, end) for word, begin, end in zip(*row, strict=True)]
        for row in zip(words, begins, ends, strict=True)
    ]


def check(texts: list[str]) -> list[list[Word]]:
    """Sees that both find the same words, that they lie in the text, and hold all but the space."""
    found = in_training(texts)
    assert in_the_graph(texts) == found
    for text, words in zip(texts, found, strict=True):
        plain = text.replace("\x1f", " ")
        place, rest = 0, []
        for word, begin, end in words:
            assert plain[begin:end] == word
            assert place <= begin < end
            rest.append(plain[place:begin])
            place = end
        rest.append(plain[place:])
        assert not "".join(rest).strip()
    return found


def test_scripts() -> None:
    found = check([*SCRIPTS, "", " ", "a", "\x1f", "a\x1fb", "👨‍👩‍👧 👍🏽 🏴󠁧󠁢󠁥󠁮󠁧󠁿", "e\u0301 क्ष 각"])
    assert found[-1] == [("e\u0301", 0, 2), ("क्ष", 3, 6), ("각", 7, 8)]
    assert [word for word, *_ in found[-2]] == ["👨‍👩‍👧", "👍🏽", "🏴󠁧󠁢󠁥󠁮󠁧󠁿"]
    assert found[-3] == [("a", 0, 1), ("b", 2, 3)]


def test_every_character_there_is() -> None:
    """Arrow and TensorFlow bring a table of Unicode each, which must not part."""
    points = [c for c in range(sys.maxunicode + 1) if not 0xD800 <= c < 0xE000]
    texts = [
        "a".join(map(chr, points[start : start + 1024])) for start in range(0, len(points), 1024)
    ]
    assert in_the_graph(texts) == in_training(texts)


def test_words_are_those_of_berts_pre_tokenizer() -> None:
    texts = ["Ann's here, at 10:30 (sharp)!", "naïve café — “so” 3.5%…", "a\u00a0b\u3000c"]
    split = BertPreTokenizer().pre_tokenize_str
    assert in_training(texts) == [[(w, *place) for w, place in split(text)] for text in texts]


@settings(max_examples=80, deadline=None)
@given(st.lists(st.text(), min_size=1, max_size=4))
def test_any_text(texts: list[str]) -> None:
    check(texts)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.text(st.sampled_from("a, \x1f\t\n.é好\u00a0-'\u0301👍"), max_size=12)))
def test_texts_of_many_seams(texts: list[str]) -> None:
    check(texts)


@pytest.mark.parametrize(
    "raw",
    [b"caf\xe9 au lait", b"\xff", b"a\xc3 b", b"\xe5\xa5 x", b"ok \xf0\x9f\x91", b"\xed\xa0\x80 y"],
)
def test_invalid_utf_8_is_read_as_replacement_characters(raw: bytes) -> None:
    text = tf.strings.unicode_transcode([raw], "UTF-8", "UTF-8").numpy()[0].decode()
    assert "\ufffd" in text
    assert in_the_graph([raw, "b c"]) == in_training([text, "b c"])


def test_no_texts_at_all() -> None:
    assert in_training([]) == in_the_graph([]) == []
    assert in_training(["", " "]) == in_the_graph(["", " "]) == [[], []]


def test_slices_of_a_column() -> None:
    """Arrow hands over slices of larger arrays."""
    whole = pa.array(["one two", "three four", "five", ""])
    found = words_of(whole[1:3])
    assert found.words.to_pylist() == ["three", "four", "five"]
    assert (found.texts.tolist(), found.begins.tolist()) == ([0, 0, 1], [0, 6, 0])
