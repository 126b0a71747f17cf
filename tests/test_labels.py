"""What a label may be, of every kind, and what becomes of one that is none."""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ingesting import all_rows, ingested, quarantine
from textmill.artifact import SPLITS, Examples, LabelKind, Statistics
from textmill.components.cleaning import UNTOUCHED
from textmill.components.ingest import ingest
from textmill.components.label_column import read_labels
from textmill.components.name_lists import listed_names
from textmill.components.sources.by_name import open_source
from textmill.components.validate import validate
from textmill.config import build
from textmill.errors import UserError
from textmill.models.labels import encode_labels, label_names, names_in
from textmill.pipelines.data import Data
from textmill.pipelines.text_regression import Config, text_regression
from textmill.run import Run


def read(kind: LabelKind, column: pa.Array, *, text: str = "Ann slept.") -> list[Any]:
    """Returns of each row its label, or of one that has none the reason."""
    texts = pa.array([text] * len(column), pa.string())
    labels, reasons = read_labels(column, "label", kind, "|", texts)
    rows = zip(labels.to_pylist(), reasons.to_pylist(), strict=True)
    return [label if reason is None else {"reason": reason} for label, reason in rows]


def no(reason: str) -> dict[str, str]:
    return {"reason": reason}


def test_one_name() -> None:
    column = pa.array([" pos ", "a|b", "[x]", "(1)", "", None])
    missing = no("missing label")
    assert read("one", column) == ["pos", "a|b", "[x]", "(1)", missing, missing]
    assert read("one", pa.array([b"good", b"caf\xe9"])) == ["good", no("invalid encoding")]


def test_any_number_of_names() -> None:
    column = pa.array(["b|a", " a | a|", "", None, "|", "[not json|x", '["b", "a", ""]', "[]"])
    assert read("many", column) == ["a|b", "a", "", "", "", "[not json|x", "a|b", ""]
    lists = pa.array([["b", "a"], [], None, ["a", None, " a"]])
    assert read("many", lists) == ["a|b", "", "", "a"]
    assert read("many", pa.array([[1, 2], [10]])) == ["1|2", "10"]
    assert read("many", pa.array([[True], [False]])) == ["true", "false"]
    assert read("many", pa.array(["[1, 2.5, true, null]"])) == ["1|2.5|true"]
    assert read("many", pa.array([3, None])) == ["3", ""]


def test_names_that_would_come_apart_are_rejected() -> None:
    assert read("many", pa.array([["a|b", "c"], ["c"]])) == [
        no("invalid labels: 'a|b' holds the separator '|'"), "c"
    ]  # fmt: skip
    nested = no("invalid labels: a list of names expected, a list of lists found")
    assert read("many", pa.array(['[["a"], "b"]', '["b"]'])) == [nested, "b"]
    assert read("many", pa.array([[{"name": "a"}]])) == [
        no("invalid labels: names expected, an object with 'name' found")
    ]
    assert read("many", pa.array(["[" * 100_000])) == ["[" * 100_000]  # too deep: a name after all


def test_numbers() -> None:
    column = pa.array([" 3.50", "-1e3", "4", "1e-400", "four", "3,5", "nan", "inf", "", None])
    none, missing = no("label is no number"), no("missing label")
    assert read("number", column) == [
        "3.5", "-1000.0", "4.0", "0.0", none, none, none, none, missing, missing
    ]  # fmt: skip
    assert read("number", pa.array([1, 2], pa.int8())) == ["1.0", "2.0"]
    assert read("number", pa.array([0.1, np.nan])) == ["0.1", missing]
    assert read("number", pa.array([0.1], pa.float32())) == ["0.1"]
    assert read("number", pa.array([[1.0], [], [1.0, 2.0]])) == [
        "1.0", none, no("label is no number: a list of 2")
    ]  # fmt: skip
    assert read("number", pa.array(["[0.5]", "Infinity"])) == ["0.5", none]
    assert read("number", pa.array(["1e39", "1e300"])) == [
        no("label is too large a number: beyond 1e+30")
    ] * 2  # fmt: skip


