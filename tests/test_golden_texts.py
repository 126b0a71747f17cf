"""Golden rows of models that write: what `score` of a served model is compared with."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from textmill.components.golden_texts import Trained, golden_texts
from textmill.serving.endings import Endings
from textmill.serving.text_rules import _equal

VOCABULARY = 16
STRANGE = 8  # from here on tokens are bytes that are no text


def model(longest: int) -> Trained:
    """Returns one whose every token depends on all tokens before it."""
    table = np.random.default_rng(0).normal(0, 3, (997, VOCABULARY))

    def logits(prompt: list[int], after: list[int]) -> Any:
        assert len(prompt) + len(after) <= longest, "a served model reads less of it"
        whole = [*prompt, *after]
        seen = [sum((i + 1) * (t + 1) for i, t in enumerate(whole[:n])) for n in range(1000)]
        return np.array([table[seen[n] % 997] for n in range(len(prompt), len(whole) + 1)])

    def read(prompt: str, most: int) -> list[int]:
        return encode(prompt)[-max(longest - most, (longest + 1) // 2) :]

    return Trained(lambda ids: longest - len(ids), read, logits, None, encode, decode)


def decode(ids: list[int]) -> str:
    return "".join(chr(97 + i) if i < STRANGE else "\N{REPLACEMENT CHARACTER}" for i in ids)


def encode(text: str) -> list[int]:
    """Returns three tokens for what is no text, as byte-level BPE has them."""
    return [i for each in text for i in ([8, 9, 10] if ord(each) > 122 else [ord(each) - 97])]


@pytest.mark.parametrize("longest", [8, 20, 64])
def test_an_answer_never_pushes_its_prompt_out(longest: int) -> None:
    """Its text has more tokens than were drawn, and all have to stand behind the prompt."""
    trained = model(longest)
    prompts = ["a", "abc", "h" * longest]

    def draft(prompts: Any, most: Any) -> list[list[int]]:
        found = []
        for prompt, count in zip(prompts, most, strict=True):
            tokens: list[int] = []
            for _ in range(count):
                said = trained.logits(trained.read(prompt, 1), tokens)
                tokens.append(int(said[-1].argmax()))
            found.append(tokens)
        return found

    found = golden_texts(trained, prompts, draft, endings=Endings(()), certain=0.0)
    for row in found:
        again = encode(row["answer"])
        assert len(again) <= longest // 2
        whole = [*encode(row["prompt"]), *again][-longest:]  # as `serving.scoring.score` reads it
        before = whole[: len(whole) - len(again)]
        said = trained.logits(before, again)
        likely = said - np.log(np.exp(said).sum(-1, keepdims=True))
        wanted = sum(likely[n, token] for n, token in enumerate(again))
        assert row["log_probability"] == pytest.approx(wanted)


@pytest.mark.parametrize(("found", "rounded"), [(-1.002, True), (-4.5, False)])
def test_a_difference_as_of_rounding_is_said_to_be_one(found: float, rounded: bool) -> None:
    golden = [{"prompt": "a", "answer": "b", "log_probability": -1.0}]
    said = {"score": {"log_probability": [found], "tokens": [1]}}
    row = _equal(golden, said, 1e-3)
    assert row.status == "failed"
    assert ("rounded" in row.fix) == rounded
