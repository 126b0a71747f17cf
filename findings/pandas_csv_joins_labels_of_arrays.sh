#!/usr/bin/env bash
# pandas==3.1.1 with numpy==2.4.6, to_csv: a row's array of labels comes back as one label, all names in one.
#
# A column whose values are arrays, as Parquet's lists are read, is written as numpy prints an array: ['sport' 'news'], without
# commas. To Python these are two strings side by side, which are one, so that ast.literal_eval, the usual way to read lists out of
# a CSV, gives ['sportnews'] and no error. A column of lists comes back whole. Expected: commas, or an error.
#
# Why it matters: tables go from Parquet to CSV to be looked at and back to be trained on. Every row with two labels gets a class of its
# own that nobody named, and the two real ones lose it; the model that is served answers with these.
#
# 2026-11-30
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check pandas==3.1.1 numpy==2.4.6

"$folder/venv/bin/python" - <<'PROGRAM'
import ast
import io

import numpy as np
import pandas as pd


def back(labels):
    text = pd.DataFrame({"labels": [labels]}).to_csv(index=False)
    return ast.literal_eval(pd.read_csv(io.StringIO(text))["labels"][0])


print("of a list:  ", back(["sport", "news"]))
print("of an array:", back(np.array(["sport", "news"], dtype=object)))
assert back(["sport", "news"]) == ["sport", "news"]
assert back(np.array(["sport", "news"], dtype=object)) == ["sportnews"], "the behaviour changed"
PROGRAM