LISTS = [
    ("['sport', 'news']", ["sport", "news"]),
    ('["sport", "news"]', ["sport", "news"]),
    ("('sport', 'news')", ["sport", "news"]),
    ("{'sport', 'news'}", ["sport", "news"]),
    ("['sport' 'news']", ["sport", "news"]),  # as numpy prints it; Python reads 'sportnews'
    ("array(['sport', 'news'], dtype=object)", ["sport", "news"]),
    ("[1, 2.5]", ["1", "2.5"]),
    ("['it\\'s', \"so\"]", ["it's", "so"]),
    ("['sport']", ["sport"]),
    ("('sport',)", ["sport"]),
    ("['a, b']", ["a, b"]),
    ("[None, nan]", []),
    ("[]", []),
    ("set()", []),
    ("()", []),
    ("{}", []),
    ("frozenset({'sport'})", ["sport"]),
    ("Index(['sport', 'news'], dtype='object')", ["sport", "news"]),
    ('[["sport"]]', ["sport"]),
    ('{"choices": ["sport", "news"]}', ["sport", "news"]),
    ('{"choices": "sport"}', ["sport"]),
    ("__label__sport __label__news", ["sport", "news"]),
    ("__label__sport", ["sport"]),
]


@pytest.mark.parametrize(("given", "names"), LISTS, ids=lambda value: str(value)[:30])
def test_a_list_is_a_list(given: str, names: list[str]) -> None:
    assert read("many", pa.array([given])) == ["|".join(sorted(names))]
    several = no(f"several labels: {', '.join(names)}")
    one = names[0] if names else no("missing label")
    assert read("one", pa.array([given])) == [several if len(names) > 1 else one]


def test_what_looks_like_a_list_and_is_none() -> None:
    kinds: tuple[tuple[LabelKind, str], ...] = (("one", "label"), ("many", "labels"))
    for written in (
        "[sport, news]", "{sport,news}", "{'a': 1, 'b': 2}", '{"a": 1}', '[["a"], ["b"]]',
        "[0, 1, 0]", "[0. 0. 1.]",
        '[[0, 3, "who"]]',
    ):  # fmt: skip
        for kind, word in kinds:
            [found] = read(kind, pa.array([written]))
            assert found["reason"].startswith(f"invalid {word}: ")
    assert read("one", pa.array(["(other)", "[other", "a [b, c]"])) == [
        "(other)", "[other", "a [b, c]"
    ]  # fmt: skip


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=5), max_size=4))
@example(["0", "0"])
def test_names_as_python_prints_them(names: list[str]) -> None:
    expected = [name.strip() for name in names if name.strip()]
    assert listed_names(repr(names)) == expected
    assert listed_names(json.dumps(names)) == expected
    if names:
        assert listed_names(str(tuple(names))) == expected


def test_labels_that_are_lists_or_objects() -> None:
    assert read("one", pa.array([["pos"], [], None])) == [
        "pos", no("missing label"), no("missing label")
    ]  # fmt: skip
    assert read("one", pa.array([["pos", "neg"]])) == [no("several labels: pos, neg")]
    assert read("many", pa.array([{"choices": ["b", "a"]}])) == ["a|b"]
    assert read("one", pa.array([{"name": "a"}])) == [
        no("invalid label: names expected, an object with 'name' found")
    ]
    labelled = [[{"start": 0, "end": 3, "labels": ["who"], "text": "Ann"}]]  # of Label Studio
    assert read("spans", pa.array(labelled)) == ['[[0, 3, "who"]]']


