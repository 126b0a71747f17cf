"""Rules of the serving contract that can be read off the graph."""

from __future__ import annotations

import re
from collections import Counter
from typing import Any

from textmill.serving import savedmodel
from textmill.serving.heads import TOKENS, Form
from textmill.serving.rows import Row, judge

FOREIGN = re.compile(r"Xla|.*PyFunc|.*>|.*Wordpiece|RegexSplitWithOffsets|SentencepieceTokenize")


def signature(meta: Any, name: str, form: Form) -> Row:
    """Judges whether a signature has the documented method, inputs and outputs."""
    rule = f"signature {name}"
    if name not in meta.signature_def:
        there = sorted(n for n in meta.signature_def if not n.startswith("__"))
        return Row(rule, "failed", f"missing; there are {there}", f"export a signature {name}")
    signature = meta.signature_def[name]
    wrong = [
        f"{side} {key} is {_shape(found.get(key))}, not {wanted.get(key, 'expected')}"
        for side, found, wanted in (
            ("input", signature.inputs, form.inputs),
            ("output", signature.outputs, form.outputs),
        )
        for key in sorted(set(found) | set(wanted))
        if key not in wanted or not fits(found.get(key), wanted[key])
    ]
    if signature.method_name != form.method:
        wrong.append(f"method is {signature.method_name!r}, not {form.method!r}")
    arrow = f"{', '.join(form.inputs)} -> {', '.join(form.outputs)}"
    return judge(rule, "; ".join(wrong), arrow, "export it as documented")


def _shape(info: Any) -> str:
    """Returns type and shape of a tensor in words, "missing" for None."""
    from tensorflow.dtypes import as_dtype

    if info is None:
        return "missing"
    if info.tensor_shape.unknown_rank:
        return f"{as_dtype(info.dtype).name} of unknown rank"
    return f"{as_dtype(info.dtype).name} {[d.size for d in info.tensor_shape.dim]}"


def fits(info: Any, wanted: str) -> bool:
    """Says whether a tensor has a type and as many dimensions as in "string [batch]"."""
    from tensorflow.dtypes import as_dtype

    if info is None:
        return False
    kind, _, shape = wanted.partition(" ")
    return (
        as_dtype(info.dtype) == as_dtype(kind)
        and not info.tensor_shape.unknown_rank
        and len(info.tensor_shape.dim) == len(shape.split(","))
    )


def _tensors(meta: Any) -> list[tuple[str, Any]]:
    """Returns every input and output of every signature, named."""
    return [
        (f"{name}: {key}", info)
        for name, signature in sorted(meta.signature_def.items())
        if not name.startswith("__")  # __saved_model_init_op
        for side in (signature.inputs, signature.outputs)
        for key, info in sorted(side.items())
    ]


def batch(meta: Any) -> Row:
    """Judges whether a batch may have any size."""
    fixed = [
        f"{name} is {_shape(info)}"
        for name, info in _tensors(meta)
        if not info.tensor_shape.unknown_rank
        and (not info.tensor_shape.dim or info.tensor_shape.dim[0].size != -1)
    ]
    return judge(
        "free batch",
        "; ".join(fixed),
        "the first dimension of every input and output is free",
        "export with None as the first dimension of every input and output",
    )


def raw_text(meta: Any) -> Row:
    """Judges whether all that a client sends is text, unless it asks for `tokens`."""
    from tensorflow.dtypes import string

    numeric = [
        f"{name}: {key} is {_shape(info)}"
        for name, signature in sorted(meta.signature_def.items())
        if not name.startswith("__") and name != TOKENS
        for key, info in sorted(signature.inputs.items())
        if info.dtype != string.as_datatype_enum
    ]
    return judge(
        "raw text",
        "; ".join(numeric),
        "every input is a string",
        "put the tokenization into the graph",
    )


def operations(meta: Any) -> Row:
    """Judges whether a server without custom operations has all that the graph uses."""
    foreign = sorted(o for o in savedmodel.operations(meta.graph_def) if FOREIGN.match(o))
    return judge(
        "core operations",
        ", ".join(foreign),
        "every operation is in core TensorFlow",
        "export without Python functions, XLA and custom operations",
    )


def devices(meta: Any) -> Row:
    """Judges whether the graph runs on whatever device the server has."""
    # What saves and restores variables is always placed on the processor.
    where = Counter(
        node.device
        for node in savedmodel.nodes(meta.graph_def)
        if node.device and "CPU" not in node.device.upper()
    )
    return judge(
        "no fixed device",
        ", ".join(f"{count} operations on {device}" for device, count in sorted(where.items())),
        "no operation asks for an accelerator",
        "export outside tf.device, or with clear_devices",
    )
