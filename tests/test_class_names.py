"""Names of classes that `datasets` leaves in a file, its folders, and labels as fastText has them.

The metadata and the folders are as datasets 5.2.0 writes them (`to_parquet`, `save_to_disk`).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hearing import warnings_heard
from ingesting import all_rows, ingested, quarantine, rows_of
from textmill.components.cleaning import UNTOUCHED
from textmill.components.sources.by_name import open_source
from textmill.components.sources.fasttext import FastText
from textmill.errors import UserError

NAMES = {"names": ["neg", "pos"], "_type": "ClassLabel"}
TAGS = {"names": ["a", "b", "c"], "_type": "ClassLabel"}
PERSON = {"names": ["PER", "LOC"], "_type": "ClassLabel"}
WHERE = {"dtype": "int32", "_type": "Value"}
FEATURES: dict[str, Any] = {
    "text": {"dtype": "string", "_type": "Value"},
    "label": NAMES,
    "tags": {"feature": TAGS, "_type": "List"},
    "meta": {"kind": {"names": ["x", "y"], "_type": "ClassLabel"}, "n": WHERE},
    "spans": {"feature": {"start": WHERE, "end": WHERE, "label": PERSON}, "_type": "List"},
}


def table(start: int = 0, features: dict[str, Any] = FEATURES) -> pa.Table:
    rows = [
        {
            "text": f"text {start + i}",
            "label": i % 3 - 1,
            "tags": [0, 2] if i % 2 else [],
            "meta": {"kind": i % 2, "n": i},
            "spans": [{"start": 0, "end": 4, "label": i % 2}],
        }
        for i in range(6)
    ]
    said = json.dumps({"info": {"features": features}})
    return pa.Table.from_pylist(rows).replace_schema_metadata({"huggingface": said})


def test_classes_have_their_names(tmp_path: Path) -> None:
    pq.write_table(table(), tmp_path / "a.parquet")
    rows = rows_of(open_source(str(tmp_path / "a.parquet")))
    assert [row["label"] for row in rows] == [None, "neg", "pos"] * 2
    assert [row["tags"] for row in rows[:2]] == [[], ["a", "c"]]
    assert [row["meta"] for row in rows[:2]] == [{"kind": "x", "n": 0}, {"kind": "y", "n": 1}]
    assert rows[1]["spans"] == [{"start": 0, "end": 4, "label": "LOC"}]


def test_every_task_takes_them(tmp_path: Path) -> None:
    pq.write_table(table(), tmp_path / "a.parquet")
    source = open_source(str(tmp_path / "a.parquet"))
    one = ingested(tmp_path / "one", source)
    assert [row["label"] for row in all_rows(one)] == ["neg", "pos"] * 2
    assert [(row["line"], row["reason"]) for row in quarantine(one)] == [
        (1, "missing label"), (4, "missing label")
    ]  # fmt: skip
    many = ingested(tmp_path / "many", source, label="tags", labels="many")
    assert [row["tags"] for row in all_rows(many)] == ["", "a|c"] * 3
    inside = ingested(tmp_path / "inside", source, label="meta.kind")
    assert [row["meta.kind"] for row in all_rows(inside)] == ["x", "y"] * 3
    options: dict[str, Any] = {"label": "spans", "labels": "spans", "cleaning": UNTOUCHED}
    spans = ingested(tmp_path / "spans", source, **options)
    assert all_rows(spans)[1]["spans"] == '[[0, 4, "LOC"]]'


def test_an_object_of_lists(tmp_path: Path) -> None:
    """As datasets had a Sequence of objects until its release 4."""
    features = {"spans": {"feature": {"label": PERSON}, "_type": "Sequence"}}
    rows = pa.table({"text": ["a"], "spans": [{"label": [0, 1, -1]}]})
    said = json.dumps({"info": {"features": features}})
    pq.write_table(rows.replace_schema_metadata({"huggingface": said}), tmp_path / "a.parquet")
    [row] = rows_of(open_source(str(tmp_path / "a.parquet")))
    assert row["spans"] == {"label": ["PER", "LOC", None]}


def test_names_of_several_files(tmp_path: Path) -> None:
    pq.write_table(table().replace_schema_metadata(None), tmp_path / "1.parquet")
    pq.write_table(table(6), tmp_path / "2.parquet")
    rows = rows_of(open_source(f"{tmp_path}/*.parquet"))
    assert [row["label"] for row in rows] == [None, "neg", "pos"] * 4
    swapped = {"label": {"names": ["pos", "neg"], "_type": "ClassLabel"}}
    pq.write_table(table(6, swapped), tmp_path / "3.parquet")
    with pytest.raises(UserError, match=r"(?s)3\.parquet: other names of classes in 'label'"):
        rows_of(open_source(f"{tmp_path}/*.parquet"))


def test_a_class_without_a_name(tmp_path: Path) -> None:
    short = {"label": {"names": ["neg"], "_type": "ClassLabel"}}
    pq.write_table(table(features=short), tmp_path / "a.parquet")
    with pytest.raises(UserError, match=r"(?s)class in column 'label' has no name.*1, and 1 names"):
        rows_of(open_source(str(tmp_path / "a.parquet")))


@pytest.mark.parametrize(
    "said", [b"", b"[]", b"{", b'{"info": null}', b'{"info": {"features": []}}']
)
def test_metadata_that_says_nothing(tmp_path: Path, said: bytes) -> None:
    rows = table().replace_schema_metadata({b"huggingface": said})
    pq.write_table(rows, tmp_path / "a.parquet")
    assert rows_of(open_source(str(tmp_path / "a.parquet")))[0]["label"] == -1


def save(folder: Path, *parts: pa.Table) -> None:
    """Writes a folder as `Dataset.save_to_disk` does."""
    folder.mkdir(parents=True)
    files = [f"data-{i:05d}-of-{len(parts):05d}.arrow" for i in range(len(parts))]
    for name, part in zip(files, parts, strict=True):
        with pa.ipc.new_stream(folder / name, part.schema) as out:
            out.write_table(part)
    state = {"_data_files": [{"filename": name} for name in files], "_split": None}
    (folder / "state.json").write_text(json.dumps(state))
    (folder / "dataset_info.json").write_text(json.dumps({"features": FEATURES}))


def test_a_saved_data_set(tmp_path: Path) -> None:
    save(tmp_path / "one", table(), table(6))
    source = open_source(str(tmp_path / "one"))
    rows = rows_of(source)
    assert [row["text"] for row in rows] == [f"text {i}" for i in range(12)]
    assert [row["label"] for row in rows] == [None, "neg", "pos"] * 4
    assert [row["line"] for row in rows] == [*range(1, 7)] * 2
    assert {row["file"] for row in rows} == {
        str(tmp_path / f"one/data-0000{i}-of-00002.arrow") for i in (0, 1)
    }
    digest = source.digest()
    save(tmp_path / "two", table(), table(7))
    assert open_source(str(tmp_path / "two")).digest() != digest


def test_a_saved_dictionary_keeps_its_splits(tmp_path: Path) -> None:
    for place, name in enumerate(("train", "test")):
        save(tmp_path / "both" / name, table(6 * place))
    (tmp_path / "both/dataset_dict.json").write_text('{"splits": ["train", "test"]}')
    source = open_source(str(tmp_path / "both"))
    with warnings_heard() as heard:
        ingested(tmp_path / "drawn", source)
    [told] = heard
    assert told == (
        "the column 'split' is not heeded: train (6), test (6); "
        "data.split_column = 'split' does that"
    )
    assert [row["split"] for row in rows_of(source)] == ["train"] * 6 + ["test"] * 6
    examples = ingested(tmp_path / "out", source, split_column="split")
    assert examples.table("test")["text"].to_pylist() == [f"text {i}" for i in (7, 8, 10, 11)]
    assert examples.schema()["rows"] == {"train": 4, "validation": 0, "test": 4}


def test_arrow_files(tmp_path: Path) -> None:
    with pa.ipc.new_file(tmp_path / "a.feather", table().schema) as out:
        out.write_table(table())
    assert len(rows_of(open_source(str(tmp_path / "a.feather")))) == 6
    with pa.ipc.new_stream(tmp_path / "b.arrow", table().schema):
        pass
    [batch] = open_source(str(tmp_path / "b.arrow")).batches()
    assert batch.rows.schema.names == ["text", "label", "tags", "meta", "spans"]
    (tmp_path / "c.arrow").write_bytes(b"text,label\n")
    with pytest.raises(UserError, match=r"c\.arrow: can't be read as Arrow"):
        rows_of(open_source(str(tmp_path / "c.arrow")))


def test_saved_folders_that_are_damaged(tmp_path: Path) -> None:
    save(tmp_path / "one", table())
    (tmp_path / "one/state.json").write_text("{")
    with pytest.raises(UserError, match=r"state\.json: is damaged"):
        open_source(str(tmp_path / "one"))
    (tmp_path / "one/state.json").write_text('{"_indices_data_files": [{"filename": "x"}]}')
    with pytest.raises(UserError, match="selected by a second file"):
        open_source(str(tmp_path / "one"))
    (tmp_path / "dataset_dict.json").write_text('{"splits": ["train"]}')
    with pytest.raises(UserError, match=r"train.state\.json: no such file"):
        open_source(str(tmp_path))


def test_fasttext(tmp_path: Path) -> None:
    lines = "__label__sport __label__news Who won?\r\n"
    lines += "__label__art A \u00a0new\u2028play __label__news!\n\nNone\n"
    for name in ("train.txt", "a.ft"):
        (tmp_path / name).write_bytes(lines.encode() + b"__label__x caf\xe9\n")
        source = open_source(str(tmp_path / name))
        assert isinstance(source, FastText)
        rows = rows_of(source)
        assert [(row["text"], json.loads(row["label"]), row["line"]) for row in rows] == [
            ("Who won?", ["sport", "news"], 1),
            ("A \u00a0new\u2028play ", ["art", "news!"], 2),
            ("None", [], 4),
        ]
    many = ingested(tmp_path / "many", source, labels="many")
    assert [row["label"] for row in all_rows(many)] == ["news|sport", "art|news!", ""]
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder/test.txt").write_text("__label__a one\n__label__b two\n")
    one = ingested(tmp_path / "one", open_source(str(tmp_path / "folder")))
    assert [row["label"] for row in all_rows(one)] == ["a", "b"]


@pytest.mark.parametrize(
    ("lines", "fasttext"),
    [
        (["A text without a label.", "__label__a one"], True),
        (["one __label__a", "two __label__b"], True),
        (["one, two"] * 8 + ["__label__a one"], True),
        (["a__label__b one"], False),
        (["one, two"] * 40 + ["fastText has __label__ names before a text"], False),
    ],
)
def test_labels_anywhere_make_a_file_one_of_fasttext(
    tmp_path: Path, lines: list[str], fasttext: bool
) -> None:
    (tmp_path / "train.txt").write_text("\n".join(lines))
    for name in (tmp_path / "train.txt", tmp_path):
        assert isinstance(open_source(str(name)), FastText) == fasttext
