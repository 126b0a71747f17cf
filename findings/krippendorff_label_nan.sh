#!/usr/bin/env bash
# krippendorff==0.9.0, alpha: the label "nan" is read as no answer, so that annotators agree more.
#
# A coder's answers may be strings, and a missing one is nan. Strings are compared with the word, too: where
# "nan" is a label, the short name of a language or a bread, all its answers vanish before anything is counted.
# Two coders who disagree on a row, one of them with this label, agree perfectly (1.0); written "naan" they
# do not (0.59). Expected: of strings, only what is no string is missing; or an error.
#
# Why it matters: agreement of annotators is the ceiling of what a text classifier can learn, and decides
# which labels are merged before the training. The label is ISO 639-3's for Min Nan Chinese.
#
# 2026-11-30
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check krippendorff==0.9.0 numpy==2.4.6

"$folder/venv/bin/python" - <<'PROGRAM'
import krippendorff


def agreement(label):
    """Alpha of two coders who disagree on the first of four rows."""
    first = [label, "eng", "deu", "eng"]
    second = ["eng", "eng", "deu", "eng"]
    return krippendorff.alpha(reliability_data=[first, second], level_of_measurement="nominal")


print("nan: ", agreement("nan"))
print("naan:", agreement("naan"))
assert round(agreement("naan"), 2) == 0.59
assert agreement("nan") == 1.0, "the behaviour changed"
PROGRAM
