#!/usr/bin/env bash
# daft==0.7.26: over a window, list_agg keeps nulls and list_agg_distinct drops them, even a group's only value.
#
# Of the rows of one text, the labels as a list have None where a row has none; the different labels have not. A group
# without a label is [None] by the one and [] by the other. Expected: one rule for both, as in a GROUP BY of SQL.
#
# Why it matters: whether annotators agree on a text is found by comparing its labels with its different labels. A text that
# only one of three has labelled is agreed on by one of the lists and not by the other.
#
# 2026-11-30
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check daft==0.7.26

"$folder/venv/bin/python" - <<'PROGRAM'
import daft
from daft import Window, col

rows = daft.from_pydict({"text": ["a", "a", "b"], "label": ["spam", None, None]})
of_text = Window().partition_by("text")
found = rows.select(
    "text",
    col("label").list_agg().over(of_text).alias("labels"),
    col("label").list_agg_distinct().over(of_text).alias("different"),
).to_pydict()
for row in sorted(zip(*found.values()), key=str):
    print(*row)
by_text = dict(zip(found["text"], zip(found["labels"], found["different"])))
assert sorted(map(str, by_text["a"][0])) == ["None", "spam"]
assert by_text["b"][0] == [None]
assert (by_text["a"][1], by_text["b"][1]) == (["spam"], []), "the behaviour changed"
PROGRAM
