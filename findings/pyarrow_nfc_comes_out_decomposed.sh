#!/usr/bin/env bash
# pyarrow==25.0.1, compute.utf8_normalize: the form NFC gives what NFD gives.
#
# All four forms come out decomposed: "é" (U+00E9) becomes two code points by NFC, the form that is there to make one
# of two; NFKC likewise. pyarrow 26.0.1 gives NFC again. Expected: what unicodedata.normalize gives.
#
# Why it matters: texts are brought into NFC before a tokenizer is trained and asked. With this release the vocabulary
# is of letters and marks apart, while the server that gets composed texts, as keyboards write them, knows no such word.
#
# 2026-11-30
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check pyarrow==25.0.1

"$folder/venv/bin/python" - <<'PROGRAM'
import unicodedata

import pyarrow as pa
import pyarrow.compute as pc

found = {}
for form in ("NFC", "NFD"):
    text = pc.utf8_normalize(pa.array(["caf\u00e9", "\ud55c"]), form).to_pylist()
    right = [unicodedata.normalize(form, each) for each in ("caf\u00e9", "\ud55c")]
    found[form] = text == right
    print(form, [len(each) for each in text], "expected", [len(each) for each in right])
assert found == {"NFC": False, "NFD": True}, "the behaviour changed"
PROGRAM