SPANS = [
    ('[[0, 3, "who"]]', '[[0, 3, "who"]]'),
    ('[{"start": 4, "end": 9, "label": "did"}, [0, 3, " who "]]', '[[0, 3, "who"], [4, 9, "did"]]'),
    ("[]", "[]"),
    ('[[0, 3, "a"], [3, 4, "b"]]', '[[0, 3, "a"], [3, 4, "b"]]'),  # side by side
    ('[[0, 10, "all"]]', '[[0, 10, "all"]]'),
    ("[(0, 3, 'who'), (4, 9, \"did\")]", '[[0, 3, "who"], [4, 9, "did"]]'),  # as Python prints it
    ("[{'start': 0, 'end': 3, 'label': 'who', 'x': None}]", '[[0, 3, "who"]]'),
    ("{'entities': [(0, 3, 'who',)]}", '[[0, 3, "who"]]'),  # of spaCy
    ('[[0, 11, "who"]]', no("invalid spans: 0 to 11 of 10 characters")),
    ('[[-3, 3, "who"]]', no("invalid spans: -3 to 3 of 10 characters")),
    ('[[3, 3, "who"]]', no("invalid spans: 3 to 3 of 10 characters")),
    ('[[0, 4, "a"], [3, 5, "b"]]', no("invalid spans: 'b' at 3 lies within another")),
    ('[[0, 3, "a"], [0, 3, "b"]]', no("invalid spans: 'b' at 0 lies within another")),
    *(
        (wrong, no("invalid spans: a list of [start, end, label] expected"))
        for wrong in (
            "{}[", "7", '"who"', '{"start": 0}', '[[0, 3]]', '[[0, 3, ""]]', '[[0, 3, " "]]',
            '[[0.0, 3, "who"]]', '[["0", 3, "who"]]', '[[true, 3, "who"]]', '[[0, 3, null]]',
            '[{"start": 0, "end": 3}]', "[" * 100_000, "0-3 who", "-" * 100_000, "(" * 100_000,
            "[(0, 3, who)]", "['" * 9999,
        )
    ),
    ("", no("missing label")),
    (None, no("missing label")),
]  # fmt: skip


@pytest.mark.parametrize(("given", "expected"), SPANS, ids=lambda value: str(value)[:30])
def test_spans(given: str | None, expected: Any) -> None:
    assert read("spans", pa.array([given], pa.string())) == [expected]


def test_spans_of_lists_and_structures() -> None:
    structures = [[{"start": 0, "end": 3, "label": "who"}], None, []]
    assert read("spans", pa.array(structures)) == [
        '[[0, 3, "who"]]', no("missing label"), "[]"
    ]  # fmt: skip
    assert read("spans", pa.array([[{"start": 0, "end": 3, "name": "who"}]])) == [
        no("invalid spans: a list of [start, end, label] expected")
    ]


def test_spans_count_characters_not_bytes() -> None:
    text = "Zoë 👍🏽 好看"
    last = f'[[{text.index("好")}, {len(text)}, "x"]]'
    assert read("spans", pa.array([last]), text=text) == [last]


@pytest.mark.parametrize("suffix", ["jsonl", "parquet"])
def test_reasons_have_a_file_and_a_line(tmp_path: Path, suffix: str) -> None:
    rows: list[dict[str, Any]] = [
        {"text": "Ann slept.", "label": [{"start": 0, "end": 3, "label": "who"}]},
        {"text": "Bob", "label": [{"start": 0, "end": 9, "label": "who"}]},
        {"text": "Cy woke.", "label": []},
        {"text": "Di", "label": [{"start": 0, "end": 2, "label": "x"}] * 2},
        {"text": "Ed", "label": None},
    ]
    file = tmp_path / f"a.{suffix}"
    if suffix == "jsonl":
        file.write_text("\n".join(map(json.dumps, rows)))
    else:
        pq.write_table(pa.Table.from_pylist(rows), file)
    source = open_source(str(file))
    examples = ingested(tmp_path / "out", source, labels="spans", cleaning=UNTOUCHED)
    assert [(row["text"], row["label"]) for row in all_rows(examples)] == [
        ("Ann slept.", '[[0, 3, "who"]]'), ("Cy woke.", "[]")
    ]  # fmt: skip
    assert [(r["file"], r["line"], r["reason"]) for r in quarantine(examples)] == [
        (str(file), 2, "invalid spans: 0 to 9 of 3 characters"),
        (str(file), 4, "invalid spans: 'x' at 0 lies within another"),
        (str(file), 5, "missing label"),
    ]
    assert examples.schema()["rejected"] == {"invalid spans": 2, "missing label": 1}
    with pytest.raises(UserError, match="cleaning would move them"):
        ingest(Examples(tmp_path / "cleaned"), source, labels="spans")


