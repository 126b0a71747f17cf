#!/usr/bin/env bash
# sacrebleu==2.6.0, CHRF(eps_smoothing=True): a translation that equals its reference gets 16.67 of 100.
#
# With smoothing, the orders of n-grams that a text is too short to have count as nearly 0, and the mean
# is over all six: a text of one character can reach 1/6, of two 2/6, of five 5/6. Without it, chrF takes
# the mean over the orders that both texts have, and equal texts get 100. Expected: equal texts get the
# highest score, as with every other measure of the library, or a word in the documentation.
#
# Why it matters: rows of one or two characters are common where a model writes Chinese, digits, or a
# label's letter; their smoothed mean punishes a model that makes no mistake at all, and the shorter the
# right answers are the more.
#
# 2026-11-30
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check sacrebleu==2.6.0

"$folder/venv/bin/python" - <<'PROGRAM'
from sacrebleu.metrics import CHRF

plain, smoothed = CHRF(), CHRF(eps_smoothing=True)
scores = {}
for text in ("5", "好的", "yes", "three"):
    scores[text] = smoothed.sentence_score(text, [text]).score
    print(f"{text}: {plain.sentence_score(text, [text]).score:.2f}, smoothed {scores[text]:.2f}")
    assert plain.sentence_score(text, [text]).score == 100
corpus = smoothed.corpus_score(["5", "7"], [["5", "7"]]).score
print(f"a corpus of such texts: {corpus:.2f}")
assert [round(score, 2) for score in scores.values()] == [16.67, 33.33, 50.0, 83.33], "changed"
assert round(corpus, 2) == 16.67, "the behaviour changed"
PROGRAM
