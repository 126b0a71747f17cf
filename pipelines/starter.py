"""Looks at data and writes a config that runs as it is."""

from __future__ import annotations

import codecs
import csv
import shlex
import statistics
from collections.abc import Iterable, Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from textmill.components.sources.by_name import TABLES, open_source
from textmill.components.sources.csv import Delimited
from textmill.components.sources.dialect import guess_delimiter, separator
from textmill.components.sources.jsonl import JsonLines
from textmill.components.sources.source import encodable, opening
from textmill.components.sources.text_file import open_text
from textmill.errors import UserError, one_of
from textmill.pipelines.guess import Guess, guess
from textmill.pipelines.kinds import Table, look_at
from textmill.toml import one_line, toml_value

LINES = 200  # of a file that show its delimiter
COMMENTS = 37  # the column in which they begin


class Starter(NamedTuple):
    """A config that was written.

    Attributes:
        file: The config.
        chosen: What it says of the data, in a line.
        left_out: The columns that it does not use, in a line, "" without any.
        unread: How many rows can't be read, in a line, "" without any.
    """

    file: Path
    chosen: str
    left_out: str
    unread: str


class _Line(NamedTuple):
    text: str
    comment: str = ""


def write_starter(folder: Path, data: str | None, preset: str | None) -> Starter:
    """Writes `folder`/textmill.toml for some data.

    Args:
        folder: Where the config goes; it is made if it is not there.
        data: A source as `[data] source` takes it; None: the one data file in `folder`.
        preset: Weights to start from; None: a new small model.

    Raises:
        UserError: There is no data, no column can be a text or a label, or a config is there.
    """
    source = data or _only_file(folder)
    file = folder / "textmill.toml"
    if not encodable(f"{source}{file}{preset}"):
        raise UserError(
            f"{one_line(source)}: no name for a config",
            expected="names in UTF-8, as TOML is",
            received=repr(source),
            fix="rename the file or the folder",
        )
    reading = _reading(source)
    table = look_at(open_source(source, **reading))
    if isinstance(open_source(source), Delimited) and (columns := _without_header(table)):
        reading |= columns
        table = look_at(open_source(source, **reading))
    found = guess(table, source)
    if file.exists():
        raise UserError(
            f"{file}: there already",
            expected="a folder without a config",
            received=str(file),
            fix=f"remove it, or name another folder than {folder}",
        )
    lines = _config(source, reading, table, found, file, preset)
    folder.mkdir(parents=True, exist_ok=True)
    file.write_text("".join(map(_aligned, lines)), "utf-8", newline="\n")
    values = {**reading, **found.data}
    chosen = ", ".join(f"{key} = {toml_value(value)}" for key, value in values.items())
    return Starter(file, f"{found.pipeline}: {chosen}", _left_out(found), _unread(table))


def _config(
    source: str,
    reading: dict[str, Any],
    table: Table,
    found: Guess,
    file: Path,
    preset: str | None,
) -> Iterable[_Line]:
    """Yields the lines of the config."""
    yield _Line(
        "# Written by `textmill new` from " + one_line(f"{table.rows} rows of {source}.", 300)
    )
    yield _Line("# Run it:  textmill run " + one_line(shlex.quote(str(file)), 300))
    if table.rejected:
        yield _Line(f"# {_unread(table)}")
    yield _Line("")
    yield _set("pipeline", found.pipeline)
    workspace = (file.parent / "runs").as_posix()
    yield _set("workspace", workspace, "artifacts, cache and lineage; safe to delete")
    yield _Line("")
    yield _Line("[data]")
    yield _set("source", source)
    for key, value in reading.items():
        yield _set(key, value, "as the lines of the file show")
    for key, value in found.data.items():
        yield _set(key, value, found.why.get(key, ""))
    if found.left_out:
        yield _Line(f"# left out: {_left_out(found)}")
    yield from _division(found)
    yield _Line("")
    yield _Line("[model]")
    yield from _model(found, preset)
    yield _Line("")
    yield _Line("[train]")
    yield _set("epochs", 3 if preset else 5)
    yield _set("batch_size", 32)
    yield _set("learning_rate", 5e-5 if preset else 5e-4)
    yield _set("seed", 0)
    yield from _gate(found)
    yield _Line("")
    yield _Line("[push]")
    to = (file.parent / "models").as_posix()
    yield _set("to", to, "TensorFlow Serving watches this folder")


def _division(found: Guess) -> Iterable[_Line]:
    """Yields how the rows are divided, settled and cleaned."""
    learned = found.label is not None
    if "split_column" not in found.data:
        share = 0.1 if learned else 0.05
        yield _set("split", {"train": 1 - 2 * share, "validation": share, "test": share})
        if found.pipeline != "text_generation":
            column = "or a column that says train, validation or test"
            yield _Line('# split_column = "split"', column)
    yield _Line('# test_source = "test.csv"', "a separate file for the test split")
    if found.pipeline == "text_classification" and "multi_label" not in found.data:
        majority = 'a text with two labels: "majority" wins, or "reject" it'
        yield _Line('# conflicts = "majority"', majority)
    if learned and found.pipeline != "token_classification":
        yield _Line("")
        yield _Line("# [data.clean]", "what happens to a text first; these are the defaults")
        yield _Line("# html = true")
        yield _Line("# lowercase = false")


