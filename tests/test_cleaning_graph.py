"""Cleaning inside the served graph equals cleaning of the training texts."""

from __future__ import annotations

import sys
import unicodedata
from collections.abc import Callable
from functools import cache
from html.entities import html5
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import tensorflow as tf
from hypothesis import example, given, settings
from hypothesis import strategies as st

from textmill.components.cleaning import PASSES, Cleaning, clean
from textmill.components.cleaning_graph import clean_graph
from textmill.serving import savedmodel
from textmill.serving.normal_form import CODES, rules_of
from textmill.serving.operation_rules import FOREIGN
from tiny_models import SCRIPTS, saved_model

ALL = [chr(c) for c in range(sys.maxunicode + 1) if not 0xD800 <= c < 0xE000]
RULES = {
    "default": Cleaning(),
    "no html": Cleaning(html=False),
    "no control": Cleaning(control=False),
    "no form": Cleaning(unicode="none"),
    "NFKC": Cleaning(unicode="NFKC"),
    "no white space": Cleaning(whitespace=False),
    "lower case": Cleaning(lowercase=True),
    "entities only": Cleaning(control=False, unicode="none", whitespace=False),
    "nothing": Cleaning(html=False, control=False, unicode="none", whitespace=False),
}
each_rule = pytest.mark.parametrize("rules", RULES.values(), ids=RULES.keys())


@cache
def graph(rules: Cleaning) -> Callable[[tf.Tensor], tf.Tensor]:
    traced = tf.function(
        lambda texts: clean_graph(texts, rules),
        input_signature=[tf.TensorSpec([None], tf.string)],
        autograph=False,
    )
    traced.get_concrete_function()
    return traced


def same(texts: list[str], rules: Cleaning) -> None:
    # A NumPy string would lose a NUL at its end.
    given = tf.constant(np.array([text.encode() for text in texts], object), tf.string)
    found = [text.decode() for text in graph(rules)(given).numpy()]
    wanted = clean(pa.array(texts, pa.string()), rules).to_pylist()
    assert found == wanted, [t for t in zip(texts, found, wanted, strict=True) if t[1] != t[2]][:5]


PIECES = [
    *"<>/&;#\"'= aKİΣ0123\u212a\u0301\u0323\u0345\ufb01\x00\u200b\u00a0\u3000\t\n\x85",
    *("&amp;", "&lt;", "&gt", "&#60;", "&#x3C;", "&#8490;", "&Hat;", "&nbsp;", "&#128;", "&#xD8"),
    *("&#", "&#x", "&#000000065", "&#0000065", "&#1\u0662;", "&notit;", "&NotEqualTilde;"),
    *("&#769;", "&AMP;", "&amp", "e\u0301", "\u1100", "\u1161", "\u11a8", "\uac00", "\u0915\u093c"),
    *("<b", "<b>", "</i>", "<p>", "<br />", '<a href="x">', "<script>", "</script>", "<!--"),
    *("-->", "<style>", "</style >", "<!DOCTYPE html>", "a=", "word", "<3", "AT&T"),
]
HTML = st.lists(st.sampled_from(PIECES) | st.characters(codec="utf-8"), max_size=12).map("".join)
MARKS = [
    *(chr(c) for c in rules_of("NFC").classes),
    *(chr(half) for pair in rules_of("NFC").pairs for half in divmod(pair, CODES)),
    *map(chr, (0x1100, 0x1112, 0x1113, 0x1161, 0x1175, 0x1176, 0x11A7, 0x11A8, 0x11C2, 0x11C3)),
    *map(chr, (0xAC00, 0xAC01, 0xD788, 0xD7A3, 0xD7A4)),
]


@each_rule
def test_it_equals_cleaning_of_the_training_texts(rules: Cleaning) -> None:
    @settings(max_examples=80, deadline=None)
    @given(st.lists(HTML, max_size=4))
    @example(["&amp;amp;lt;p>", "<\x00b>", "H\u0331", ""])
    @example([])
    def check(texts: list[str]) -> None:
        same(texts, rules)

    check()


@each_rule
def test_every_code_point_is_cleaned_alike(rules: Cleaning) -> None:
    same([f"a{c}b" for c in ALL if c < "\u3000" or unicodedata.category(c) not in "CnCo"], rules)


