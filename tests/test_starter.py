"""`textmill new`: a config for a strange table, which parses and whose run begins."""

from __future__ import annotations

import csv
import json
import tomllib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from test_cli import textmill
from textmill.artifact import Examples, Statistics
from textmill.components.ingest import ingest
from textmill.components.validate import validate
from textmill.errors import UserError
from textmill.pipelines.local import read_job
from textmill.pipelines.starter import write_starter

ROWS = 60
WORDS = [
    "film", "house", "rain", "quiet", "sharp", "bad", "warm", "old", "dark", "end", "fast", "paper",
    "light", "stone", "glass",
]  # fmt: skip


class Began(Exception):
    """The data was read and found good."""


def sentence(place: int, length: int = 6) -> str:
    return " ".join([*(WORDS[(7 * place + 3 * i) % len(WORDS)] for i in range(length)), str(place)])


def begin(config: Path, folder: Path) -> Examples:
    """Runs the first two steps of the pipeline that a config is of."""
    made = {"ingest": Examples(folder / "ingest"), "validate": Statistics(folder / "validate")}

    def run(step: Callable[..., None], *given: Any, **named: Any) -> Any:
        if step not in (ingest, validate):
            raise Began
        out = made[step.__name__]
        step(out, *given, **named)
        return out

    job = read_job(config)
    with pytest.raises(Began):
        job.pipeline(run, job.config)  # type: ignore[arg-type]
    found = made["ingest"]
    assert isinstance(found, Examples)
    return found


def written(folder: Path, source: Path | str) -> dict[str, Any]:
    """Returns the config for a source, whose run has begun."""
    file = write_starter(folder / "made", str(source), None).file
    begin(file, folder / "begun")
    return tomllib.loads(file.read_text("utf-8"))


def table(file: Path, columns: dict[str, Sequence[Any]], delimiter: str = ",") -> Path:
    with file.open("w", encoding="utf-8", newline="") as out:
        writer = csv.writer(out, delimiter=delimiter)
        writer.writerow(columns)
        writer.writerows(zip(*columns.values(), strict=True))
    return file


def lines(file: Path, rows: Sequence[dict[str, Any]]) -> Path:
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return file


