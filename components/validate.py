"""Validate: what the examples are like, and whether a model can be trained on them at all."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from textmill.artifact import SPLITS, Examples, ExamplesSchema, Split, Statistics, write_json
from textmill.components.conflicts import other_ways
from textmill.components.spelling import remarks
from textmill.errors import UserError
from textmill.models.labels import names_in
from textmill.progress import warn

if TYPE_CHECKING:
    import numpy.typing as npt

DUPLICATE_SHARE = 0.3  # from here on, each of these is worth a warning
COMMONEST_SHARE = 0.9
FEW_ROWS = 10


def validate(
    out: Statistics, examples: Examples, *, minimum_rows_per_label: int = 1, test: bool = False
) -> None:
    r"""Writes statistics and a schema of `examples`, and stops where training would be in vain.

    `statistics.json` holds for each split the rows, the rows of each label, the commonest label and
    its share, and the lengths of the texts in characters (Unicode code points): min, median, p95
    (of the rows in order, the one below which 95 % lie), max and mean. For all: the shares of rows
    that were rejected, had no text or label, or were duplicates, and warnings. Where rows have no
    label, what is said of labels is left out, and test may be empty unless `test`. `schema.pbtxt`
    is a `tensorflow_metadata.proto.v0.Schema` in text form, as TensorFlow Data Validation reads it.

    Args:
        out: Filled with `statistics.json` and `schema.pbtxt`.
        examples: What to look at.
        minimum_rows_per_label: Rows that every label must have in train.
        test: Whether rows without labels are needed in test, too.

    Raises:
        UserError: A split has no rows, train has one label only, nearly every row has its own
            label, a label has too few rows in train, or train lacks a label of another split.

    Example:
        >>> import pathlib, tempfile
        >>> from textmill.components.ingest import ingest
        >>> from textmill.components.sources.by_name import open_source
        >>> folder = pathlib.Path(tempfile.mkdtemp())
        >>> rows = [f"Review {i},{'pos' if i % 2 else 'neg'}" for i in range(100)]
        >>> _ = (folder / "reviews.csv").write_text("\n".join(["text,label", *rows]))
        >>> examples, statistics = Examples(folder / "examples"), Statistics(folder / "statistics")
        >>> ingest(examples, open_source(str(folder / "reviews.csv")))
        >>> validate(statistics, examples)
        >>> statistics.read()["splits"]["train"]["characters"]["max"]
        9
    """
    schema = examples.schema()
    labels: dict[Split, Counter[str]] = {}
    splits: dict[Split, dict[str, Any]] = {}
    for split in SPLITS:
        labels[split], splits[split] = _look(examples, split, schema)
    _check_rows({split: found["rows"] for split, found in splits.items()}, schema, test)
    warnings = list(_warnings(schema))
    if schema["label"] is not None and schema["labels"] == "number":
        _check_numbers(schema["label"], splits["train"]["numbers"])
    elif schema["label"] is not None:
        _check_labels(schema, labels, minimum_rows_per_label)
        spelling = remarks(sum(labels.values(), Counter()), schema["merged_labels"])
        warnings = [*spelling, *_label_warnings(schema, labels), *warnings]
    read = schema["read"]
    rejected = schema["rejected"]
    write_json(
        out.path / "statistics.json",
        {
            "splits": splits,
            "read": read,
            "rejected": rejected,
            "shares": {
                "rejected": sum(rejected.values()) / read,
                "missing_text": rejected.get("missing text", 0) / read,
                **_missing_labels(schema),
                "duplicates": schema["duplicates"] / read,
            },
            "conflicts": schema["conflicts"],
            "warnings": warnings,
        },
    )
    for warning in warnings:
        warn(warning)
    names = sorted(labels["train"])
    (out.path / "schema.pbtxt").write_text(_schema_text(schema, names), "utf-8")


def _look(
    examples: Examples, split: Split, schema: ExamplesSchema
) -> tuple[Counter[str], dict[str, Any]]:
    """Returns label -> rows of a split, none where rows have no label; and its statistics."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    labels: Counter[str] = Counter()
    lengths, numbers = [np.zeros(0, np.int32)], [np.zeros(0)]
    label = schema["label"]
    for batch in examples.batches(split, [schema["text"], *([label] if label else [])]):
        lengths.append(pc.utf8_length(batch[schema["text"]]).to_numpy())
        if label and schema["labels"] == "number":
            numbers.append(batch[label].cast(pa.float64()).to_numpy())
        elif label:
            for count in pc.value_counts(batch[label]).to_pylist():
                for name in names_in(schema["labels"], count["values"], schema["separator"]):
                    labels[name] += count["counts"]
    characters = np.concatenate(lengths)
    statistics: dict[str, Any] = {"rows": len(characters)}
    if label and schema["labels"] == "number":
        statistics["numbers"] = _spread(np.concatenate(numbers))
    elif label:
        statistics["labels"] = dict(sorted(labels.items()))
    if labels and schema["labels"] == "one":
        commonest = max(sorted(labels), key=labels.__getitem__)
        share = labels[commonest] / labels.total()
        statistics["commonest"] = {"label": commonest, "share": share}
    if len(characters):
        statistics["characters"] = _spread(characters)
    return labels, statistics