def test_bad_numbers_go_to_quarantine_with_what_they_were(tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    file.write_text("text,stars\nfine,4\npoor,one\nodd,inf\nplain,\n")
    source = open_source(str(file))
    examples = ingested(tmp_path / "out", source, label="stars", labels="number")
    assert [row["stars"] for row in all_rows(examples)] == ["4.0"]
    assert [(r["line"], r["reason"], r["label"]) for r in quarantine(examples)] == [
        (3, "label is no number", "one"),
        (4, "label is no number", "inf"),
        (5, "missing label", ""),
    ]


def test_the_order_of_labels_is_no_conflict(tmp_path: Path) -> None:
    file = tmp_path / "a.jsonl"
    labels = [["b", "a"], ["a", "b"], "a|b", ["a"], ["b", "a", "b"]]
    file.write_text("\n".join(json.dumps({"text": "same", "label": each}) for each in labels))
    source = open_source(str(file))
    examples = ingested(tmp_path / "out", source, labels="many", conflicts="majority")
    assert [row["label"] for row in all_rows(examples)] == ["a|b"]
    assert examples.schema()["duplicates"] == 3
    assert [row["reason"] for row in quarantine(examples)] == [
        "conflicting labels: 'a' outvoted by 'a|b', 4 to 1"
    ]


def pairs(folder: Path, rows: list[tuple[str, ...]], **options: Any) -> Examples:
    file = io.StringIO(newline="")
    csv.writer(file).writerows([("text", "other", "label"), *rows])
    (folder / "pairs.csv").write_text(file.getvalue(), newline="")
    return ingested(folder / "out", open_source(str(folder / "pairs.csv")), pair="other", **options)


def test_pairs_are_equal_if_both_texts_are(tmp_path: Path) -> None:
    rows = [("a", "b", "x"), ("a", "c", "x"), ("b", "a", "x"), (" a", "b<br>", "x"), ("ab", "", "")]
    examples = pairs(tmp_path, rows)
    assert [(row["text"], row["other"]) for row in all_rows(examples)] == [
        ("a", "b"), ("a", "c"), ("b", "a")
    ]  # fmt: skip
    assert examples.schema()["duplicates"] == 1
    assert examples.schema()["pair"] == "other"


def test_conflicts_are_of_pairs(tmp_path: Path) -> None:
    rows = [("a", "b", "x"), ("a", "b", "y"), ("a", "b", "x"), ("a", "c", "y")]
    examples = pairs(tmp_path, rows)
    assert [(r["text"], r["other"], r["label"]) for r in all_rows(examples)] == [
        ("a", "b", "x"), ("a", "c", "y")
    ]  # fmt: skip
    assert [r["line"] for r in quarantine(examples)] == [3]


def test_a_pair_that_misses_a_text(tmp_path: Path) -> None:
    rows = [("a", "b", "x"), ("a", "", "x"), ("", "b", "x"), ("a", "<br>", "x")]
    examples = pairs(tmp_path, rows)
    assert [(r["line"], r["reason"]) for r in quarantine(examples)] == [
        (3, "missing text"), (4, "missing text"), (5, "empty after cleaning")
    ]  # fmt: skip
    source = open_source(str(tmp_path / "pairs.csv"))
    with pytest.raises(UserError, match=r"(?s)no column 'othr'.*name \"other\" in data.text"):
        ingest(Examples(tmp_path / "wrong"), source, pair="othr")


def test_no_pair_is_in_two_splits(tmp_path: Path) -> None:
    rows = [(f"first {i % 40}", f"second {i % 37}", "xy"[i % 2]) for i in range(1480)]
    examples = pairs(tmp_path, rows * 2, split={"train": 0.5, "validation": 0.2, "test": 0.3})
    where: dict[tuple[str, str], set[str]] = {}
    for split in SPLITS:
        for row in examples.table(split).to_pylist():
            where.setdefault((row["text"], row["other"]), set()).add(split)
    assert len(where) == 1480
    assert all(len(splits) == 1 for splits in where.values())
    # Both texts decide: rows of one first text are spread.
    spread = [{s for (a, _), found in where.items() if a == f"first {i}" for s in found}
              for i in range(40)]  # fmt: skip
    assert all(len(splits) == 3 for splits in spread)


def test_a_column_can_be_only_one_thing(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("text,label\na,b\n")
    source, out = open_source(str(tmp_path / "a.csv")), Examples(tmp_path / "out")
    for options in ({"pair": "text"}, {"pair": "label"}, {"label": "text"}):
        with pytest.raises(UserError, match="are both the column"):
            ingest(out, source, **options)


def test_ids_are_places_among_sorted_names() -> None:
    column = pa.array(["b|a", "", "c", "a"])
    names = label_names("many", [column, pa.array(["d"])], "|")
    assert names == ["a", "b", "c", "d"]
    (values, starts), unknown = encode_labels("many", column, names, "|")
    found = [sorted(values[a:b].tolist()) for a, b in pairwise(starts)]
    assert found == [[0, 1], [], [2], [0]]
    assert not unknown
    assert encode_labels("many", column, ["a", "c"], "|")[1] == ["b"]
    assert encode_labels("one", pa.array(["y", "x"]), ["x", "y"], "")[0].values.tolist() == [1, 0]
    assert encode_labels("one", pa.array(["y", "z"]), ["x", "y"], "")[1] == ["z"]
    numbers = encode_labels("number", pa.array(["1.5", "-1e+30"]), [], "")[0].values
    assert numbers.dtype == np.float32
    assert np.isfinite(numbers).all()


def test_ids_of_a_slice_are_its_own() -> None:
    """Arrow hands over slices of larger arrays."""
    column = pa.array(["c", "a|b", "", "b"])[1:3]
    (values, starts), _ = encode_labels("many", column, ["a", "b", "c"], "|")
    assert (values.tolist(), starts.tolist()) == ([0, 1], [0, 2, 2])


def test_names_of_spans_are_tags() -> None:
    column = pa.array(['[[0, 3, "who"], [4, 9, "did"]]', "[]", '[[0, 3, "who"]]'])
    assert label_names("spans", [column], "") == ["O", "B-did", "I-did", "B-who", "I-who"]
    counts = Counter(n for label in column.to_pylist() for n in names_in("spans", label, ""))
    assert counts == {"who": 2, "did": 1}
    assert label_names("number", [pa.array(["1.0"])], "") == []


def test_what_a_task_cannot_take_is_told_before_it_is_learnt(tmp_path: Path) -> None:
    data = Data(source="rows.csv", text=("a", "b", "c"))
    with pytest.raises(UserError, match=r"data.text names 3 columns"):
        data.texts()
    config = {
        "pipeline": "text_regression",
        "workspace": "runs",
        "data": {"source": "rows.csv", "multi_label": True},
        "model": {"scratch": "tiny"},
        "push": {"to": "models"},
    }
    with pytest.raises(UserError, match=r"(?s)multi_label is for names.*text_regression"):
        text_regression(Run(tmp_path), build(Config, config, name="a.toml"))
    (tmp_path / "a.csv").write_text("text,other,label\na,b,x\n")
    source, out = open_source(str(tmp_path / "a.csv")), Examples(tmp_path / "out")
    with pytest.raises(UserError, match="spans are of one text, and rows have two"):
        ingest(out, source, pair="other", labels="spans", cleaning=UNTOUCHED)
    with pytest.raises(UserError, match=r"(?s)and a number.*is no number \(1\); the first, .*'x'"):
        ingest(out, source, labels="number")


@pytest.mark.parametrize("sign", [";", ","])
def test_a_separator_that_is_not_the_datas_is_named(tmp_path: Path, sign: str) -> None:
    names = ["a", f"a{sign}b", f"b{sign}c", f"a{sign}c"]
    lines = [f'"text {i}","{names[i % 4]}"' for i in range(400)]
    (tmp_path / "a.csv").write_text("\n".join(["text,label", *lines]))
    source, statistics = open_source(str(tmp_path / "a.csv")), []
    for name, separator in (("wrong", "|"), ("right", sign)):
        examples = ingested(tmp_path / name, source, labels="many", separator=separator)
        out = Statistics(tmp_path / f"{name} statistics")
        out.path.mkdir()
        validate(out, examples)
        statistics.append(out.read()["warnings"])
    assert f"hold a {sign!r}: is it data.label_separator?" in statistics[0][0]
    assert statistics[1] == []
