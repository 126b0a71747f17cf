"""Looks at data and writes a config that runs as it is."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from textmill.components.sources.by_name import open_source
from textmill.components.sources.source import Source
from textmill.errors import UserError, one_of

ENDINGS = (".csv", ".tsv", ".tab", ".jsonl", ".ndjson", ".json", ".parquet")
ROWS_OF_A_BATCH = 1000  # that the guess is made from, evenly spread
COMMENTS = 37  # the column in which they begin
LABELS = ("label", "labels", "class", "category", "sentiment", "target", "topic", "intent", "y")
TEXTS = ("text", "review", "sentence", "content", "body", "message", "comment", "document")

CONFIG = """\
# Written by `textmill new` from {rows} rows of {source}.
# Run it:  textmill run {config}

pipeline  = "text_classification"
workspace = {workspace}              # artifacts, cache and lineage; safe to delete

[data]
source = {quoted_source}
text   = {text}                    # {text_why}
label  = {label}                   # {label_why}
split  = {{train = 0.8, validation = 0.1, test = 0.1}}
# test_source = "test.csv"           # a separate file for the test split
# split_column = "split"             # or a column that says train, validation or test
# conflicts = "majority"             # a text with different labels: or "mean", "union", "reject"

# [data.clean]                       # what happens to a text first; these are the defaults
# html = true
# lowercase = false

[model]
{model}
max_length = {max_length}            # tokens read of a text; the longest here has about {longest}

[train]
epochs = {epochs}
batch_size = 32
learning_rate = {learning_rate}
seed = 0

# [gate]                             # a model that is worse is not pushed
# accuracy = ">= 0.8"                # always saying {commonest} would reach {baseline:.2f}

[push]
to = {push}              # TensorFlow Serving watches this folder
"""

SCRATCH = """\
scratch = "mini"  # a new model and tokenizer, made from this data
# Or real weights, a KerasHub preset, hf://… or a Hugging Face folder, with learning_rate = 5e-5:
# preset = "bert_small_en_uncased\""""


def write_starter(folder: Path, data: str | None, preset: str | None) -> Path:
    """Writes `folder`/textmill.toml for some data and returns its path.

    Args:
        folder: Where the config goes; it is made if it is not there.
        data: A source as `[data] source` takes it; None: the one data file in `folder`.
        preset: Weights to start from; None: a new small model.

    Raises:
        UserError: There is no data, no column can be a text or a label, or a config is there.
    """
    source = data or _only_file(folder)
    rows = list(_some_rows(open_source(source)))
    text, text_why = _text_column(rows, source)
    label, label_why = _label_column(rows, text, source)
    labels = [str(row[label]) for row in rows]
    commonest = statistics.mode(labels)
    baseline = labels.count(commonest) / len(labels)
    # A token is about three bytes, in English as in Chinese.
    longest = max(len(str(row[text]).encode()) for row in rows) // 3 + 2
    if preset:
        model, epochs, rate = f"preset = {_quoted(preset)}", 3, 5e-5
    else:
        model, epochs, rate = SCRATCH, 5, 5e-4
    file = folder / "textmill.toml"
    if file.exists():
        raise UserError(
            f"{file}: there already",
            expected="a folder without a config",
            received=str(file),
            fix=f"remove it, or name another folder than {folder}",
        )
    folder.mkdir(parents=True, exist_ok=True)
    values = {
        "rows": len(rows),
        "source": source,
        "config": file,
        "quoted_source": _quoted(source),
        "workspace": _quoted((folder / "runs").as_posix()),
        "push": _quoted((folder / "models").as_posix()),
        "text": _quoted(text),
        "text_why": text_why,
        "label": _quoted(label),
        "label_why": label_why,
        "model": model,
        "max_length": min(256, max(16, longest)),
        "longest": longest,
        "epochs": epochs,
        "learning_rate": rate,
        "commonest": _quoted(commonest),
        "baseline": baseline,
    }
    file.write_text(_aligned(CONFIG.format(**values)), "utf-8")
    return file


def _aligned(config: str) -> str:
    """Returns the config with the comments behind values in one column."""
    lines = []
    for line in config.splitlines():
        value, mark, comment = line.rpartition("  # ")
        lines.append(f"{value.rstrip():<{COMMENTS - 1}} # {comment}" if mark else line)
    return "\n".join(lines) + "\n"


def _quoted(text: str) -> str:
    """Returns a TOML string; the escapes of JSON are among TOML's."""
    return json.dumps(text, ensure_ascii=False)


def _only_file(folder: Path) -> str:
    """Returns the one data file in `folder`."""
    found = sorted(f for f in folder.glob("*") if f.suffix in ENDINGS) if folder.is_dir() else []
    if len(found) == 1:
        return found[0].as_posix()
    raise UserError(
        f"{folder}: which data?",
        expected=f"one file that ends in {one_of(ENDINGS).removeprefix('one of: ')}",
        received=", ".join(f.name for f in found) or "none",
        fix=f"name it: textmill new {folder} reviews.csv",
    )


def _some_rows(source: Source) -> Iterator[dict[str, Any]]:
    """Yields rows from all over the source, as a file is often sorted by its label."""
    for batch in source.batches():
        step = max(1, batch.rows.num_rows // ROWS_OF_A_BATCH)
        yield from batch.rows.take(list(range(0, batch.rows.num_rows, step))).to_pylist()


def _text_column(rows: list[dict[str, Any]], source: str) -> tuple[str, str]:
    """Returns the column with the longest strings, one with a usual name first."""
    lengths = {
        name: statistics.fmean(len(str(row[name] or "")) for row in rows)
        for name in (rows[0] if rows else {})
        if any(isinstance(row[name], str) for row in rows)
    }
    named = [name for name in lengths if name.lower() in TEXTS]
    found = max(named or lengths, key=lengths.__getitem__, default=None)
    if found is None:
        raise UserError(
            f"{source}: no column with text",
            expected="a column of strings",
            received=", ".join(rows[0]) if rows else "no rows",
            fix="check the file, its delimiter and its header line",
        )
    return found, f"{lengths[found]:.0f} characters on average; of {', '.join(rows[0])}"


def _label_column(rows: list[dict[str, Any]], text: str, source: str) -> tuple[str, str]:
    """Returns the column with few values that come often, one with a usual name first."""
    kinds = {
        name: {str(row[name]) for row in rows if row[name] is not None}
        for name in rows[0]
        if name != text
    }
    fitting = {n: k for n, k in kinds.items() if 2 <= len(k) <= max(2, len(rows) // 3)}
    named = [name for name in kinds if name.lower() in LABELS]
    found = named[0] if named else min(fitting, key=lambda name: len(fitting[name]), default=None)
    if found is None:
        raise UserError(
            f"{source}: no column looks like a label",
            expected="a column with at least two values that come again and again",
            received=", ".join(f"{name} ({len(kind)} values)" for name, kind in kinds.items())
            or f"only {text}",
            fix="add a label column to the data",
        )
    shown = sorted(kinds[found])
    return found, f"values such as {', '.join(shown[:4])}".replace("\n", " ")