def _model(found: Guess, preset: str | None) -> Iterable[_Line]:
    if preset:
        yield _set("preset", preset)
    else:
        yield _set("scratch", "mini", "a new model and tokenizer, made from this data")
        weights = "a KerasHub preset, hf://… or a Hugging Face folder"
        yield _Line(f"# Or real weights, {weights}, with learning_rate = 5e-5:")
        example = {"text_generation": "gpt2_base_en", "seq2seq": "bart_base_en"}
        yield _Line(
            f"# preset = {toml_value(example.get(found.pipeline, 'bert_small_en_uncased'))}"
        )
    # A token is about three bytes, in English as in Chinese.
    longest = max(len(text.encode("utf-8", "replace")) for text in found.text.texts) // 3 + 2
    about = f"tokens read of a text; the longest here has about {longest}"
    if found.pipeline == "text_generation":
        yield _set("max_length", min(512, max(64, 2 * longest)), "tokens read at a time")
    elif found.pipeline == "seq2seq":
        yield _set("max_source_length", min(256, max(16, longest)), about)
        yield _set("max_target_length", min(256, max(16, longest)), "tokens written at most")
    else:
        yield _set("max_length", min(256, max(16, longest)), about)


def _gate(found: Guess) -> Iterable[_Line]:
    """Yields an example of a gate."""
    condition, why = "", "a model that is worse is not pushed"
    if found.pipeline == "text_regression":
        condition = 'r2 = ">= 0.5"'
    elif found.pipeline == "token_classification" or "multi_label" in found.data:
        condition = 'f1_micro = ">= 0.7"'
    elif found.label is not None:
        commonest = statistics.mode(found.label.texts)
        share = found.label.texts.count(commonest) / len(found.label.texts)
        condition = 'accuracy = ">= 0.8"'
        why += f"; always saying {one_line(commonest, 30)} would reach {share:.2f}"
    if condition:
        yield _Line("")
        yield _Line("# [gate]", why)
        yield _Line(f"# {condition}")


def _set(key: str, value: Any, comment: str = "") -> _Line:
    return _Line(f"{key} = {toml_value(value)}", comment)


def _aligned(line: _Line) -> str:
    """Returns a line of the config, with its comment in a column of its own."""
    return f"{line.text:<{COMMENTS - 1}} # {line.comment}\n" if line.comment else f"{line.text}\n"


def _unread(table: Table) -> str:
    if not table.rejected:
        return ""
    return f"rows that can't be read: {table.rejected}; the first, {one_line(table.fault, 200)}"


def _left_out(found: Guess) -> str:
    return "; ".join(f"{one_line(name, 40)} ({why})" for name, why in found.left_out.items())


def _reading(source: str) -> dict[str, Any]:
    """Returns the keys of `[data]` that say how files are read, where that is not usual.

    Raises:
        UserError: Two files have different delimiters.
    """
    opened = open_source(source)
    reading: dict[str, Any] = {}
    if isinstance(opened, Delimited | JsonLines):
        with opening(opened.files[0]), Path(opened.files[0]).open("rb") as file:
            if file.read(2) in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
                reading["encoding"] = "utf-16"  # Excel calls it Unicode Text
    if isinstance(opened, Delimited):
        reading |= _delimiter(opened.files, reading.get("encoding", "utf-8"))
    return reading


def _delimiter(files: Sequence[str], encoding: str) -> dict[str, Any]:
    """Returns the key of `[data]` that says what is between fields, {} where it is the usual."""
    said: dict[str, str] = {}  # delimiter -> the first file that has it
    for file in files:
        with open_text(file, encoding) as lines:
            first = list(islice(lines, LINES))
        usual = "\t" if file.lower().removesuffix(".gz").endswith((".tsv", ".tab")) else ","
        found = usual
        if separator(first[0] if first else "") is None:
            with suppress(csv.Error):
                found = guess_delimiter(first, usual)
        said.setdefault("" if found == usual else found, file)
    if len(said) > 1:
        raise UserError(
            "files have different delimiters",
            expected="one delimiter in all files",
            received=", ".join(f"{sign or 'the usual'!r} in {file}" for sign, file in said.items()),
            fix="name the files of one kind, or write the others anew",
        )
    (found,) = said
    return {"delimiter": found} if found else {}


def _without_header(table: Table) -> dict[str, Any]:
    """Returns the key of `[data]` that names the columns of a file whose first line is a row.

    It is one where the name of a column of classes is a class, and where no text is, as a header
    that stands in the middle of a file again would be.
    """
    columns = table.columns.values()
    names = [c for c in columns if c.kind in ("class", "text", "link")]
    if not any(c.kind == "class" and c.name in c.distinct for c in names):
        return {}
    if any(c.kind == "text" and c.name in c.distinct for c in names):
        return {}
    return {"columns": [f"column_{place}" for place in range(1, len(table.columns) + 1)]}


def _only_file(folder: Path) -> str:
    """Returns the one data file in `folder`."""
    inside = sorted(folder.glob("[!.]*")) if folder.is_dir() else []
    found = [f for f in inside if f.name.lower().removesuffix(".gz").endswith(TABLES)]
    if len(found) == 1:
        return found[0].as_posix()
    raise UserError(
        f"{folder}: which data?",
        expected=f"one file that ends in {one_of(TABLES).removeprefix('one of: ')}",
        received=", ".join(f.name for f in found) or "none",
        fix=f"name it: textmill new {folder} reviews.csv",
    )
