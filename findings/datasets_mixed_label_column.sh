#!/usr/bin/env bash
# datasets==5.2.0, load_dataset("json"): in a column of strings and numbers, the string "01" becomes the number 1.
#
# A key that has strings in some rows and numbers in others becomes a feature of its own, Json, and each value is
# parsed when it is read. Strings that were written as strings are parsed once more: "01" and "1" are the number 1,
# "1.50" is 1.5, "true" is True; "a" stays. Expected: what the file says, a string where it has one, or the error of
# earlier releases.
#
# Why it matters: labels are such columns, where a file was edited by hand or two were put together. The classes "01" and
# "1" become one, and the class that a server later answers is none that the file has.
#
# 2026-11-30
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check datasets==5.2.0 pyarrow==26.0.1 huggingface_hub==2.4.0 pandas==3.1.1

"$folder/venv/bin/python" - <<'PROGRAM'
import json
import os
import tempfile

os.environ["HF_HUB_OFFLINE"] = "1"  # nothing is to be fetched
os.environ["HF_DATASETS_DISABLE_PROGRESS_BARS"] = "1"

from datasets import load_dataset  # noqa: E402

given = ["01", 1, "1", "1.50", "true", "a"]
with tempfile.TemporaryDirectory() as folder:
    with open(f"{folder}/rows.jsonl", "w") as file:
        file.write("".join(json.dumps({"label": label}) + "\n" for label in given))
    rows = load_dataset(
        "json", data_files=f"{folder}/rows.jsonl", split="train", cache_dir=f"{folder}/cache"
    )
    found = rows["label"][:]
print("the file:", given)
print("the rows:", found, rows.features)
assert [repr(value) for value in found] == ["1", "1", "1", "1.5", "True", "'a'"], "changed"
PROGRAM