TEXTS = [sentence(i) for i in range(ROWS)]
CLASSES = [f"c{i % 3}" for i in range(ROWS)]
IDS = [str(100 + 3 * i) for i in range(ROWS)]


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        # What comes beside a text and a label, in an order that puts it first.
        ({"split": ["train", "test", "train", "train"] * 15, "tweet": TEXTS, "topic_name": CLASSES},
         {"text": "tweet", "label": "topic_name", "split_column": "split"}),
        ({"text": TEXTS, "part": ["Train", "DEV", " test ", "train", "train"] * 12, "y": CLASSES},
         {"text": "text", "label": "y", "split_column": "part"}),
        ({"text": TEXTS, "fold": ["0", "1"] * 30, "stance": CLASSES},
         {"text": "text", "label": "stance"}),
        ({"text": TEXTS, "set": ["train", "holdout"] * 30, "kind": CLASSES},
         {"text": "text", "label": "kind"}),
        # Whatever the column is called, and in other words.
        ({"text": TEXTS, "phase": ["training", "testing"] * 30, "kind": CLASSES},
         {"text": "text", "label": "kind"}),
        ({"text": TEXTS, "role": ["Training", "PublicTest", "Private Test"] * 20, "kind": CLASSES},
         {"text": "text", "label": "kind"}),
        ({"text": TEXTS, "dataset": ["train", "test", "unsupervised"] * 20, "kind": CLASSES},
         {"text": "text", "label": "kind"}),
        ({"text": TEXTS, "isTrain": ["True", "False"] * 30, "kind": CLASSES},
         {"text": "text", "label": "kind"}),
        ({"text": TEXTS, "subject": ["staff training", "product testing", "sales"] * 20},
         {"text": "text", "label": "subject"}),
        ({"text": TEXTS, "stage": ["design", "training", "testing", "support"] * 15},
         {"text": "text", "label": "stage"}),
        ({"text": TEXTS, "answer": ["Accept", "reject"] * 30, "label": CLASSES},
         {"text": "text", "label": "label", "where": {"answer": "Accept"}}),
        ({"id": IDS, "": IDS, "text": TEXTS, "category": CLASSES},
         {"text": "text", "label": "category"}),
        ({"url": [f"https://example.com/a/long/path/of/a/page/{i}?q=1" for i in range(ROWS)],
          "date": [f"2026-01-{1 + i % 28:02} 10:00" for i in range(ROWS)],
          "author": ["Ann Lee", "Bo Ek"] * 30, "body": TEXTS, "topic": CLASSES},
         {"text": "body", "label": "topic"}),
        ({"text": TEXTS, "label": CLASSES, "uuid": [f"{i:032x}" for i in range(ROWS)]},
         {"text": "text", "label": "label"}),
        # Numbers: few and from 0 or 1 they are classes.
        ({"text": TEXTS, "score": [str(i / 7) for i in range(ROWS)]},
         {"pipeline": "text_regression", "text": "text", "label": "score"}),
        ({"text": TEXTS, "stars": [str(1 + i % 5) for i in range(ROWS)]},
         {"text": "text", "label": "stars"}),
        ({"text": TEXTS, "label": [str(i % 20) for i in range(ROWS)], "likes": IDS[::-1]},
         {"text": "text", "label": "label"}),
        # Several labels in a field.
        ({"text": TEXTS, "tags": ["a|b", "b", "a|c", "c|b", "b|a|c"] * 12},
         {"text": "text", "label": "tags", "multi_label": True}),
        ({"text": TEXTS, "tags": ["a, b", "b", "a, c", "c, b", "b,a"] * 12},
         {"text": "text", "label": "tags", "multi_label": True, "label_separator": ","}),
        ({"text": TEXTS, "tags": ['["a", "b"]', '["b"]', '["c", "a"]'] * 20},
         {"text": "text", "label": "tags", "multi_label": True}),
        ({"text": TEXTS, "tags": ["['a|b', 'b']", "['b']", "['c']"] * 20},
         {"text": "text", "label": "tags", "multi_label": True, "label_separator": ";"}),
        ({"text": TEXTS, "topic": ["Sport, local", "Arts, local", "Politics"] * 20},
         {"text": "text", "label": "topic"}),
        ({"text": TEXTS, "label": ['["a"]', "['b']", '["c"]'] * 20},
         {"text": "text", "label": "label"}),
        # Spans, whatever is written beside them.
        ({"text": TEXTS,
          "spans": ['[[0, 4, "X"]]', "[]", '[{"start": 0, "end": 3, "label": "Y"}]'] * 20,
          "answer": ["accept", "accept", "reject", "ignore"] * 15},
         {"pipeline": "token_classification", "text": "text", "label": "spans",
          "where": {"answer": "accept"}}),
        ({"text": TEXTS, "label": ["[(0, 4, 'X')]", "{'entities': [(0, 3, 'Y')]}", "[]"] * 20},
         {"pipeline": "token_classification", "text": "text", "label": "label"}),
        ({"text": TEXTS, "label": ['[{"start": 0, "end": 3, "labels": ["X"]}]', "[]"] * 30},
         {"pipeline": "token_classification", "text": "text", "label": "label"}),
        # Two texts.
        ({"premise": TEXTS, "hypothesis": TEXTS[::-1], "label": CLASSES},
         {"text": ["premise", "hypothesis"], "label": "label"}),
        ({"en": TEXTS, "de": TEXTS[::-1]},
         {"pipeline": "seq2seq", "text": "en", "target": "de"}),
        ({"domain": CLASSES, "source": TEXTS, "target": TEXTS[::-1],
          "split": ["train", "test"] * 30},
         {"pipeline": "seq2seq", "text": "source", "target": "target", "split_column": "split"}),
        ({"id": IDS, "text_en": TEXTS, "text_ES": TEXTS[::-1], "domain": CLASSES},
         {"pipeline": "seq2seq", "text": "text_en", "target": "text_ES"}),
        ({"English": TEXTS, "Spanish": TEXTS[::-1]},
         {"pipeline": "seq2seq", "text": "English", "target": "Spanish"}),
        ({"text": TEXTS, "author": ["Ann", "Bo"] * 30, "mood": CLASSES,
          "created_at": [str(1700000000 + 7919 * i % 1009) for i in range(ROWS)]},
         {"text": "text", "label": "mood"}),
        ({"article": TEXTS, "summary": [sentence(i, 2) for i in range(ROWS)]},
         {"pipeline": "seq2seq", "text": "article", "target": "summary"}),
        ({"instruction": TEXTS, "output": TEXTS[::-1], "category": CLASSES},
         {"pipeline": "text_generation", "prompt": "instruction", "response": "output"}),
        ({"question": TEXTS, "answer": TEXTS[::-1]},
         {"pipeline": "text_generation", "prompt": "question", "response": "answer"}),
        # Texts of one word, and without spaces.
        ({"name": [f"{a}{b}" for a in "KLMNPR" for b in WORDS[:10]], "language": CLASSES},
         {"text": "name", "label": "language"}),
        ({"text": [f"这部电影第{i}次看还是很好" for i in range(ROWS)], "标签": ["好", "坏"] * 30},
         {"text": "text", "label": "标签"}),
    ],
)  # fmt: skip
@pytest.mark.parametrize("form", ["csv", "jsonl", "parquet"])
def test_columns_are_what_they_hold(
    tmp_path: Path, columns: dict[str, Sequence[Any]], expected: dict[str, Any], form: str
) -> None:
    if form == "csv":
        source = table(tmp_path / "d.csv", columns)
    elif form == "jsonl":
        rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
        source = lines(tmp_path / "d.jsonl", rows)
    else:
        source = tmp_path / "d.parquet"
        pq.write_table(pa.table(columns), source)
    config = written(tmp_path, source)
    assert config["pipeline"] == expected.get("pipeline", "text_classification")
    usual = {"source", "split"}
    wanted = {key: value for key, value in expected.items() if key != "pipeline"}
    assert {k: v for k, v in config["data"].items() if k not in usual} == wanted