@each_rule
def test_real_scripts(rules: Cleaning) -> None:
    same(SCRIPTS, rules)


def test_every_named_entity() -> None:
    names = [name for name in html5 if name.endswith(";")]
    assert len(names) == 2125
    texts = [f"{before}&{n}{after}" for n in names for before, after in (("", ""), ("a", "b;"))]
    same([*texts, *(f"&{name}" for name in html5), *(f"&{n[:-1]}x;" for n in names)], ENTITIES)


ENTITIES = RULES["entities only"]


@pytest.mark.parametrize("form", ["&#{}", "&#x{:x};", "&#X{:08X}"])
def test_every_number(form: str) -> None:
    interest = [*range(0x3100), *range(0xD7F0, 0xE010), *range(0xF8F0, 0x10010)]
    ends = [p + i for p in range(0, 0x120000, 0x10000) for i in (-2, -1, 0, 1)][2:]
    far = [0x10FFFF, 0x110000, 99999999, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 100000000]
    same([f"{form.format(n)}z" for n in (*interest, *ends, *far)], ENTITIES)


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.text(st.sampled_from(MARKS), max_size=8), max_size=4),
    st.sampled_from(["NFC", "NFKC"]),
)
def test_normal_forms_are_those_of_the_standard_library(texts: list[str], form: Any) -> None:
    rules = Cleaning(html=False, control=False, unicode=form, whitespace=False)
    given = tf.constant(np.array([text.encode() for text in texts], object), tf.string)
    found = [text.decode() for text in graph(rules)(given).numpy()]
    assert found == [unicodedata.normalize(form, text) for text in texts]


def test_no_starter_composes_both_ways() -> None:
    pairs, marks = rules_of("NFC").pairs, rules_of("NFC").classes
    firsts, seconds = {p // CODES for p in pairs}, {p % CODES for p in pairs}
    assert not firsts & seconds - set(marks)
    assert not firsts & set(marks)


def test_bytes_that_are_not_text_harm_no_other_text() -> None:
    bad = [b"\xff&amp;<b>x</b>\xc3", b"a &amp;", b"e\xcc\x81\xf0"]
    together = graph(Cleaning())(tf.constant(bad)).numpy().tolist()
    assert together == [graph(Cleaning())(tf.constant([text])).numpy()[0] for text in bad]
    assert [t.decode() for t in together] == ["\ufffd&x\ufffd", "a &", "\u00e9\ufffd"]


@each_rule
def test_operations_are_core_ones_and_nothing_is_kept(rules: Cleaning) -> None:
    traced = graph(rules).get_concrete_function()
    operations = savedmodel.operations(traced.graph.as_graph_def())
    assert not [op for op in operations if FOREIGN.match(op) or "Table" in op or ">" in op]
    assert not traced.graph.captures


def test_a_served_model_scores_what_training_saw(tmp_path: Path) -> None:
    model = tf.saved_model.load(str(saved_model(tmp_path / "model")))
    plain = model.signatures["serving_default"](
        text=tf.constant(["I loved it & more than you'd think", "Seen ❤ <3"])
    )["scores"].numpy()
    raw = [
        "I <b>loved</b> it &amp;amp; more<br />than you&#39;d think",
        "<style>p {}</style>Seen<!-- not --> &#x2764; &lt;3",
    ]
    found = model.signatures["serving_default"](text=tf.constant(raw))["scores"].numpy()
    np.testing.assert_array_equal(found, plain)
    records = [
        tf.train.Example(
            features=tf.train.Features(
                feature={
                    "text": tf.train.Feature(bytes_list=tf.train.BytesList(value=[t.encode()]))
                }
            )
        ).SerializeToString()
        for t in raw
    ]
    found = model.signatures["classify"](inputs=tf.constant(records))["scores"].numpy()
    np.testing.assert_array_equal(found, plain)


@pytest.mark.parametrize("times", [1, PASSES - 1, PASSES, PASSES + 1, 400])
def test_text_escaped_many_times_costs_no_more_than_the_passes(times: int) -> None:
    texts = ["&" + "amp;" * times, "plain"]
    rules = Cleaning()
    expected = clean(pa.array(texts), rules).to_pylist()
    assert expected[0] == "&" + "amp;" * max(0, times - PASSES)
    assert [t.decode() for t in clean_graph(tf.constant(texts), rules).numpy()] == expected
