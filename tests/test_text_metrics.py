"""Figures of texts, beside sacrebleu's command line, rouge-score and plain counting."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rouge_score.tokenize import tokenize

from textmill.errors import UserError
from textmill.models.memorization import copied
from textmill.models.text_metrics import Words, distinct, text_figures, unicode_words
from textmill.progress import Silent, listening

WORDS = [*"abc", "the", "cat", "sat", "under", "it's", "mat,", "(tree)", "3.5", "quickly", "."]


def texts(count: int, seed: int = 0) -> tuple[list[str], list[str]]:
    """Returns references, and the same with words of them changed."""
    draw = random.Random(seed)
    references = [" ".join(draw.choices(WORDS, k=draw.randint(3, 30))) for _ in range(count)]
    generated = [
        " ".join(draw.choice(WORDS) if draw.random() < 0.3 else word for word in text.split())
        for text in references
    ]
    return references, generated


@pytest.mark.parametrize("words", ["13a", "zh", "char"])
def test_bleu_and_chrf_are_those_of_sacrebleu(words: Words, tmp_path: Path) -> None:
    references, generated = texts(40)
    if words == "zh":
        references = [text.replace("cat", "小猫在家") for text in references]
    found = text_figures(references, generated, words=words, resamples=20)
    (tmp_path / "references").write_text("\n".join(references) + "\n", "utf-8")
    (tmp_path / "generated").write_text("\n".join(generated) + "\n", "utf-8")
    command = [sys.executable, "-m", "sacrebleu", "references", "-i", "generated"]
    command += ["-m", "bleu", "chrf", "-w", "8", "-tok", words]
    said = subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, text=True)
    bleu, chrf = json.loads(said.stdout)
    assert found["bleu"] == pytest.approx(bleu["score"], abs=1e-8)
    assert found["chrf"] == pytest.approx(chrf["score"], abs=1e-8)
    assert (found["signatures"]["bleu"], found["signatures"]["chrf"]) == (
        bleu["signature"],
        chrf["signature"],
    )
    ratio = float(bleu["verbose_score"].partition("ratio = ")[2].split()[0])
    assert found["length_ratio"] == pytest.approx(ratio, abs=1e-3)


def test_intervals_are_those_of_scoring_every_draw_anew() -> None:
    from sacrebleu.metrics import BLEU

    references, generated = texts(25)
    found = text_figures(references, generated, resamples=60, seed=3)
    draws = np.random.default_rng(3)
    scores = []
    for _ in range(60):
        some = draws.integers(0, 25, 25)
        one, other = [generated[i] for i in some], [references[i] for i in some]
        scores.append(BLEU(force=True).corpus_score(one, [other]).score)
    assert found["intervals"]["bleu"] == pytest.approx(np.percentile(scores, [2.5, 97.5]))
    for name, (low, high) in found["intervals"].items():
        assert low <= found[name] <= high


def test_rouge_is_that_of_rouge_score() -> None:
    from rouge_score.rouge_scorer import RougeScorer

    references, generated = texts(20)
    found = text_figures(references, generated, resamples=5)
    scorer = RougeScorer(["rouge1", "rouge2", "rougeLsum", "rougeL"])
    each = [scorer.score(a, b) for a, b in zip(references, generated, strict=True)]
    for ours, theirs in (("rouge1", "rouge1"), ("rouge2", "rouge2"), ("rouge_l", "rougeL")):
        assert found[ours] == pytest.approx(np.mean([one[theirs].fmeasure for one in each]))


def test_rouge_reads_other_scripts_as_bleu_does() -> None:
    assert text_figures(["小猫在家"], ["小猫不在"], words="zh")["rouge1"] == pytest.approx(3 / 4)
    assert text_figures(["der bär läuft"], ["der Bär lief"], words="intl")["rouge1"] == (
        pytest.approx(2 / 3)
    )


def heard(references: list[str], generated: list[str]) -> tuple[dict[str, Any], list[str]]:
    """Returns the figures of texts, and what was warned of."""
    said: list[str] = []

    class Heard(Silent):
        def warned(self, step: str, text: str) -> None:
            said.append(text)

    with listening(Heard(), "evaluate"):
        return text_figures(references, generated, resamples=2), said


@settings(max_examples=300, deadline=None)
@given(st.text(st.characters(codec="ascii")))
def test_on_ascii_the_words_of_rouge_are_rouge_scores(text: str) -> None:
    theirs = tokenize(text, None)
    assert unicode_words([text.lower()])[0] == theirs or not theirs


@pytest.mark.parametrize(
    ("reference", "generated", "rouge1", "rouge_l"),
    [
        # rouge-score 0.1.2 gives 0, 0, 0, 1, 1, 1, 0, 0 and 0 as rouge1.
        ("кошка спит дома", "кошка спит дома", 1, 1),
        ("小猫在家", "小猫在家", 1, 1),
        ("แมวนอน", "แมวนอน", 1, 1),
        ("кошка 1", "собака 1", 1 / 2, 1 / 2),
        ("第1章", "第1节", 2 / 3, 2 / 3),
        ("le 5 à", "le 5 ù", 2 / 3, 2 / 3),
        ("🙂🙂", "🙂🙃", 1 / 2, 1 / 2),
        ("!?", "!?", 1, 1),
        ("হাসি খুশি", "খুশি হাসি", 1, 1 / 2),  # marks stay with their letters
        ("日本語 text", "text 日本", 6 / 7, 4 / 7),
    ],
)
def test_rouge_of_letters_that_rouge_score_leaves_out(
    reference: str, generated: str, rouge1: float, rouge_l: float
) -> None:
    found, said = heard([reference, "plain words"], [generated, "plain words"])
    assert found["rouge1"] == pytest.approx((rouge1 + 1) / 2)
    assert found["rouge_l"] == pytest.approx((rouge_l + 1) / 2)
    assert found["signatures"]["rouge"].startswith("tok:unicode|")
    assert [line.partition(" texts")[0] for line in said] == ["ROUGE: 2 of 4"]


def test_rouge_of_nothing_is_nothing() -> None:
    found, said = heard(["", "a cat", "a dog"], ["", "", " \n"])
    assert found["rouge1"] == 0
    assert found["signatures"]["rouge"].startswith("tok:a-z0-9|version:0.")
    assert said == []


def test_exact_match_and_distinct() -> None:
    found = text_figures([" yes\n", "no", "yes", "no"], ["yes", "no ", "no", "no way"])
    assert found["exact_match"] == 0.5
    assert found["distinct_1"] == pytest.approx(3 / 5)  # yes, no and way of five words
    assert found["distinct_2"] == 1.0
    assert found["texts"] == 4


def test_the_jackknife_leaves_each_text_out() -> None:
    _, generated = texts(12)
    rows = [text.split() for text in generated]

    def share(some: list[list[str]]) -> float:
        pairs = [pair for row in some for pair in pairwise(row)]
        return len(set(pairs)) / len(pairs)

    whole, (low, high) = distinct(rows, 2)
    without = np.array([share(rows[:i] + rows[i + 1 :]) for i in range(12)])
    spread = (11 / 12 * ((without - without.mean()) ** 2).sum()) ** 0.5
    assert whole == pytest.approx(share(rows))
    assert (high - low) / 2 == pytest.approx(1.96 * spread)


def test_copied_is_what_a_plain_search_finds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where only few kinds of tokens make chance finds common; also over the borders of parts."""
    draw = np.random.default_rng(0)
    known = draw.integers(1, 4, 500).astype(np.int32)
    asked = [draw.integers(1, 4, n).tolist() for n in (0, 1, 2, 5, 6, 7, 9, 12, 20, 20)]
    asked += [
        known[60:68].tolist(),
        known[120:140].tolist(),
        known[-7:].tolist(),
        asked[4],
        [9, *known[40:48].tolist(), 9],
    ]

    def plainly(text: list[int], span: int) -> bool:
        learned, length = known.tolist(), min(span, len(text))
        spans = {tuple(learned[i : i + length]) for i in range(500 - length + 1)}
        return bool(text) and any(
            tuple(text[i : i + length]) in spans for i in range(len(text) - length + 1)
        )

    for part in (1 << 22, 64):
        monkeypatch.setattr("textmill.models.memorization.PART", part)
        for span in (3, 6, 8):
            wanted = [plainly(text, span) for text in asked]
            assert copied(asked, known, 500, span=span).tolist() == wanted
            assert any(wanted)
            assert not all(wanted)


def test_what_can_not_be_compared_is_refused() -> None:
    with pytest.raises(UserError, match="no text to compare"):
        text_figures([], [])


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "MeCab", None)
    monkeypatch.delitem(sys.modules, "sacrebleu.tokenizers.tokenizer_ja_mecab", raising=False)
    with pytest.raises(UserError, match=r"sacrebleu\[ja\]"):
        text_figures(["猫"], ["猫"], words="ja-mecab")
