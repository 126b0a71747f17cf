"""What validate measures, warns of and stops at."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import schema_pb2

from textmill.artifact import SPLITS, Examples, Statistics
from textmill.components.ingest import ingest
from textmill.components.sources.by_name import open_source
from textmill.components.validate import validate
from textmill.errors import UserError

Rows = list[tuple[str, str, str]]  # text, label, split


def examples_of(folder: Path, rows: Rows) -> Examples:
    file = folder / "a.jsonl"
    names = ("body", "kind", "part")
    file.write_text("\n".join(json.dumps(dict(zip(names, row, strict=True))) for row in rows))
    out = Examples(folder / "examples")
    ingest(out, open_source(str(file)), text="body", label="kind", split_column="part")
    return out


def validated(folder: Path, rows: Rows, **options: Any) -> dict[str, Any]:
    out = Statistics(folder / "statistics")
    validate(out, examples_of(folder, rows), **options)
    return out.read()


def plain(n: int = 30) -> Rows:
    return [(f"{s} {'é' * i}", "ab"[i % 2], s) for s in SPLITS for i in range(n)]


def test_statistics(tmp_path: Path) -> None:
    rows = [*plain(), ("test " + "x" * 500, "b", "test"), ("", "a", "test"), ("x", "", "test")]
    found = validated(tmp_path, [*rows, rows[0]])
    lengths = sorted(
        len(text.strip()) for text, _, split in rows if split == "test" and len(text) > 1
    )
    test = found["splits"]["test"]
    assert test["rows"] == 31
    assert test["labels"] == {"a": 15, "b": 16}
    assert test["commonest"] == {"label": "b", "share": 16 / 31}
    assert test["characters"] == {
        "min": min(lengths),
        "median": statistics.median(lengths),
        "p95": lengths[-(-31 * 95 // 100) - 1],
        "max": 505,
        "mean": pytest.approx(statistics.mean(lengths)),
    }
    assert found["read"] == 94
    assert found["rejected"] == {"missing label": 1, "missing text": 1}
    assert found["shares"] == {
        "rejected": 2 / 94,
        "missing_text": 1 / 94,
        "missing_label": 1 / 94,
        "duplicates": 1 / 94,
    }
    assert found["warnings"] == ["2 of 94 rows were rejected: missing label (1), missing text (1)"]


def test_the_schema_is_one_of_tensorflow_metadata(tmp_path: Path) -> None:
    validated(tmp_path, plain())
    text = (tmp_path / "statistics" / "schema.pbtxt").read_text("utf-8")
    schema = text_format.Parse(text, schema_pb2.Schema())
    assert [(f.name, f.type) for f in schema.feature] == [
        ("body", schema_pb2.BYTES),
        ("kind", schema_pb2.BYTES),
    ]
    [domain] = schema.string_domain
    assert schema.feature[1].domain == domain.name
    assert list(domain.value) == ["a", "b"]


def test_warnings(tmp_path: Path) -> None:
    rows = [*plain(), *((f"more {i}", "a", "train") for i in range(400))]
    rows += [("", "a", "train")] * 200 + [("train", "a", "train")] * 400
    rows += [("the only c", "c", "train")]
    assert validated(tmp_path, rows)["warnings"] == [
        "96% of train has the label 'a'",
        "fewer than 10 rows in train: 'c' (1)",
        "fewer than 10 rows in validation: 'c' (0)",
        "fewer than 10 rows in test: 'c' (0)",
        "200 of 1,091 rows were rejected: missing text (200)",
        "37% of the rows were duplicates",
    ]


@pytest.mark.parametrize(
    ("rows", "options", "message"),
    [
        ([("x", "a", "train"), ("y", "b", "test")], {}, r"(?s)no rows in validation.*0 in valid"),
        ([(t, "a", s) for t, _, s in plain()], {}, r"(?s)only one label.*'a' in all 30 rows"),
        (
            [(t, t, s) for t, _, s in plain()],
            {},
            r"(?s)looks like no label.*30 labels in 30",
        ),
        ([*plain(), ("z", "c", "test")], {}, r"(?s)test has labels that train.*'c' \(1 rows\)"),
        (
            [*plain(), ("z", "c", "train")],
            {"minimum_rows_per_label": 2},
            r"(?s)too few rows in train.*expected: 2 rows.*'c' \(1\)",
        ),
    ],
)
def test_training_in_vain_is_stopped(
    tmp_path: Path, rows: Rows, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        validated(tmp_path, rows, **options)
    assert not (tmp_path / "statistics").exists()


def test_no_tensorflow_is_imported(tmp_path: Path) -> None:
    examples_of(tmp_path, plain())
    code = """
import sys
from pathlib import Path
from textmill.artifact import Examples, Statistics
from textmill.components.validate import validate
from textmill.components import ingest
light = [name for name in ("daft", "pyarrow", "numpy") if name in sys.modules]
validate(Statistics(Path("statistics")), Examples(Path("examples")))
print(light, "tensorflow" in sys.modules)
"""
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout == "[] False\n"


def test_rows_without_a_label(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text("\n".join(f'{{"body": "Review {i}"}}' for i in range(100)))
    source = open_source(str(tmp_path / "a.jsonl"))
    examples, out = Examples(tmp_path / "examples"), Statistics(tmp_path / "statistics")
    split = {"train": 0.8, "validation": 0.2}
    ingest(examples, source, text="body", label=None, split=split)
    validate(out, examples)
    found = out.read()
    assert sum(split["rows"] for split in found["splits"].values()) == 100
    assert list(found["splits"]["train"]) == ["rows", "characters"]
    assert found["splits"]["test"] == {"rows": 0}
    assert (sorted(found["shares"]), found["warnings"]) == (
        ["duplicates", "missing_text", "rejected"], []
    )  # fmt: skip
    schema = text_format.Parse((out.path / "schema.pbtxt").read_text(), schema_pb2.Schema())
    assert [feature.name for feature in schema.feature] == ["body"]

    alone = Examples(tmp_path / "alone")
    ingest(alone, source, text="body", label=None, split={"train": 1.0})
    with pytest.raises(UserError, match=r"no rows in validation\n.*rows in train and validation"):
        validate(Statistics(tmp_path / "none"), alone)