def _spread(values: npt.NDArray[Any]) -> dict[str, float]:
    import numpy as np

    if not len(values):
        return {}
    return {
        "min": values.min().item(),
        "median": float(np.median(values)),
        "p95": np.percentile(values, 95, method="inverted_cdf").item(),
        "max": values.max().item(),
        "mean": float(values.mean()),
    }


def _missing_labels(schema: ExamplesSchema) -> dict[str, float]:
    if schema["label"] is None:
        return {}
    return {"missing_label": schema["rejected"].get("missing label", 0) / schema["read"]}


def _check_rows(rows: dict[Split, int], schema: ExamplesSchema, test: bool) -> None:
    """Raises a `UserError` where a split that is needed has no rows."""
    needed = SPLITS if schema["label"] is not None or test else SPLITS[:2]
    empty = [split for split in needed if not rows[split]]
    if empty:
        raise UserError(
            f"no rows in {' and '.join(empty)}",
            expected=f"rows in {', '.join(needed[:-1])} and {needed[-1]}",
            received=", ".join(f"{rows[split]} in {split}" for split in SPLITS),
            fix="give more rows, or a larger share to the empty split",
        )


def _check_numbers(column: str, train: dict[str, float]) -> None:
    """Raises a `UserError` where nothing can be learnt from the numbers."""
    if train["min"] == train["max"]:
        raise UserError(
            "only one number in train",
            expected="numbers that differ",
            received=f"{train['min']:g} in all rows of train",
            fix=f"see whether {column!r} is the column with the numbers, and `where` right",
        )


def _check_labels(schema: ExamplesSchema, labels: dict[Split, Counter[str]], minimum: int) -> None:
    """Raises a `UserError` where nothing can be learnt from the labels."""
    train, column, one = labels["train"], schema["label"], schema["labels"] == "one"
    if not train:
        raise UserError(
            "no row of train has a label",
            expected="labels, or spans of the text",
            received="none in all rows of train",
            fix=f"see whether {column!r} is the column with the labels",
        )
    if one and len(train) == 1:
        raise UserError(
            "only one label in train",
            expected="two labels or more",
            received=f"{next(iter(train))!r} in all {train.total()} rows",
            fix=f"see whether {column!r} is the column with the labels, and `where` right",
        )
    if schema["labels"] != "spans" and len(train) > max(20, train.total() / 2):
        raise UserError(
            f"column {column!r} looks like no label",
            expected="many rows of every label",
            received=f"{len(train)} labels in {train.total()} rows of train",
            fix="set label to the column with the labels",
        )
    for split in ("validation", "test"):
        unseen = sorted(labels[split].keys() - train.keys())[:20]
        if unseen:
            raise UserError(
                f"{split} has labels that train has not",
                expected=f"labels of train: {', '.join(sorted(train)[:20])}",
                received=", ".join(
                    f"{name!r} ({labels[split][name]} rows)" for name in unseen[:20]
                ),
                fix="give more rows of these labels, or take them out of the data",
            )
    few = sorted(name for name, rows in train.items() if rows < minimum)
    if few:
        raise UserError(
            "labels with too few rows in train",
            expected=f"{minimum} rows of every label, as minimum_rows_per_label says",
            received=", ".join(f"{name!r} ({train[name]})" for name in few[:20]),
            fix="give more rows of these labels, merge them with others, or take them out",
        )


