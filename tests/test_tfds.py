"""A data set of tensorflow-datasets that the test prepares itself."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest

from textmill.artifact import Examples
from textmill.components.ingest import ingest
from textmill.components.sources.by_name import open_source
from textmill.errors import UserError

PREPARE = """
import sys
import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds

folder, version, rows = sys.argv[1], sys.argv[2], int(sys.argv[3])
features = tfds.features.FeaturesDict({
    "text": tfds.features.Text(),
    "label": tfds.features.ClassLabel(names=["neg", "pos"]),
    "stars": np.int64,
    "half": np.float32,
    "ok": np.bool_,
    "picture": tfds.features.Tensor(shape=(2,), dtype=np.uint8),
    "words": tfds.features.Sequence(tfds.features.Text()),
})

def examples(split):
    for i in range(rows):
        yield i, {
            "text": f"{split} größe {i}", "label": i % 2 if i != 3 else -1, "stars": i,
            "half": i / 2, "ok": i > 1, "picture": np.zeros(2, np.uint8), "words": ["a"],
        }

tfds.dataset_builders.store_as_tfds_dataset(
    "tiny", version, features, {"train": list(examples("train")), "test": list(examples("test"))},
    data_dir=folder, disable_shuffling=True,
)
"""


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tfds")
    for version, rows in (("1.9.0", 1), ("1.10.0", 5)):
        command = [sys.executable, "-c", PREPARE, str(folder), version, str(rows)]
        subprocess.run(command, check=True, capture_output=True)
    return folder


READ = """
import json, sys
from textmill.components.sources.by_name import open_source
for batch in open_source(sys.argv[1], data_dir=sys.argv[2]).batches():
    places = zip(batch.file.to_pylist(), batch.line.to_pylist())
    for row, (file, line) in zip(batch.rows.to_pylist(), places):
        print(json.dumps({**row, "file": file, "line": line}))
"""


@pytest.mark.slow
def test_rows_of_a_prepared_data_set(prepared: Path) -> None:
    command = [sys.executable, "-c", READ, "tfds:tiny", str(prepared)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(rows) == 10, "the newest version is 1.10.0"
    by_text = {row["text"]: row for row in rows}
    assert by_text["train größe 1"] == {
        "text": "train größe 1",
        "label": "pos",
        "stars": "1",
        "half": "0.5",
        "ok": "false",
        "split": "train",
        "file": "tiny/train",
        "line": by_text["train größe 1"]["line"],
    }
    assert by_text["test größe 3"]["label"] is None
    assert sorted(row["line"] for row in rows if row["split"] == "test") == [1, 2, 3, 4, 5]


@pytest.mark.slow
def test_ingest_with_the_given_splits(prepared: Path, tmp_path: Path) -> None:
    source = open_source("tfds:tiny:1.10.0", data_dir=str(prepared))
    examples = Examples(tmp_path / "out")
    ingest(examples, source, split_column="split")
    assert examples.schema()["rows"] == {"train": 4, "validation": 0, "test": 4}
    assert examples.schema()["rejected"] == {"missing label": 2}


@pytest.mark.slow
def test_a_digest_needs_no_tensorflow(prepared: Path) -> None:
    digests = {
        open_source(f"tfds:tiny{version}", data_dir=str(prepared)).digest()
        for version in ("", ":1.10.0", ":1.9.0")
    }
    assert len(digests) == 3
    code = """
import sys
from textmill.components.sources.by_name import open_source
open_source("tfds:tiny", data_dir=sys.argv[1]).digest()
print("tensorflow_datasets" in sys.modules)
"""
    command = [sys.executable, "-c", code, str(prepared)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    assert done.stdout == "False\n"


def test_several_configurations(tmp_path: Path) -> None:
    for config in ("sst2", "cola"):
        folder = tmp_path / "glue" / config / "1.0.0"
        folder.mkdir(parents=True)
        (folder / "dataset_info.json").write_text("{}")
    with pytest.raises(UserError, match=r'(?s)cola, sst2.*source = "tfds:glue/cola"'):
        open_source("tfds:glue", data_dir=str(tmp_path)).digest()
    assert open_source("tfds:glue/sst2", data_dir=str(tmp_path)).digest()


def test_the_package_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(UserError, match=r"pip install 'textmill\[tfds\]'"):
        open_source("tfds:tiny", data_dir=str(tmp_path)).digest()


@pytest.mark.slow
def test_a_name_that_nobody_knows(tmp_path: Path) -> None:
    code = """
import sys
from textmill.components.sources.by_name import open_source
from textmill.errors import UserError
try:
    open_source("tfds:no_such_thing", data_dir=sys.argv[1]).digest()
except UserError as error:
    print(error)
"""
    command = [sys.executable, "-c", code, str(tmp_path)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    assert "tfds:no_such_thing: can't be prepared" in done.stdout
    assert "DatasetNotFoundError" in done.stdout