names = st.text(min_size=1, max_size=12).filter(lambda name: "\r" not in name and "\0" not in name)


@settings(max_examples=40, deadline=None)
@given(
    text=names,
    label=names,
    classes=st.lists(names.filter(str.strip), min_size=2, max_size=3, unique_by=str.strip),
    folder=st.sampled_from(['a "b"', "c\\d", "e  # f", "[g]", "h'i", "\u2028j\u202e", "k\nl"]),
)
def test_config_parses_and_its_run_begins_whatever_the_names(
    tmp_path_factory: pytest.TempPathFactory,
    text: str,
    label: str,
    classes: list[str],
    folder: str,
) -> None:
    tmp_path = tmp_path_factory.mktemp("names")
    (tmp_path / folder).mkdir()
    rows = [{text: sentence(i), label + "2": classes[i % len(classes)]} for i in range(ROWS)]
    source = lines(tmp_path / folder / "d.jsonl", rows)
    config = written(tmp_path / folder, source)
    assert config["data"]["source"] == str(source)
    assert config["data"]["text"] == text
    assert config["data"]["label"] == label + "2"


@pytest.mark.parametrize("delimiter", [";", "\t", "|"])
def test_delimiter_is_proposed(tmp_path: Path, delimiter: str) -> None:
    columns = {"text": [f"well, {text}" for text in TEXTS], "label": CLASSES}
    config = written(tmp_path, table(tmp_path / "d.csv", columns, delimiter))
    assert config["data"]["delimiter"] == delimiter


def test_table_that_excel_calls_unicode_text_is_read(tmp_path: Path) -> None:
    file = table(tmp_path / "d.csv", {"text": TEXTS, "label": CLASSES}, "\t")
    file.write_bytes(file.read_text("utf-8").encode("utf-16"))
    data = written(tmp_path, file)["data"]
    assert (data["encoding"], data["delimiter"]) == ("utf-16", "\t")


def test_first_line_that_names_the_delimiter_is_enough(tmp_path: Path) -> None:
    file = table(tmp_path / "d.csv", {"text": TEXTS, "label": CLASSES}, ";")
    file.write_text("sep=;\n" + file.read_text())
    assert "delimiter" not in written(tmp_path, file)["data"]


def test_header_with_line_break_and_label_with_control_character(tmp_path: Path) -> None:
    columns = {"Review\n(English)": TEXTS, 'what "kind"\\': ["a\vb", "c\x7fd", "e  # f"] * 20}
    data = written(tmp_path, table(tmp_path / "d.csv", columns))["data"]
    assert (data["text"], data["label"]) == tuple(columns)
    said = (tmp_path / "made" / "textmill.toml").read_text()
    assert r"3 values such as a\x0bb, c\x7fd, e  # f" in said


def test_table_without_a_header_gets_names(tmp_path: Path) -> None:
    file = table(tmp_path / "d.csv", {sentence(99): TEXTS, "c1": CLASSES})
    data = written(tmp_path, file)["data"]
    assert data["columns"] == ["column_1", "column_2"]
    assert (data["text"], data["label"]) == ("column_1", "column_2")


def test_only_columns_of_every_file_are_taken(tmp_path: Path) -> None:
    table(tmp_path / "a.csv", {"text": TEXTS, "kind": CLASSES, "extra": CLASSES})
    table(tmp_path / "b.csv", {"text": [t + " b" for t in TEXTS], "kind": CLASSES})
    data = written(tmp_path, f"{tmp_path}/*.csv")["data"]
    assert data["label"] == "kind"
    said = (tmp_path / "made" / "textmill.toml").read_text()
    assert "# left out: extra (not in " in said


