"""The rule of the serving contract for warmup requests: one that fails stops the server."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

from textmill.serving.fresh_process import one_line
from textmill.serving.heads import PREDICT
from textmill.serving.rows import Row, judge
from textmill.serving.warmup import FILE, Record, read_warmup

WARM = "warmup replays"
SHOWN = 3  # faults that a row names


class Warmup(NamedTuple):
    """The warmup requests of a model.

    Attributes:
        records: Those that can be asked.
        faults: What is wrong with the others, as the server would see it before it asks.
    """

    records: list[Record]
    faults: list[str]

    @property
    def requests(self) -> list[dict[str, Any]]:
        """The requests as `session` takes them."""
        return [{"signature": r.signature, "tensors": r.tensors} for r in self.records]


def read(folder: Path, meta: Any) -> Warmup:
    """Returns the warmup requests of a SavedModel, parted by whether its signatures take them.

    Args:
        folder: The SavedModel.
        meta: Its meta graph.
    """
    try:
        records = read_warmup(folder)
    except ValueError as error:
        return Warmup([], [str(error)])
    faults = [_fault(record, meta) for record in records]
    return Warmup(
        [record for record, fault in zip(records, faults, strict=True) if not fault],
        [
            f"request {number} to {record.signature}: {fault}"
            for number, (record, fault) in enumerate(zip(records, faults, strict=True), start=1)
            if fault
        ],
    )


def _fault(record: Record, meta: Any) -> str:
    """Returns why a server refuses a request before it runs it; "" if it does not."""
    from tensorflow.dtypes import as_dtype

    if record.signature not in meta.signature_def:
        return "there is no such signature"
    signature = meta.signature_def[record.signature]
    if record.method != signature.method_name:
        return f"asked by {record.method}, which is not its method"
    if not any(record.rows.values()):
        return "it holds no row"
    if record.method != PREDICT:
        return ""
    if set(record.kinds) != set(signature.inputs):
        return f"it gives {sorted(record.kinds)}, not {sorted(signature.inputs)}"
    wrong = [
        f"{name} is {as_dtype(kind).name}, not {as_dtype(signature.inputs[name].dtype).name}"
        for name, kind in sorted(record.kinds.items())
        if kind != signature.inputs[name].dtype
    ]
    return ", ".join(wrong)


def replayed(warmup: Warmup, said: list[dict[str, Any]] | None, folder: Path) -> Row:
    """Judges whether the server will get through the warmup requests.

    Args:
        warmup: The requests.
        said: What the model answered to those that can be asked; None: it did not load.
        folder: The SavedModel.
    """
    if not (folder / FILE).is_file():
        return Row(WARM, "skipped", "there are no warmup requests; the first answers are slow", "")
    if said is None and not warmup.faults:
        return Row(WARM, "skipped", "the model did not load", "")
    wrong = warmup.faults + [
        f"to {record.signature}: {one_line(answer['error'], folder)}"
        for record, answer in zip(warmup.records, said or [], strict=False)
        if "error" in answer
    ]
    names = sorted({record.signature for record in warmup.records})
    return judge(
        WARM,
        "; ".join(wrong[:SHOWN]),
        f"{len(warmup.records)} requests to {', '.join(names)}",
        f"export the model again, or remove {FILE}",
    )
