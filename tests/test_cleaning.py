"""What cleaning does to texts, and what it leaves alone."""

from __future__ import annotations

import html.entities
import unicodedata
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from textmill.components.cleaning import Cleaning, clean

DEFAULT = Cleaning()
NOTHING = Cleaning(html=False, control=False, unicode="none", whitespace=False)


def cleaned(text: str, rules: Cleaning = DEFAULT) -> str:
    [result] = clean(pa.array([text]), rules).to_pylist()
    assert isinstance(result, str)
    return result


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("fine.<br />Really.<BR>Yes", "fine. Really. Yes"),
        ("<p class='a b' id=x>One</p><p>Two</p>", "One Two"),
        ('<b>un</b>likely <a href="http://x.y/?a=1&b=2">link</a>', "unlikely link"),
        ("a<!-- not\nseen -->b", "a b"),
        ("<style>p {x: y}</style>seen<script src=x>if (a < b) c()</script>", "seen"),
        ("fish &amp; chips &lt;3 caf&eacute; &#8364;5 &#x1F600;", "fish & chips <3 café €5 😀"),
        ("it&#8217 ;s &#x2019s", "it’ ;s ’s"),
        ("twice &amp;lt;br&amp;gt; escaped", "twice escaped"),
        ("nested <b<i>> tags", "nested tags"),
    ],
)
def test_html_goes(text: str, expected: str) -> None:
    assert cleaned(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "a < b and c > d",
        "I <3 it, x<y>z, a <b and c> d",
        "List<String> of <unk> and <user>",
        "AT&T; R&D; fish & chips",
        "see ?page=1&section=2&copy=3&lt=4",
        "&unknown; &#99999999999;",
        "<>",
    ],
)
def test_what_is_no_html_stays(text: str) -> None:
    assert cleaned(text) == text


def test_control_characters_go_and_joiners_stay() -> None:
    assert cleaned("a\x00b\u200bc\ufeffd\xade\u202ef\x7f") == "abcdef"
    persian, family = "می\u200cخواهم", "👩\u200d👩\u200d👧"
    assert cleaned(persian + family) == persian + family


def test_white_space_collapses() -> None:
    assert cleaned(" a\t\r\n b\u00a0\u3000c\u2028d\x85e\x1ff ") == "a b c d e f"


def test_unicode_form() -> None:
    assert cleaned("e\u0301ﬁ") == "éﬁ"
    assert cleaned("e\u0301ﬁ", Cleaning(unicode="NFKC")) == "éfi"


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        (NOTHING, " <b>E\u0301</b>\x01&amp; "),
        (Cleaning(html=False), "<b>É</b>&amp;"),
        (Cleaning(control=False), "É\x01&"),
        (Cleaning(unicode="none"), "E\u0301&"),
        (Cleaning(whitespace=False), " É& "),
        (Cleaning(lowercase=True), "é&"),
    ],
)
def test_each_step_has_a_switch(rules: Cleaning, expected: str) -> None:
    assert cleaned(" <b>E\u0301</b>\x01&amp; ", rules) == expected


def test_null_stays_null_and_the_type_stays() -> None:
    for kind in (pa.string(), pa.large_string()):
        result = clean(pa.array([None, "<p>x", "y"], kind), Cleaning())
        assert result.type == kind
        assert result.to_pylist() == [None, "x", "y"]
    assert clean(pa.array([], pa.string()), Cleaning()).to_pylist() == []


PIECES = [
    *"<>/&;\"' İK\u212a\u210c\u0301\ufb01\x00\u200b",
    *("&amp;", "&lt;", "&gt;", "&#60;", "&#8490;", "&Hat;", "e\u0301", "h\u0331"),
    *("<b", "<b>", "</i>", "<p>", "<script>", "</script>", "<!--", "-->", "a="),
]
AWKWARD = st.lists(st.sampled_from(PIECES) | st.characters(codec="utf-8"), max_size=12).map("".join)


@settings(max_examples=400, deadline=None)
@given(st.lists(AWKWARD, max_size=4), st.booleans(), st.sampled_from(["NFC", "NFKC", "none"]))
@example(["&amp;amp;lt;p>", "<\x00b>", "H\u0331"], True, "NFC")
def test_cleaning_twice_is_cleaning_once(texts: list[str], lowercase: bool, form: Any) -> None:
    rules = Cleaning(lowercase=lowercase, unicode=form)
    once = clean(pa.array(texts, pa.string()), rules)
    assert clean(once, rules).equals(once)


@settings(max_examples=200, deadline=None)
@given(AWKWARD, st.sampled_from(["NFC", "NFKC"]))
def test_unicode_forms_are_those_of_the_standard_library(text: str, form: Any) -> None:
    rules = Cleaning(html=False, control=False, unicode=form, whitespace=False)
    assert cleaned(text, rules) == unicodedata.normalize(form, text)


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(sorted(html.entities.html5)), st.text("ab ;#x1", max_size=3))
def test_entities_are_those_of_the_standard_library(name: str, after: str) -> None:
    assume(name.endswith(";") and "&" not in html.unescape(f"&{name}"))
    rules = Cleaning(control=False, unicode="none", whitespace=False)
    assert cleaned(f"a&{name}{after}", rules) == f"a{html.unescape('&' + name)}{after}"


@settings(max_examples=200, deadline=None)
@given(st.text(st.characters(codec="utf-8", exclude_categories=["Cf", "Cc"])))
def test_white_space_is_what_python_takes_for_it(text: str) -> None:
    rules = Cleaning(html=False, control=False, unicode="none")
    assert cleaned(text, rules) == " ".join(text.split())