def test_nested_rows_are_reached_into(tmp_path: Path) -> None:
    rows = [{"translation": {"en": t, "fr": t[::-1]}, "id": i} for i, t in enumerate(TEXTS)]
    data = written(tmp_path, lines(tmp_path / "d.jsonl", rows))["data"]
    assert (data["text"], data["target"]) == ("translation.en", "translation.fr")


def test_conversations_are_learned_to_be_answered(tmp_path: Path) -> None:
    rows = [
        {"messages": [{"role": "user", "content": t}, {"role": "assistant", "content": "Yes."}]}
        for t in TEXTS
    ]
    config = written(tmp_path, lines(tmp_path / "d.jsonl", rows))
    assert config["pipeline"] == "text_generation"
    assert config["data"]["messages"] == "messages"


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"text": TEXTS}, "no column looks like a label"),
        ({"text": TEXTS, "label": [f"name {i}" for i in range(ROWS)]}, "label: texts"),
        ({"text": TEXTS, "label": ["one"] * ROWS}, "label: one value in all rows"),
        ({"text^label": TEXTS}, "set data.delimiter to the character that parts them"),
        ({"text": TEXTS, "score": [f"{i / 7:.2f}".replace(".", ",") for i in range(ROWS)]},
         "score: numbers, but not written as 1234.5 is"),
        ({"text": TEXTS, "n": [f"{1000 + 37 * i:,}" for i in range(ROWS)]}, "n: numbers, but not"),
        ({"text": TEXTS, "answer": ["accept", "ignore"] * 30}, "whether an annotator accepted"),
        ({"label": CLASSES, "n": IDS}, "no column with text"),
    ],
)  # fmt: skip
def test_what_cannot_be_known_is_asked(
    tmp_path: Path, columns: dict[str, Sequence[str]], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        write_starter(tmp_path / "made", str(table(tmp_path / "d.csv", columns)), None)
    assert not (tmp_path / "made").exists()


def test_label_of_some_files_is_not_replaced_by_another_column(tmp_path: Path) -> None:
    table(tmp_path / "train.csv", {"text": TEXTS, "label": CLASSES, "lang": ["en", "fr"] * 30})
    table(tmp_path / "test.csv", {"text": TEXTS, "lang": ["en", "fr"] * 30})
    with pytest.raises(UserError, match="name the files that have label"):
        write_starter(tmp_path / "made", f"{tmp_path}/*.csv", None)


def test_files_that_are_read_each_in_its_way_are_taken(tmp_path: Path) -> None:
    table(tmp_path / "a.csv", {"text": TEXTS, "label": CLASSES})
    table(tmp_path / "b.tsv", {"label": CLASSES, "text": [t + " b" for t in TEXTS]}, "\t")
    sep = table(tmp_path / "c.csv", {"text": [t + " c" for t in TEXTS], "label": CLASSES}, "|")
    sep.write_text("sep=|\n" + sep.read_text())
    assert "delimiter" not in written(tmp_path, f"{tmp_path}/?.?sv")["data"]


def test_files_with_different_delimiters_are_refused(tmp_path: Path) -> None:
    table(tmp_path / "a.csv", {"text": TEXTS, "label": CLASSES})
    table(tmp_path / "b.csv", {"text": TEXTS, "label": CLASSES}, ";")
    with pytest.raises(UserError, match="different delimiters"):
        write_starter(tmp_path / "made", f"{tmp_path}/*.csv", None)


def test_table_in_another_encoding_is_refused(tmp_path: Path) -> None:
    file = table(tmp_path / "d.csv", {"text": [f"é {text}" for text in TEXTS], "label": CLASSES})
    file.write_bytes(file.read_text("utf-8").encode("cp1252"))
    with pytest.raises(UserError, match="60 of 60 rows can't be read"):
        write_starter(tmp_path / "made", str(file), None)


def test_command_says_what_it_chose_and_what_it_left_out(tmp_path: Path) -> None:
    file = table(tmp_path / "d.csv", {"id": IDS, "text": TEXTS, "label": CLASSES})
    file.write_text(file.read_text() + "a row of one field\n")
    said = textmill("new", "a b", "d.csv", cwd=tmp_path)
    assert said.stdout.splitlines() == [
        "wrote a b/textmill.toml",
        'text_classification: text = "text", label = "label"',
        "left out: id (a different value in each row)",
        (
            "rows that can't be read: 1; the first, d.csv line 62: wrong number of fields: "
            "3 expected, 1 found"
        ),
        "next: textmill run 'a b/textmill.toml'",
    ], said.stderr
