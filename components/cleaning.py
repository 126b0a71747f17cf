"""Cleaning of text: what is declared is done, in one order, and doing it again changes nothing.

Training texts pass here; `cleaning_graph` does the same to the texts of a request, from the same
patterns, so these are of the syntax that RE2 knows.
"""

from __future__ import annotations

import html
import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from html.entities import html5
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import pyarrow as pa

# Elements of the WHATWG HTML standard and of HTML 4: "<3" and "List<String>" are no tags. Those
# that stand within a word, as in "<b>un</b>likely", leave nothing behind; the others end a word.
_INLINE = (
    "a abbr acronym b bdi bdo big cite code data dfn del em font i ins kbd label mark nobr q s samp"
    " small span strike strong sub sup time tt u var"
)
_BLOCK = (
    "address area article aside audio base blockquote body br button canvas caption center col"
    " colgroup dd details dialog dir div dl dt embed fieldset figcaption figure footer form frame"
    " frameset h1 h2 h3 h4 h5 h6 head header hgroup hr html iframe img input legend li link main"
    " map menu meta nav noframes noscript object ol optgroup option p param picture pre progress"
    " script search section select source style summary svg table tbody td template textarea tfoot"
    " th thead title tr track ul video wbr"
)
# A value is asked for with every attribute, or "a <b and c> d" would be a tag.
_ATTRIBUTES = r"""(?:\s+[a-z_:@][-\w:.]*\s*=\s*(?:"[^"]*"|'[^']*'|[^\s"'=<>`]+))*\s*/?>"""
_HIDDEN = (
    r"(?is)<!--.*?-->|<!doctype[^<>]*>|<(?:script|style)(?:\s[^<>]*)?>.*?</(?:script|style)\s*>"
)
# Pattern and replacement, in the order in which they are done.
TAGS = (
    (_HIDDEN, " "),
    (f"(?i)</?(?:{'|'.join(_INLINE.split())}){_ATTRIBUTES}", ""),
    (f"(?i)</?(?:{'|'.join(_BLOCK.split())}){_ATTRIBUTES}", " "),
)

# Characters of the categories Cc and Cf that say nothing about the words: not those that separate
# words, nor the joiners (U+200C, U+200D) and tags that Persian, Indic scripts and emoji need.
CONTROL = (
    r"[\x00-\x08\x0e-\x1b\x7f-\x{84}\x{86}-\x{9f}\x{ad}\x{61c}\x{180e}\x{200b}\x{200e}\x{200f}"
    r"\x{202a}-\x{202e}\x{2060}-\x{2064}\x{2066}-\x{206f}\x{feff}\x{fff9}-\x{fffb}]"
)
# A single plain space, by far the most frequent, is not replaced by itself.
_UNUSUAL = (
    r"\t-\r\x1c-\x1f\x{85}\x{a0}\x{1680}\x{2000}-\x{200a}\x{2028}\x{2029}\x{202f}\x{205f}\x{3000}"
)
WHITESPACE = rf"[ {_UNUSUAL}]{{2,}}|[{_UNUSUAL}]"

# One pass may make work for another, but a text that is escaped more often than this is an attack:
# without a limit, a request of a megabyte could keep a server busy for hours.
PASSES = 8


@dataclass(frozen=True)
class Cleaning:
    """What is done to every text, and recorded in `schema.json`.

    Attributes:
        html: Entities become characters; tags of HTML go, or become a space.
        control: Control and invisible formatting characters go.
        unicode: The Unicode normal form that texts are brought to, or "none".
        whitespace: Any run of white space becomes one space, and none at the ends.
        lowercase: Letters become lower case.
    """

    html: bool = True
    control: bool = True
    unicode: Literal["NFC", "NFKC", "none"] = "NFC"
    whitespace: bool = True
    lowercase: bool = False


UNTOUCHED = Cleaning(html=False, control=False, unicode="none", whitespace=False)


def clean(texts: pa.Array, rules: Cleaning) -> pa.Array:
    """Returns `texts` cleaned.

    Args:
        texts: Strings or nulls [n].
        rules: What to do.

    Returns:
        Strings of the same type [n], null where `texts` is. Cleaning them again changes nothing,
        unless they were escaped more than `PASSES` times over.

    Example:
        >>> import pyarrow as pa
        >>> texts = pa.array(["I <3 it!<br />5 &lt; 6, <b>un</b>likely", " a < b and c > d", None])
        >>> clean(texts, Cleaning()).to_pylist()
        ['I <3 it! 5 < 6, unlikely', 'a < b and c > d', None]
    """
    import pyarrow.compute as pc

    cleaned = _once(texts, rules)
    # One step may make work for another: "&amp;lt;p>" is first "&lt;p>", then "<p>", then gone.
    changed = pc.fill_null(pc.not_equal(cleaned, texts), False)
    for _ in range(PASSES - 1):
        if not pc.any(changed).as_py():
            break
        before = cleaned.filter(changed)
        after = _once(before, rules)
        cleaned = pc.replace_with_mask(cleaned, changed, after)
        changed = pc.replace_with_mask(changed, changed, pc.not_equal(after, before))
    return cleaned


def _once(texts: pa.Array, rules: Cleaning) -> pa.Array:
    import pyarrow.compute as pc

    if rules.html:
        texts = _on(texts, pc.match_substring(texts, "&"), _entities)
        texts = _on(texts, pc.match_substring(texts, "<"), _tags)
    if rules.control:
        texts = pc.replace_substring_regex(texts, CONTROL, "")
    if rules.lowercase:
        texts = pc.utf8_lower(texts)
    if rules.unicode != "none":
        texts = _on(texts, pc.invert(pc.string_is_ascii(texts)), partial(_normal, rules.unicode))
    if rules.whitespace:
        texts = pc.utf8_trim(pc.replace_substring_regex(texts, WHITESPACE, " "), " ")
    return texts


def _on(texts: pa.Array, mask: pa.Array, step: Callable[[pa.Array], pa.Array]) -> pa.Array:
    """Applies `step` to the texts where `mask` is true."""
    import pyarrow.compute as pc

    mask = pc.fill_null(mask, False)
    return pc.replace_with_mask(texts, mask, step(texts.filter(mask)))


def _normal(form: Literal["NFC", "NFKC"], texts: pa.Array) -> pa.Array:
    import pyarrow as pa

    # Arrow's own utf8_normalize (25.0) gives the decomposed form for both.
    return pa.array([unicodedata.normalize(form, text) for text in texts.to_pylist()], texts.type)


def _entities(texts: pa.Array) -> pa.Array:
    import pyarrow as pa

    return pa.array([_ENTITY.sub(_character, text) for text in texts.to_pylist()], texts.type)


_ENTITY = re.compile(
    r"&(?:#[0-9]{1,8}(?![0-9]);?|#[xX][0-9a-fA-F]{1,8}(?![0-9a-fA-F]);?|[a-zA-Z][a-zA-Z0-9]{1,31};)"
)


def _character(entity: re.Match[str]) -> str:
    # A name needs its semicolon: html.unescape would take "&sect" out of "?page=1&section=2".
    return html.unescape(entity[0]) if entity[0][1] == "#" else html5.get(entity[0][1:], entity[0])


def _tags(texts: pa.Array) -> pa.Array:
    import pyarrow.compute as pc

    for pattern, replacement in TAGS:
        texts = pc.replace_substring_regex(texts, pattern, replacement)
    return texts
