#!/usr/bin/env bash
# statsmodels==0.15.0, mcnemar(exact=False): two models that never disagree differ with p = 0.
#
# McNemar's test asks of two classifiers whether one is right more often where they disagree. Where they
# agree on every row there is nothing to tell them apart: p = 1, as exact=True says. The approximation
# with its default correction for continuity divides (|0 - 0| - 1)^2 by 0, and gives the statistic inf and
# p = 0.0, the surest difference that there is; without the correction it gives nan, with a warning.
# Expected of both: statistic 0 and p = 1, or an error.
#
# Why it matters: whether a model that is served in fewer bits, or a smaller one, may take the place of
# the one that serves is asked with this test. Where it answers all rows alike, the test says: never.
#
# 2026-11-30
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check statsmodels==0.15.0 scipy==1.17.1 numpy==2.4.6

"$folder/venv/bin/python" - <<'PROGRAM'
import warnings

import numpy as np
from statsmodels.stats.contingency_tables import mcnemar

both_right, only_a, only_b, both_wrong = 81, 0, 0, 19
table = np.array([[both_right, only_a], [only_b, both_wrong]])
exact = mcnemar(table, exact=True)
with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # of the division
    approximate = mcnemar(table, exact=False)
print("exact:      ", exact.statistic, exact.pvalue)
print("approximate:", approximate.statistic, approximate.pvalue)
one = mcnemar(np.array([[81, 1], [0, 18]]), exact=False)
print("one row told apart:", one.statistic, one.pvalue)
assert exact.pvalue == 1.0
assert (approximate.statistic, approximate.pvalue) == (np.inf, 0.0), "the behaviour changed"
PROGRAM
