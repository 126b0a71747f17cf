"""Ingest: from any source to clean, distinct examples in three splits, labelled or not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from types import MappingProxyType
from typing import Literal

from textmill.artifact import SPLITS, Examples, LabelKind, write_json
from textmill.components.cleaning import UNTOUCHED, Cleaning
from textmill.components.columns import LIST, OBJECT
from textmill.components.conflicts import Conflicts, other_ways, suited
from textmill.components.label_column import SEVERAL
from textmill.components.settling import DUPLICATE, LEAKED, settle
from textmill.components.shards import schema_of, write
from textmill.components.sources.source import Source
from textmill.components.spelling import Merging, merged
from textmill.components.split_column import CLAIMS
from textmill.components.staging import Stage
from textmill.errors import UserError, nearest, one_of
from textmill.progress import warn

SPLIT: Mapping[str, float] = MappingProxyType({"train": 0.8, "validation": 0.1, "test": 0.1})
EVERYWHERE: Mapping[str, str] = MappingProxyType({})
DEFAULT_CLEANING = Cleaning()
HABIT_SHARE = 0.1  # from here on, what is wrong with rows is how the data is made, and no slip


def ingest(
    out: Examples,
    source: Source,
    *,
    text: str = "text",
    pair: str | None = None,
    label: str | None = "label",
    labels: LabelKind = "one",
    separator: str = "|",
    test_source: Source | None = None,
    split: Mapping[str, float] = SPLIT,
    split_column: str | None = None,
    where: Mapping[str, str] = EVERYWHERE,
    cleaning: Cleaning = DEFAULT_CLEANING,
    conflicts: Conflicts | None = None,
    merge_labels: Merging = "values",
    split_by: Literal["texts", "text"] = "texts",
) -> None:
    r"""Reads `source`, cleans its texts, drops what is twice or unusable, and splits the rest.

    Rows whose cleaned text is equal become one: the first of them is kept. Where their labels
    differ, `conflicts` says which label it has. No text is in two splits: where a test file or a
    split column says so, it is in test rather than in validation, and in validation rather than in
    train.

    Args:
        out: Filled with `<split>/part-*.parquet`, `quarantine.parquet` and `schema.json`. Columns:
            text, label (string), then those of the source, then `file` (string) and `line` (int64,
            from 1). A column of the source that is called `file` or `line` gets an underscore.
        source: Where the rows come from.
        text: Name of the column with the text.
        pair: Name of the column with the second text, where rows have two.
        label: Name of the column with the label; numbers and truth values become their text. None:
            the rows have none, and a column of that name is kept like any other.
        labels: What a label is: "one" name; "many", any number of names; a "number"; or "spans" of
            the text, each with a name, see `textmill.components.label_column`.
        separator: Between several names.
        test_source: Its rows are the test split; those of `source` are shared out between train and
            validation, in their proportion in `split`.
        split: Share of each split. A hash of the cleaned text decides, so that new rows move none.
        split_column: Name of a column that says train, validation (or valid, val, dev) or test, and
            decides instead of the hash; what it never says of the last two is drawn from train.
        where: Column -> value: other rows are left out, and not counted as rejected.
        cleaning: What is done to the texts.
        conflicts: What a text with different labels gets: the "majority" label, while rows of the
            others, or of all where none is the most frequent, are put into quarantine; the "mean"
            of numbers; the "union" of names or spans, and quarantine where spans overlap; or
            "reject": quarantine for all. None: the mean of numbers, the union of names, or else the
            majority. A row counts as often as it comes.
        merge_labels: Which names of labels are one, see `textmill.components.spelling.merged`.
        split_by: Where rows have two texts, whether a pair of them is in one split alone, or
            every first "text", whatever the second: so it must be where one is made of the other.

    Raises:
        UserError: The source can't be read, a column isn't there, no row can be used, or `split`
            makes no sense.

    Example:
        >>> import pathlib, tempfile
        >>> from textmill.components.sources.by_name import open_source
        >>> folder = pathlib.Path(tempfile.mkdtemp())
        >>> rows = [f"Review <b>{i}</b>,{'pos' if i % 2 else 'neg'}" for i in range(100)]
        >>> _ = (folder / "reviews.csv").write_text("\n".join(["text,label", *rows, rows[0]]))
        >>> examples = Examples(folder / "examples")
        >>> ingest(examples, open_source(str(folder / "reviews.csv")))
        >>> sum(examples.schema()["rows"].values()), examples.schema()["duplicates"]
        (100, 1)
    """
    conflicts = suited(labels, conflicts)
    columns = [name for name in (text, pair, label) if name is not None]
    twice = [name for name in columns if columns.count(name) > 1]
    if twice:
        raise UserError(
            f"text and label are both the column {twice[0]!r}",
            expected="a column for each text, and one for the label",
            received=", ".join(columns),
            fix="set label to the column with the labels",
        )
    if labels == "spans" and cleaning != UNTOUCHED:
        raise UserError(
            "spans are places in a text as it is, and cleaning would move them",
            expected="no cleaning",
            received=str(cleaning),
            fix="remove [data.clean]",
        )
    if labels == "spans" and pair is not None:
        raise UserError(
            "spans are of one text, and rows have two",
            expected="one column with a text",
            received=f"the columns {text!r} and {pair!r}",
            fix="name one column in data.text",
        )
    shares = _shares(split, has_test=test_source is not None)
    out.path.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix="staged-", dir=out.path) as staged:
        stage = Stage(Path(staged), text, label, pair, labels, separator, split_column, where)
        stage.add(source)
        if test_source is not None:
            stage.add(test_source, "test")
        names = merged(stage.names, merge_labels)
        of_train = _drawn_from_train(stage, shares)
        rows = settle(
            stage,
            of_train or shares,
            cleaning,
            conflicts=conflicts,
            names=names,
            by_text=split_by == "text",
            open_train=bool(of_train),
        )
        schema = schema_of(stage)
        counts, rejected = write(out.path, rows, schema, stage)
    kept = {split: counts[CLAIMS.index(split)] for split in SPLITS}
    quarantined = out.path / "quarantine.parquet"
    for reason, fix in _HABITS.items():
        if rejected[reason] > HABIT_SHARE * stage.read:
            raise UserError(
                f"{source}: {reason} in {rejected[reason]} of {stage.read} rows",
                expected=_USABLE[labels] if label else "rows with a text",
                received=_first(quarantined, reason),
                fix=fix,
            )
    if not any(kept.values()):
        raise UserError(
            f"{source}: none of {stage.read} rows can be used",
            expected=_USABLE[labels] if label else "rows with a text",
            received=", ".join(f"{reason} ({n})" for reason, n in rejected.most_common(3))
            + f"; the first, {_first(quarantined)}",
            fix=_fix(labels, conflicts, rejected),
        )
    types = {field.name: str(field.type) for field in schema}
    write_json(
        out.path / "schema.json",
        {
            "text": schema.names[0],
            "pair": schema.names[1] if pair else None,
            "label": schema.names[len(columns) - 1] if label else None,
            "labels": labels,
            "separator": separator,
            "columns": types,
            "cleaning": asdict(cleaning),
            "rows": kept,
            "read": stage.read,
            "rejected": dict(sorted(rejected.items())),
            "duplicates": counts[DUPLICATE],
            "conflicts": counts["conflicts"],
            "settled_by": conflicts,
            "merged_labels": names,
            "leaked": counts[LEAKED],
            "left_out": stage.left_out,
        },
    )


_USABLE: Mapping[LabelKind, str] = {
    "one": "rows with a text and a label",
    "many": "rows with a text, and names of labels or none",
    "number": "rows with a text and a number as their label",
    "spans": "rows with a text and its spans, [[start, end, name], …] in characters",
}


_HABITS: Mapping[str, str] = {
    SEVERAL: "set data.multi_label = true, or leave one label in each row",
    OBJECT: "name what is meant inside the objects, with dots, or write texts in all rows",
    LIST: "write one value in each row",
    "invalid label": 'name what is meant inside objects with dots, as in "label.name"; a label is '
    "a name",
    "invalid labels": "write names as a list in JSON, or with data.label_separator between them; "
    'of objects name what is meant, as in "tags.name"',
}


def _fix(labels: LabelKind, conflicts: Conflicts, rejected: Counter[str]) -> str:
    """Returns what to do where no row is left."""
    if rejected and rejected.most_common(1)[0][0] == "conflicting labels":
        ways = " or ".join(f'"{way}"' for way in other_ways(labels, conflicts))
        return (f"set data.conflicts to {ways}, or " if ways else "") + "give each text one label"
    return "see whether text, label, encoding and delimiter are those of the data"


def _first(quarantine: Path, reason: str = "") -> str:
    """Returns the first row rejected for a reason, and what is wrong with it."""
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    rows = pq.read_table(quarantine)
    rows = rows.filter(pc.starts_with(rows["reason"], reason))
    for row in rows.slice(0, 1).to_pylist():
        label = f", the label {row['label'][:60]!r}" if row.get("label") else ""
        return f"{row['file']} line {row['line']}: {row['reason']}{label}"
    return ""


def _drawn_from_train(stage: Stage, shares: Mapping[str, float]) -> dict[str, float]:
    """Returns the shares in which train's rows are parted, {} where the split column says all."""
    never = [name for name in shares if name not in stage.said]
    if stage.split_column is None or not never or "train" in never:
        return {}
    total = sum(shares[name] for name in ("train", *never))
    drawn: dict[str, float] = {name: shares[name] / total for name in ("train", *never)}
    for name in never:
        warn(
            f"{stage.split_column!r} never says {name}: {drawn[name]:.0%} of the texts that are in "
            "train by it are taken"
        )
    return drawn


def _shares(split: Mapping[str, float], *, has_test: bool) -> dict[str, float]:
    """Returns the shares of the splits that are drawn, which sum to 1."""
    for name, share in split.items():
        if name not in SPLITS:
            close = nearest(name, SPLITS)
            raise UserError(
                f"split.{name}",
                expected=one_of(SPLITS),
                received=repr(name),
                fix=f"write {close}" if close else "take one of these names",
            )
        if not share > 0:
            raise UserError(
                f"split.{name} = {share}",
                expected="a share above 0",
                received=str(share),
                fix="leave the split out, or give it a share",
            )
    total = sum(split.values())
    if abs(total - 1) > 1e-6 or "train" not in split:
        raise UserError(
            "split",
            expected="shares for train, validation and test that sum to 1",
            received=", ".join(f"{name} = {share}" for name, share in split.items())
            + f" (sum {total:g})",
            fix="split = {train = 0.8, validation = 0.1, test = 0.1}",
        )
    drawn = {name: split[name] for name in SPLITS if name in split}
    if has_test:
        drawn.pop("test", None)
    return {name: share / sum(drawn.values()) for name, share in drawn.items()}
