"""What text a value has, and what a dotted name reaches."""

from __future__ import annotations

import decimal
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hearing import warnings_heard
from ingesting import all_rows, ingested, quarantine
from textmill.artifact import Examples
from textmill.components.columns import as_text, pick, values_of
from textmill.components.ingest import ingest
from textmill.components.sources.by_name import open_source
from textmill.components.sources.conversations import Conversations
from textmill.errors import UserError


def texts(column: pa.Array) -> list[str | None]:
    found: list[str | None] = as_text(column, "text")[0].to_pylist()
    return found


@pytest.mark.parametrize("width", ["float16", "float32", "float64"])
def test_a_number_has_its_shortest_text_in_its_own_width(width: str) -> None:
    values = [0.1, 1.0, -2.5, 100.0, 0.0, float("nan"), float("inf")]
    column = pa.array(np.array(values, width))
    assert texts(column) == ["0.1", "1.0", "-2.5", "100.0", "0.0", None, "inf"]
    if width != "float16":  # Arrow has no dictionaries of these
        assert texts(column.dictionary_encode()) == texts(column)


def test_texts_of_single_floats_give_them_back() -> None:
    rng = np.random.default_rng(0)
    values = rng.integers(0, 2**32, 2000, dtype=np.uint32).view(np.float32)
    values = values[np.isfinite(values)]
    found = np.array([np.float32(text) for text in texts(pa.array(values))])
    assert found.tobytes() == values.tobytes()
    assert max(map(len, filter(None, texts(pa.array(np.float32([1e10, 123456789])))))) <= 13


def test_decimals() -> None:
    values = [decimal.Decimal("0.10"), decimal.Decimal("1.00"), decimal.Decimal("100.00"), None]
    assert texts(pa.array(values)) == ["0.1", "1", "100", None]
    long = decimal.Decimal("1234567890123456789012345678901234.5000")
    assert texts(pa.array([long], pa.decimal128(38, 4)))[0] == str(long).rstrip("0")


def test_a_list_of_one_is_its_value() -> None:
    column = pa.array([["Hallo"], [], None, ["a", "b"]])
    found, faults = as_text(column, "text")
    assert found.to_pylist() == ["Hallo", None, None, '["a", "b"]']
    assert faults.to_pylist() == [None, None, None, "several values: a list of 2"]


def write(folder: Path, kind: str, rows: list[dict[str, Any]]) -> str:
    file = folder / f"a.{kind}"
    if kind == "jsonl":
        file.write_text("\n".join(map(json.dumps, rows)))
    else:
        pq.write_table(pa.Table.from_pylist(rows), file)
    return str(file)


NESTED = [
    {"id": 1, "data": {"body": "one", "meta": {"tag": "x"}}, "list": [{"n": "a"}, {"n": "b"}]},
    {"id": 2, "data": {"body": "two", "meta": {"tag": "y"}}, "list": [{"n": "c"}]},
    {"id": 3, "data": None, "list": []},
]


@pytest.mark.parametrize("kind", ["jsonl", "parquet"])
def test_a_dotted_name_reaches_inside(tmp_path: Path, kind: str) -> None:
    source = open_source(write(tmp_path, kind, NESTED))
    [batch] = source.batches()
    for name, expected in {
        "data.body": ["one", "two", None],
        "data.meta.tag": ["x", "y", None],
        "list.0.n": ["a", "c", None],
        "list.n": [["a", "b"], ["c"], None],
    }.items():
        found = pick(batch.rows, name)
        assert found is not None
        assert [value or None for value in values_of(found)] == expected
    assert pick(batch.rows, "data.title") is None
    examples = ingested(tmp_path / "out", source, text="data.body", label="data.meta.tag")
    schema = examples.schema()
    assert [(r[schema["text"]], r[schema["label"]]) for r in all_rows(examples)] == [
        ("one", "x"), ("two", "y")
    ]  # fmt: skip
    assert [row["reason"] for row in quarantine(examples)] == ["missing text"]
    with pytest.raises(UserError, match=r"(?s)holds objects, not texts.*fix: .*data\.body"):
        ingest(Examples(tmp_path / "whole"), source, text="data", label="id")
    with pytest.raises(UserError, match=r"(?s)no column 'data.bodi'.*text = \"data.body\""):
        ingest(Examples(tmp_path / "typo"), source, text="data.bodi", label="id")


def test_a_column_whose_name_has_a_dot_comes_first(tmp_path: Path) -> None:
    rows = [{"a.b": "real", "a": {"b": "inside"}, "label": "x"}]
    for kind in ("jsonl", "parquet"):
        source = open_source(write(tmp_path, kind, rows))
        examples = ingested(tmp_path / kind, source, text="a.b")
        assert [row["a.b"] for row in all_rows(examples)] == ["real"]


def test_a_map_is_an_object(tmp_path: Path) -> None:
    maps = pa.array([[("body", f"text {i}")] for i in range(9)], pa.map_(pa.string(), pa.string()))
    pq.write_table(pa.table({"data": maps, "label": ["x"] * 9}), tmp_path / "a.parquet")
    source = open_source(str(tmp_path / "a.parquet"))
    [batch] = source.batches()
    found = pick(batch.rows, "data.body")
    assert found is not None
    assert texts(found) == [f"text {i}" for i in range(9)]
    with pytest.raises(UserError, match=r"(?s)holds objects, not texts.*data\.body"):
        ingest(Examples(tmp_path / "out"), source, text="data")


