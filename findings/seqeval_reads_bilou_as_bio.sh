#!/usr/bin/env bash
# seqeval==1.2.2, f1_score: of BILOU tags, two names side by side and one name of two words are the same.
#
# Without mode="strict" the tags' letters are read by the rules of another scheme, in which U and L do
# not begin anything: "U-PER U-PER", two people, becomes one span of two words, as is "B-PER L-PER", so that
# the one is a perfect prediction of the other. IOBES, the same scheme under other letters, is read right.
# The only sign is a warning that U-PER seems to be no tag. Expected: an error, or the scheme that the tags
# are of.
#
# Why it matters: taggers are measured so before they are exported and served. Lists of people, firms and
# places are where spans touch, and where a model that runs them together would not be found out.
#
# 2026-11-30
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check seqeval==1.2.2 scikit-learn==1.9.1 scipy==1.17.1 numpy==2.4.6

"$folder/venv/bin/python" - <<'PROGRAM'
import warnings

from seqeval.metrics import f1_score
from seqeval.scheme import BILOU

warnings.simplefilter("ignore", UserWarning)
two_people = [["U-PER", "U-PER", "O"]]
one_person = [["B-PER", "L-PER", "O"]]
loose = f1_score(two_people, one_person)
strict = f1_score(two_people, one_person, mode="strict", scheme=BILOU)
other_letters = f1_score([["S-PER", "S-PER", "O"]], [["B-PER", "E-PER", "O"]])
print("BILOU:", loose, " strict:", strict, " the same in IOBES:", other_letters)
assert strict == 0.0
assert other_letters == 0.0
assert loose == 1.0, "the behaviour changed"
PROGRAM
