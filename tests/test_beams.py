"""Beam search of a served decoder: the sequences of transformers, each row on its own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from generating_models import BEAMS, KINDS, VOCABULARY
from textmill.serving.decoder import Decoder
from textmill.serving.endings import Endings
from writing import ROWS, decoder, written


@pytest.fixture(scope="module")
def gpt2(generating: Path) -> Decoder:
    return decoder(generating / "gpt2")


@pytest.mark.parametrize("kind", KINDS)
def test_sequences_are_those_of_transformers(generating: Path, kind: str) -> None:
    golden = json.loads((generating / kind / "generated.json").read_text())
    model, ends = decoder(generating / kind), golden["ends"]
    for way, how in BEAMS.items():
        found, count = written(model, ROWS, Endings(tuple(ends)), **how)
        assert found == [[i for i in row if i not in ends] for row in golden[way]]
        assert count == list(map(len, golden[way]))
        assert golden[way] != golden["greedy"]


def test_a_row_is_searched_alike_in_any_batch(gpt2: Decoder) -> None:
    numbers: dict[str, list[Any]] = {
        "max_new_tokens": [4, 30, 12, 0, 20],
        "repetition_penalty": [1.0, 1.3, 1.0, 1.0, 1.1],
        "min_new_tokens": [0, 0, 9, 0, 3],
    }
    endings = Endings((ROWS[1][0], 9, 30))
    together, counts = written(gpt2, ROWS, endings, num_beams=3, **numbers)
    assert together[3] == []
    assert counts[3] == 0
    for i, row in enumerate(ROWS):
        alone = {name: values[i] for name, values in numbers.items()}
        found = written(gpt2, [row], endings, num_beams=3, **alone)
        assert found == ([together[i]], [counts[i]])
    assert written(gpt2, [], endings, num_beams=3) == ([], [])


def test_of_what_a_string_ends_the_likeliest_is_taken(gpt2: Decoder) -> None:
    letters = [bytes([97 + i % 26]) for i in range(VOCABULARY)]
    whole, counts = written(gpt2, ROWS, Endings(()), num_beams=3)
    assert counts == [30] * len(ROWS)
    # A string of one letter ends a text as the tokens do that stand for it.
    letter = letters[whole[0][5]].decode()
    tokens = tuple(i for i, each in enumerate(letters) if each.decode() == letter)
    by_string, shown = written(gpt2, ROWS, Endings((), (letter,), letters), num_beams=3)
    by_token, drawn = written(gpt2, ROWS, Endings(tokens), num_beams=3)
    assert [row[: len(end)] for row, end in zip(by_string, by_token, strict=True)] == by_token
    assert shown == drawn != counts
