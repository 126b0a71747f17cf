"""Values as TOML writes them."""

from __future__ import annotations

import tomllib

from hypothesis import given
from hypothesis import strategies as st

from textmill.toml import one_line, toml_value

plain = st.text() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False)
values = st.recursive(
    plain, lambda some: st.lists(some, max_size=3) | st.dictionaries(st.text(), some, max_size=3)
)


@given(value=values, comment=st.text())
def test_any_value_comes_back_and_any_text_is_a_comment(value: object, comment: str) -> None:
    line = f"value = {toml_value(value)} # {one_line(comment)}\n"
    assert tomllib.loads(line) == {"value": value}
    assert len(line.splitlines()) == 1


def test_what_cannot_be_seen_is_an_escape() -> None:
    assert toml_value('a"b\\c\vd\u202ee好') == '"a\\"b\\\\c\\u000bd\\u202ee好"'
    assert one_line("a\vb\u2028c\u202ed好") == "a\\x0bb\\u2028c\\u202ed好"
    assert one_line("x" * 100, 10) == "x" * 10 + "…"
