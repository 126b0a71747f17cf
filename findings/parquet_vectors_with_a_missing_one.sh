#!/usr/bin/env bash
# pyarrow==25.0.1, parquet: a table with a missing vector is written, and then can't be read.
#
# A column of lists of a fixed size in which one row has none: write_table takes it, and read_table of the same file raises
# "Expected all lists to be of size=2 but index 2 had size=0". Lists of any size come back. Expected: the table that was
# written, or an error before there is a file.
#
# Why it matters: embeddings of texts are such a column, and a text that was empty has none. The file is found out to be
# unreadable when the run that made it is long over.
#
# 2026-11-30
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check pyarrow==25.0.1

"$folder/venv/bin/python" - <<'PROGRAM'
import io

import pyarrow as pa
import pyarrow.parquet as pq

vectors = [[1, 2], None, [3, 4]]


def back(kind):
    file = io.BytesIO()
    pq.write_table(pa.table({"vector": pa.array(vectors, kind)}), file)
    try:
        return pq.read_table(file)["vector"].to_pylist()
    except pa.ArrowInvalid as error:
        return str(error)


print("any size:  ", back(pa.list_(pa.int64())))
print("fixed size:", back(pa.list_(pa.int64(), 2)))
assert back(pa.list_(pa.int64())) == vectors
assert "Expected all lists to be of size=2" in back(pa.list_(pa.int64(), 2)), "the behaviour changed"
PROGRAM
