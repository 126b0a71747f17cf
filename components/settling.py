"""What becomes of each staged row: its split, quarantine, or nothing. Daft works it out."""

from __future__ import annotations

import os
import re
from bisect import bisect
from collections.abc import Mapping
from hashlib import blake2b
from itertools import accumulate
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeAlias

from textmill.components.cleaning import Cleaning, clean
from textmill.components.conflicts import Conflicts, combine
from textmill.components.spelling import respelled
from textmill.components.split_column import CLAIMS
from textmill.components.staging import EXTRA, Stage

if TYPE_CHECKING:
    import daft

NO_NAMES: Mapping[str, str] = MappingProxyType({})

# The fate of a row: its place in CLAIMS, or one of these.
QUARANTINE, DUPLICATE, LEAKED = 3, 4, 5


def settle(
    stage: Stage,
    shares: Mapping[str, float],
    cleaning: Cleaning,
    *,
    conflicts: Conflicts,
    names: Mapping[str, str] = NO_NAMES,
    by_text: bool = False,
    open_train: bool = False,
) -> daft.DataFrame:
    """Returns the staged rows with clean texts and their fates, sorted by fate and order.

    Rows with one text (or one pair of texts) are looked at together. The first split in `CLAIMS`
    that holds it has it, and its rows in the others are `LEAKED`. Of the labels that remain, by
    "majority" the most frequent wins: its first row stays, its others are `DUPLICATE`, and the rows
    of other labels go to `QUARANTINE`. By "mean" or "union" the first row of all stays with the
    label that they make together, and the others are `DUPLICATE`.

    Args:
        stage: The staged rows.
        shares: Split -> its share of the rows whose split is open.
        open_train: Whether the split of rows that are said to be in train is open, too.
        cleaning: What is done to the texts.
        conflicts: What is done where there are two labels.
        names: Name of a label -> the name that it gets.
        by_text: Whether of pairs the first text alone decides the split: then no first text is in
            two splits.

    Returns:
        The staged columns, `fate` (int8) and `conflict` (bool: the first row of a text that has two
        labels); not computed yet. `text` is clean, but for rows that were rejected before.
    """
    prepare_engine()
    import daft
    from daft import DataType, Window, col, lit
    from daft import functions as f

    @daft.func.batch(return_dtype=DataType.string(), use_process=False)
    def cleaned(texts: daft.Series) -> Any:
        return clean(texts.to_arrow(), cleaning)

    @daft.func.batch(return_dtype=DataType.int8(), use_process=False)
    def drawn(texts: daft.Series, pairs: daft.Series) -> Any:
        rows = zip(texts.to_pylist(), pairs.to_pylist(), strict=True)
        return [draw((text or "") + ("" if by_text else pair or ""), shares) for text, pair in rows]

    @daft.func.batch(return_dtype=DataType.string(), use_process=False)
    def renamed(labels: daft.Series) -> Any:
        known = dict.fromkeys(labels.to_pylist())
        for label in known:
            if label is not None:
                known[label] = respelled(label, stage.labels, stage.separator, names)
        return [known[label] for label in labels.to_pylist()]

    types = {EXTRA + name: DataType.from_arrow_type(kind) for name, kind in stage.types.items()}
    # Daft takes the names for patterns.
    files = [re.sub(r"([*?\[\]{}\\])", r"[\1]", str(file)) for file in stage.files]
    rows = daft.read_parquet(files, schema=types)
    rows = rows.with_columns({"clean": cleaned(col("text")), "clean pair": cleaned(col("pair"))})
    empty = col("clean") == lit("")
    if stage.pair is not None:
        empty = empty | (col("clean pair") == lit(""))
    empty = col("reason").is_null() & empty
    reason = f.when(empty, "empty after cleaning").otherwise(col("reason"))
    rows = rows.with_column("reason", reason)
    good = col("reason").is_null()
    text = f.when(good, col("clean")).otherwise(col("text"))
    pair = f.when(good, col("clean pair")).otherwise(col("pair"))
    rows = rows.with_columns({"good": good, "text": text, "pair": pair})
    rows = rows.exclude("clean", "clean pair")
    said = col("split")
    if open_train:
        said = f.when(said != lit(CLAIMS.index("train")), said).otherwise(lit(None))
    rows = rows.with_column("split", f.coalesce(said, drawn(col("text"), col("pair"))))

    if names:
        rows = rows.with_column(
            "label", f.coalesce(renamed(f.when(good, col("label"))), col("label"))
        )

    # Rows of one text, and of one text and label; those that were rejected before keep apart.
    same_text = Window().partition_by("good", "text", "pair")
    same_label = Window().partition_by("good", "text", "pair", "label")
    claiming = Window().partition_by("good", "text") if by_text else same_text
    rows = rows.with_column("claim", col("split").min().over(claiming))
    claims = col("split") == col("claim")
    rows = rows.with_columns(
        {
            "votes": _count(claims).over(same_label),
            "first": f.when(claims, col("order")).otherwise(lit(None)).min().over(same_label),
            "rows": _count(claims).over(same_text),
        }
    )
    leads = col("order").eq_null_safe(col("first"))
    rows = rows.with_columns(
        {
            "opening": col("first").min().over(same_text),
            "best": col("votes").max().over(same_text),
            "labels": _count(leads).over(same_text),
        }
    )
    contested = col("labels") > lit(1)
    outcome = _combined if conflicts in ("mean", "union") else _elected
    rows, keeps, lost, why, label = outcome(rows, stage, conflicts)
    return (
        rows.with_columns(
            {
                "fate": f.when(~col("good"), lit(QUARANTINE))
                .when(~claims, lit(LEAKED))
                .when(lost, lit(QUARANTINE))
                .when(keeps, col("split"))
                .otherwise(lit(DUPLICATE)),
                "reason": f.when(~col("good"), col("reason")).otherwise(why),
                "conflict": col("good") & contested & (col("order") == col("opening")),
                "label": label,
            }
        )
        .select("fate", "conflict", *stage.columns())
        .sort(["fate", "order"])
    )


