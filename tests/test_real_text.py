"""50,000 lines of real text in twenty scripts: ids of the graph, the training and the library."""

from __future__ import annotations

import gettext
import unicodedata
from collections import Counter
from itertools import pairwise
from pathlib import Path

import pyarrow as pa
import pytest

from textmill.models.preset import Preset
from textmill.models.token_ids import TokenIds
from textmill.models.tokenizer import load_tokenizer, read_tokenizer
from textmill.models.tokenizer_training import train_tokenizer
from tiny_tokenizers import LLAMA3, bpe, graph, library, unigram

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def lines(translations: Path) -> list[str]:
    found = set()
    for file in translations.glob("**/*.mo"):
        with file.open("rb") as opened:
            messages = gettext.GNUTranslations(opened)._catalog  # type: ignore[attr-defined]
        for original, translated in messages.items():
            if original:  # the empty one holds the file's header
                found |= set(translated.split("\n"))
    return sorted(filter(str.strip, found))


def test_the_lines_are_many_and_of_many_scripts(lines: list[str]) -> None:
    assert len(lines) >= 50_000
    names = (
        Counter(unicodedata.name(c, "?").split()[0] for c in line if c.isalpha()).most_common(1)
        for line in lines
    )
    scripts = Counter(name for each in names for name, _ in each)
    assert sum(count >= 100 for count in scripts.values()) >= 20


@pytest.mark.parametrize(
    "kind",
    [
        "WordPiece of MiniLM",
        "WordPiece, cased",
        "WordPiece, uncased",
        "byte-level BPE as RoBERTa's",
        "byte-level BPE as SmolLM's",
        "byte-level BPE as Llama 3's",
        "unigram of albert",
        "unigram of xlm-roberta",
        "unigram of deberta-v2",
        "unigram, new",
    ],
)
def test_ids_are_those_of_the_library(
    tmp_path: Path, lines: list[str], minilm: Path, kind: str
) -> None:
    file = tmp_path / "tokenizer.json"
    save(kind, file, lines, minilm)
    made = read_tokenizer(file)
    wanted = library(made, lines)
    in_graph, ids = graph(file), []
    for first in range(0, len(lines), 4096):
        ids += in_graph(lines[first : first + 4096])
    assert first_difference(lines, ids, wanted) is None
    trained, starts = TokenIds(made).pieces(pa.array(lines, pa.string()))
    rows = [trained[a:b].tolist() for a, b in pairwise(starts.tolist())]
    assert first_difference(lines, rows, wanted) is None
    assert sum(map(len, wanted)) > 3 * len(lines)


def save(kind: str, file: Path, lines: list[str], minilm: Path) -> None:
    """Saves a tokenizer; but for the first, with a vocabulary of the lines' own words."""
    some = lines[::4]
    if kind == "WordPiece of MiniLM":
        load_tokenizer(Preset(str(minilm))).save(str(file))
    elif kind.startswith("WordPiece"):
        train_tokenizer(some, 8000, lowercase="uncased" in kind).save(str(file))
    elif kind.startswith("byte-level BPE"):
        expression = LLAMA3 if "Llama" in kind else None
        bpe(
            file,
            digits="SmolLM" in kind,
            expression=expression,
            texts=some,
            vocabulary_size=8000,
        )
    elif kind == "unigram, new":
        train_tokenizer(some, 2000, kind="unigram").save(str(file))
    else:
        unigram(file.parent / "theirs", kind.split()[-1], 4000, some).rename(file)


def first_difference(
    lines: list[str], found: list[list[int]], wanted: list[list[int]]
) -> tuple[str, list[int], list[int]] | None:
    """Returns the first line with other ids; all of them in one message would help nobody."""
    rows = zip(lines, found, wanted, strict=True)
    return next((row for row in rows if row[1] != row[2]), None)