def test_a_translation(tmp_path: Path) -> None:
    rows = [{"translation": {"en": "Hello.", "de": ["Hallo."]}}, {"translation": {"en": "Bye."}}]
    source = open_source(write(tmp_path, "jsonl", rows))
    examples = ingested(
        tmp_path / "out", source, text="translation.en", pair="translation.de", label=None
    )
    [row] = all_rows(examples)
    assert (row["translation.en"], row["translation.de"]) == ("Hello.", "Hallo.")
    with pytest.raises(UserError, match=r"(?s)one of: translation\.de, translation\.en"):
        ingest(Examples(tmp_path / "top"), source, text="en", label=None)


def test_some_objects_go_and_many_stop(tmp_path: Path) -> None:
    good = [{"text": f"text {i}", "label": "ab"[i % 2]} for i in range(40)]
    rows = [*good, {"text": {"body": "x"}, "label": "a"}, {"text": ["y", "z"], "label": "a"}]
    examples = ingested(tmp_path / "few", open_source(write(tmp_path, "jsonl", rows)))
    assert [(row["line"], row["reason"]) for row in quarantine(examples)] == [
        (41, "an object: it has text.body"), (42, "several values: a list of 2")
    ]  # fmt: skip
    many = open_source(write(tmp_path, "jsonl", good + 30 * rows[40:41]))
    with pytest.raises(UserError, match=r"(?s)an object in 30 of 70 rows.*has text\.body"):
        ingest(Examples(tmp_path / "many"), many)


def test_missing_stays_missing(tmp_path: Path) -> None:
    table = pa.table(
        {
            "text": ["a", "b", "c", "d", None],
            "label": pa.array([0.0, float("nan"), 1.0, None, 1.0], from_pandas=False),
        }
    )
    pq.write_table(table, tmp_path / "a.parquet")
    examples = ingested(tmp_path / "out", open_source(str(tmp_path / "a.parquet")))
    assert {row["label"] for row in all_rows(examples)} == {"0.0", "1.0"}
    assert [(row["line"], row["reason"]) for row in quarantine(examples)] == [
        (2, "missing label"), (4, "missing label"), (5, "missing text")
    ]  # fmt: skip
    (tmp_path / "a.csv").write_text("text,label\na,nan\nb,en\n")  # Min Nan Chinese
    csv = ingested(tmp_path / "csv", open_source(str(tmp_path / "a.csv")))
    assert [row["label"] for row in all_rows(csv)] == ["nan", "en"]


def test_texts_that_a_table_printed_as_lists(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(
        "text,target\n" + "".join(f"text {i},\"['Hallo {i}']\"\n" for i in range(6)) + "x,y\n"
    )
    source = open_source(str(tmp_path / "a.csv"))
    with warnings_heard() as heard:
        kept = ingested(tmp_path / "kept", source, pair="target", label=None)
    assert heard == ["86% of 'target' are lists of one text in brackets, and left as they are"]
    assert [row["target"] for row in all_rows(kept)] == [f"['Hallo {i}']" for i in range(6)] + ["y"]
    text = (tmp_path / "a.csv").read_text().replace("x,y\n", "x,\n")
    (tmp_path / "a.csv").write_text(text)
    out = ingested(tmp_path / "out", source, pair="target", label=None)
    assert [row["target"] for row in all_rows(out)] == [f"Hallo {i}" for i in range(6)]
    assert [row["reason"] for row in quarantine(out)] == ["missing text"]
    objects = text.replace("['", '[""').replace("']", '"", 1]')  # JSON that is to be written
    (tmp_path / "a.csv").write_text(objects)
    two = ingested(tmp_path / "two", source, pair="target", label=None)
    assert all_rows(two)[0]["target"] == '["Hallo 0", 1]'


def test_conversations_whose_parts_are_no_texts(tmp_path: Path) -> None:
    rows = [
        {"q": "Hi?", "a": ["Yes."]},
        {"q": {"text": "Hi?"}, "a": "Yes."},
        {"q": "Hi?", "a": ["Yes.", "No."]},
        {"q": "Hi?", "a": None},
    ]
    source = Conversations(open_source(write(tmp_path, "jsonl", rows)), prompt="q", response="a")
    [batch] = source.batches()
    assert batch.rows["text"].to_pylist() == ['[["user", "Hi?"], ["assistant", "Yes."]]']
    assert [each.reason for each in batch.rejected] == [
        "invalid message: the content of user is no text",
        "invalid message: the content of assistant is no text",
        "empty message: of assistant",
    ]


def test_conversations_as_python_prints_them(tmp_path: Path) -> None:
    turns = [{"role": "user", "content": "It's?"}, {"role": "assistant", "content": 'A "yes".'}]
    (tmp_path / "a.jsonl").write_text(json.dumps({"turns": str(turns)}))
    [batch] = Conversations(open_source(str(tmp_path / "a.jsonl")), messages="turns").batches()
    assert json.loads(batch.rows["text"][0].as_py()) == [list(turn.values()) for turn in turns]


def test_conversations_inside_objects(tmp_path: Path) -> None:
    rows = [
        {
            "chat": {
                "turns": [
                    {"role": "user", "content": "Hi?"},
                    {"role": "assistant", "content": "Yes."},
                ]
            }
        }
    ]
    for kind in ("jsonl", "parquet"):
        source = Conversations(open_source(write(tmp_path, kind, rows)), messages="chat.turns")
        [batch] = source.batches()
        assert batch.rows["text"].to_pylist() == ['[["user", "Hi?"], ["assistant", "Yes."]]']