# Of a text with different labels: the rows, and which of them stays, which are lost, why, and the
# label that the one that stays has.
Outcome: TypeAlias = (
    "tuple[daft.DataFrame, daft.Expression, daft.Expression, daft.Expression, daft.Expression]"
)


def _elected(rows: daft.DataFrame, stage: Stage, conflicts: Conflicts) -> Outcome:
    """Has the most frequent label win, or with "reject" none."""
    from daft import Window, col, lit
    from daft import functions as f

    same_text = Window().partition_by("good", "text", "pair")
    wins, leads = col("votes") == col("best"), col("order").eq_null_safe(col("first"))
    rows = rows.with_columns(
        {
            "winner": f.when(wins, col("label")).otherwise(lit(None)).min().over(same_text),
            "winners": _count(leads & wins).over(same_text),
        }
    )
    undecided = (col("labels") if conflicts == "reject" else col("winners")) > lit(1)
    tied = f.format(_UNDECIDED, *map(col, ("label", "votes", "rows")))
    beaten = f.format(_OUTVOTED, *map(col, ("label", "winner", "best", "votes")))
    why = f.when(undecided, tied).otherwise(beaten)
    return rows, leads, undecided | ~wins, why, col("label")


def _combined(rows: daft.DataFrame, stage: Stage, conflicts: Conflicts) -> Outcome:
    """Has the first row get what all labels make together."""
    import daft
    from daft import DataType, Window, col, lit
    from daft import functions as f

    @daft.func.batch(return_dtype=DataType.string(), use_process=False)
    def combined(votes: daft.Series) -> Any:
        # Each label of a text once: its rows, a space, the label.
        each = ([vote.split(" ", 1) for vote in row or ()] for row in votes.to_pylist())
        return [
            combine([(int(n), label) for n, label in row], stage.labels, stage.separator)
            if len(row) > 1
            else None
            for row in each
        ]

    leads = col("good") & col("order").eq_null_safe(col("first"))
    vote = f.format("{} {}", col("votes"), col("label"))
    same_text = Window().partition_by("good", "text", "pair")
    votes = f.when(leads, vote).otherwise(lit(None)).list_agg_distinct().over(same_text)
    keeps = col("order").eq_null_safe(col("opening"))
    # Once a text: to read all its labels for each of its rows would take the square of the time.
    rows = rows.with_column("combined", combined(f.when(keeps, votes)))
    rows = rows.with_column("combined", col("combined").min().over(same_text))
    lost = (col("labels") > lit(1)) & col("combined").is_null()
    label = f.coalesce(col("combined"), col("label"))
    return rows, keeps, lost, lit("conflicting labels: spans that overlap"), label


_UNDECIDED = "conflicting labels: '{}' in {} of {} rows"
_OUTVOTED = "conflicting labels: '{}' outvoted by '{}', {} to {}"


def _count(condition: daft.Expression) -> daft.Expression:
    from daft import DataType

    return condition.cast(DataType.int64()).sum()


def draw(text: str, shares: Mapping[str, float]) -> int:
    """Returns the split, as its place in `CLAIMS`, that falls to a text.

    It depends on the text alone, so that more rows move none of those that are there: the BLAKE2b
    hash (RFC 7693) of its UTF-8 bytes, 64 bits, as a fraction.

    Args:
        text: The text.
        shares: Split -> share; they sum to 1.

    Example:
        >>> CLAIMS[draw("A fine film.", {"train": 0.8, "validation": 0.1, "test": 0.1})]
        'train'
    """
    fraction = int.from_bytes(blake2b(text.encode(), digest_size=8).digest()) / 2**64
    bounds = list(accumulate(shares.values()))[:-1]  # the last is 1, or nearly so
    return CLAIMS.index(list(shares)[bisect(bounds, fraction)])


def prepare_engine() -> None:
    """Has Daft work on the Ray cluster at `RAY_ADDRESS` if that is set, else within this process.

    Daft reports its use to its makers unless told otherwise; a program that handles people's texts
    tells it otherwise.
    """
    os.environ.setdefault("DAFT_ANALYTICS_ENABLED", "0")
    os.environ.setdefault("DAFT_PROGRESS_BAR", "0")
    if "RAY_ADDRESS" in os.environ:
        os.environ.setdefault("DAFT_RUNNER", "ray")
        os.environ.setdefault("DAFT_RAY_ADDRESS", os.environ["RAY_ADDRESS"])
