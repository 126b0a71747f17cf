"""Rules of the serving contract for the signatures: what goes in, and what comes out."""

from __future__ import annotations

from typing import Any

from textmill.serving.heads import CLASSIFY, PREDICT, REGRESS, TOKENS, Form
from textmill.serving.rows import Row, judge

# What the server's REST interface can write and read: `AddValueToTensor` and its like in
# https://github.com/tensorflow/serving, tensorflow_serving/util/json_tensor.cc.
REST = {
    *("string", "bool", "float32", "float64"),
    *("int8", "int16", "int32", "int64", "uint8", "uint32", "uint64"),
}


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
    if not _dense(info):
        return "ragged or sparse"
    if info.tensor_shape.unknown_rank:
        return f"{as_dtype(info.dtype).name} of unknown rank"
    return f"{as_dtype(info.dtype).name} {[d.size for d in info.tensor_shape.dim]}"


def _dense(info: Any) -> bool:
    """Says whether what a signature names is one tensor; only then is its type given."""
    return bool(info.WhichOneof("encoding") == "name" and info.dtype)


def fits(info: Any, wanted: str) -> bool:
    """Says whether a tensor has a type and as many dimensions as in "string [batch]"."""
    from tensorflow.dtypes import as_dtype

    if info is None or not _dense(info):
        return False
    kind, _, shape = wanted.partition(" ")
    return (
        as_dtype(info.dtype) == as_dtype(kind)
        and not info.tensor_shape.unknown_rank
        and len(info.tensor_shape.dim) == len(shape.split(","))
    )


def gives(meta: Any, name: str, form: Form) -> bool:
    """Says whether a signature that is there has the outputs that it should."""
    outputs = meta.signature_def[name].outputs
    return all(fits(outputs.get(key), shape) for key, shape in form.outputs.items())


def _signatures(meta: Any) -> list[tuple[str, Any]]:
    """Returns the signatures that a client may ask for; not __saved_model_init_op."""
    return [(n, found) for n, found in sorted(meta.signature_def.items()) if n[:2] != "__"]


def _infos(meta: Any) -> list[tuple[str, str, Any]]:
    """Returns every input and output: its signature, its own name, and what it is."""
    return [
        (name, key, info)
        for name, found in _signatures(meta)
        for side in (found.inputs, found.outputs)
        for key, info in sorted(side.items())
    ]


def _tensors(meta: Any) -> list[tuple[str, Any]]:
    return [(f"{name}: {key}", info) for name, key, info in _infos(meta)]


def valid(meta: Any) -> Row:
    """Judges whether every signature can be asked at all, whatever its name."""
    graph = {node.name for node in meta.graph_def.node}
    wrong = [
        f"{name}: {key} is {info.name or 'no tensor'}, which the graph does not have"
        for name, key, info in _infos(meta)
        if info.WhichOneof("encoding") == "name" and info.name.partition(":")[0] not in graph
    ]
    for name, found in _signatures(meta):
        if not found.outputs:
            wrong.append(f"{name} has no output")
        if found.method_name not in (PREDICT, CLASSIFY, REGRESS):
            wrong.append(f"{name} has the method {found.method_name!r}")
    if not _signatures(meta):
        wrong.append("there is no signature")
    return judge(
        "valid signatures",
        "; ".join(wrong),
        "each has tensors of the graph and a method that the server knows",
        f"export signatures of tensors that the graph has, with the method {PREDICT}",
    )


def rest_types(meta: Any) -> Row:
    """Judges whether JSON can carry every input and output."""
    from tensorflow.dtypes import as_dtype, string

    wrong = [
        f"{name} is {_shape(info)}"
        for name, info in _tensors(meta)
        if not _dense(info) or as_dtype(info.dtype).name not in REST
    ]
    base64 = [
        f"{name}: {key}"
        for name, found in _signatures(meta)
        for key, info in sorted(found.outputs.items())
        if info.dtype == string.as_datatype_enum and key.endswith("_bytes")
    ]
    note = f"; {', '.join(base64)} comes back in base64, for its name ends in _bytes"
    return judge(
        "types for REST",
        "; ".join(wrong),
        f"JSON can carry every input and output{note if base64 else ''}",
        "cast outputs to float32 or int32 in the graph, and make sparse and ragged ones dense",
    )


def batch(meta: Any) -> Row:
    """Judges whether a batch may have any size."""
    fixed = [
        f"{name} is {_shape(info)}"
        for name, info in _tensors(meta)
        if _dense(info)
        and not info.tensor_shape.unknown_rank
        and (not info.tensor_shape.dim or info.tensor_shape.dim[0].size != -1)
    ]
    return judge(
        "free batch",
        "; ".join(fixed),
        "the first dimension of every input and output is free",
        "export with None as the first dimension of every input and output",
    )


def raw_text(meta: Any) -> Row:
    """Judges whether all that a client must send is text, unless it asks for `tokens`."""
    from tensorflow.dtypes import string

    numeric = [
        f"{name}: {key} is {_shape(info)}"
        for name, found in _signatures(meta)
        if name != TOKENS
        for key, info in sorted(found.inputs.items())
        if info.dtype != string.as_datatype_enum and key not in found.defaults
    ]
    return judge(
        "raw text",
        "; ".join(numeric),
        f"every input is a string, but for those of {TOKENS}"
        if TOKENS in meta.signature_def
        else "every input is a string",
        "put the tokenization into the graph",
    )
