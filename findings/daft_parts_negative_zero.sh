#!/usr/bin/env bash
# daft==0.7.26: 0.0 and -0.0 are two numbers, in ==, distinct, groups and joins.
#
# IEEE 754 has them equal, and so do Python, NumPy, Arrow's compute, SQL and Parquet's statistics. Daft compares the
# bits. Expected: equality as in IEEE 754, and one group.
#
# Why it matters: scores and logits are rounded before they are grouped, and what is rounded from below is
# -0.0: a table of served answers joined with the trained model's by such a key loses rows, a count of distinct
# numbers is too high, and a filter on 0 leaves half of them out.
#
# 2026-11-30
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check daft==0.7.26

"$folder/venv/bin/python" - <<'PROGRAM'
import daft
from daft import col

scores = daft.from_pydict({"score": [0.0, round(-0.001, 2), 1.0], "rows": [1, 1, 1]})
found = {
    "equal to 0": scores.select((col("score") == 0.0).alias("equal")).to_pydict()["equal"],
    "distinct": scores.select("score").distinct().count_rows(),
    "groups": scores.groupby("score").agg(col("rows").sum()).count_rows(),
    "joined": scores.join(daft.from_pydict({"score": [0.0]}), on="score").count_rows(),
}
print(found)
assert round(-0.001, 2) == 0.0
assert len({0.0, round(-0.001, 2), 1.0}) == 2
changed = "the behaviour changed"
assert found == {"equal to 0": [True, False, False], "distinct": 3, "groups": 3, "joined": 1}, changed
PROGRAM