def _label_warnings(schema: ExamplesSchema, labels: dict[Split, Counter[str]]) -> Iterator[str]:
    train = labels["train"]
    commonest, rows = train.most_common(1)[0]
    if schema["labels"] == "one" and rows > COMMONEST_SHARE * train.total():
        yield f"{rows / train.total():.0%} of train has the label {commonest!r}"
    if schema["labels"] == "many":
        yield from _separators(train, schema["separator"])
    for split in SPLITS:
        few = sorted(name for name in train if labels[split][name] < FEW_ROWS)
        if few:
            counts = ", ".join(f"{name!r} ({labels[split][name]})" for name in few[:20])
            yield f"fewer than {FEW_ROWS} rows in {split}: {counts}"


def _separators(train: Counter[str], separator: str) -> Iterator[str]:
    """Warns where names look as if another character stood between them."""
    for sign in sorted({*";,|/\t"} - {separator}):
        holding = [name for name in train if sign in name]
        parts = {part.strip() for name in holding for part in name.split(sign)}
        # Names that come apart into fewer, or into other names, were several.
        if holding and (len(parts) < len(holding) or parts & train.keys()):
            yield f"labels such as {min(holding)!r} hold a {sign!r}: is it data.label_separator?"


def _warnings(schema: ExamplesSchema) -> Iterator[str]:
    rejected = Counter(schema["rejected"])
    del rejected["conflicting labels"]  # they have a line of their own
    if rejected:
        counts = ", ".join(f"{reason} ({n:,})" for reason, n in rejected.most_common(3))
        yield f"{rejected.total():,} of {schema['read']:,} rows were rejected: {counts}"
    yield from _conflict_warnings(schema)
    if schema["duplicates"] > DUPLICATE_SHARE * schema["read"]:
        yield f"{schema['duplicates'] / schema['read']:.0%} of the rows were duplicates"


def _conflict_warnings(schema: ExamplesSchema) -> Iterator[str]:
    """Warns of texts with different labels, and of rows that went because of them."""
    texts, how = schema["conflicts"], schema["settled_by"]
    lost = schema["rejected"].get("conflicting labels", 0)
    given = {"mean": "the mean of their numbers", "union": "all of their labels"}.get(how)
    if texts and given:
        given += ", but for those with spans that overlap" * bool(lost)
        yield f'{texts:,} texts came with different labels and got {given}: conflicts = "{how}"'
    if lost:
        ways = ", or ".join(f'"{way}"' for way in other_ways(schema["labels"], how))
        yield (
            f"{lost:,} rows are in quarantine, because {texts:,} texts came with different labels: "
            f'data.conflicts is "{how}"' + (f", and may be {ways}" if ways else "")
        )
    if schema["leaked"]:
        yield f"{schema['leaked']:,} rows were left out, because their texts are in a later split"


def _schema_text(schema: ExamplesSchema, labels: list[str]) -> str:
    from google.protobuf import text_format
    from tensorflow_metadata.proto.v0 import schema_pb2

    found = schema_pb2.Schema()
    label = schema["label"]
    for name in filter(None, (schema["text"], label)):
        feature = found.feature.add(name=name, type=schema_pb2.BYTES)
        feature.presence.min_fraction = 1
        feature.presence.min_count = 1
        feature.shape.dim.add(size=1)
    if label is not None:
        found.string_domain.add(name="label").value.extend(labels)
        found.feature[1].domain = "label"
    text: str = text_format.MessageToString(found, as_utf8=True)
    return text
