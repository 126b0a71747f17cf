"""Writes a model as a SavedModel that takes raw text and that any server loads."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from textmill.quiet import import_tensorflow
from textmill.serving import heads
from textmill.serving.framing import Framing, Rows, rows_of, segments
from textmill.serving.graph_tokenizer import GraphTokenizer
from textmill.serving.heads import (
    BEAMS,
    CONVERSATION,
    EXPLAIN,
    PREDICT,
    TOKENS,
    Head,
    as_method,
    forms,
    pooled,
)
from textmill.serving.tagging import tagged

if TYPE_CHECKING:
    import tensorflow as tf

TAG = "serve"
TEXT, PAIR = "text", "text_pair"  # inputs, and features of a tf.train.Example
MORE = (TOKENS, EXPLAIN)  # signatures beyond those of every model, which `describe` lists
# Attributes that change no number, and that an older server than the one in brackets refuses.
HINTS = {
    "VarHandleOp": ("debug_name",),  # 2.15
    "MatMul": ("grad_a", "grad_b"),  # 2.16
    "BatchMatMulV2": ("grad_x", "grad_y"),  # 2.16
}
CAPTURE = "_user_specified_name"  # of a captured tensor it is the tensor's id in this process


def write(
    folder: Path,
    *,
    clean: Callable[[tf.Tensor], tf.Tensor],
    logits: Callable[[tf.Tensor, tf.Tensor, tf.Tensor], tf.Tensor],
    variables: Sequence[tf.Variable],
    tokenizer: GraphTokenizer,
    framing: Framing,
    head: Head,
    pair: bool = False,
    explain: Callable[[Rows], dict[str, tf.Tensor]] | None = None,
) -> None:
    """Writes a SavedModel with cleaning and tokenization inside and every weight once.

    Its signatures are those that `textmill.serving.heads.forms` names, the batch free in each. A
    signature that takes serialized `tf.train.Example` reads their features `text` and `text_pair`.
    `tokens` takes rows that are ready for the model, special tokens and all; one row, one answer,
    whatever windows texts get.

    Rows are padded to the longest of their batch. Equal models give equal bytes: names of functions
    count up over the life of a process, and a fingerprint is drawn at random, so the first are
    numbered anew and the second, which loading doesn't need, is left out.

    Args:
        folder: Where to write; made if missing.
        clean: What happens to the texts first, string [batch] to string [batch]; in core
            operations and constants, for no table of its own is tracked.
        logits: From token ids int32 [rows, time], padding mask bool [rows, time] and segment ids
            int32 [rows, time] to float32 [rows, classes], or of spans [rows, time, tags]; traceable
            at any number of rows and time.
        variables: What `logits` reads. Only these are tracked: an object that holds a Keras model
            can load in Python and fail in TensorFlow Serving.
        tokenizer: Makes the token ids.
        framing: How rows are made of them.
        head: What the logits mean.
        pair: Whether the model takes two texts.
        explain: Makes the outputs of `explain` from a row of each text, the first of its windows;
            None: there is no such signature.
    """
    import tensorflow as tf

    names = [TEXT, PAIR] if pair else [TEXT]
    specs = [tf.TensorSpec([None], tf.string, name=name) for name in names]
    examples = tf.TensorSpec([None], tf.string, name="inputs")

    def framed(texts: Sequence[tf.Tensor], framing: Framing) -> Rows:
        most = framing.most(pair=pair)
        pieces = [tokenizer.pieces(clean(text), most) for text in texts]
        return rows_of(pieces[0], framing, pieces[1] if pair else None)

    def answer(*texts: tf.Tensor) -> dict[str, tf.Tensor]:
        if head.kind == "spans":
            return tagged(clean(texts[0]), tokenizer, framing, logits, head)
        rows = framed(texts, framing)
        found = logits(rows.token_ids, rows.padding_mask, rows.segment_ids)
        if framing.overlap is not None:
            found = pooled(found, rows.texts, tf.size(texts[0], out_type=tf.int64), head)
        return heads.answer(found, head)

    # One function for all signatures: its tables are stored once.
    answered = tf.function(answer, input_signature=specs, autograph=False)

    def of_examples(inputs: tf.Tensor) -> dict[str, tf.Tensor]:
        features = {name: tf.io.FixedLenFeature([], tf.string) for name in names}
        parsed = tf.io.parse_example(inputs, features)
        return as_method(answered(*(parsed[name] for name in names)), head)

    separator = framing.frame.separator if pair else None
    ids = [tf.TensorSpec([None, None], tf.int32, name=n) for n in ("token_ids", "padding_mask")]

    def of_tokens(token_ids: tf.Tensor, padding_mask: tf.Tensor) -> dict[str, tf.Tensor]:
        mask = padding_mask > 0
        # The graph counts on a token in each row: of an empty one, its first place.
        empty = ~tf.reduce_any(mask, 1, keepdims=True)
        kept = mask | (empty & (tf.range(tf.shape(mask)[1]) == 0))
        found = logits(token_ids, kept, segments(token_ids, separator))
        if head.kind == "spans":
            return heads.answer_tags(found, mask, head)
        return heads.answer(found, head)

    served = tf.Module(name="served")
    served.weights = list(variables)
    served.tables = dict(tokenizer.tables)
    wanted = forms(head.kind, pair=pair, more=MORE if explain else [TOKENS])
    signatures = {
        name: tf.function(of_examples, input_signature=[examples], autograph=False)
        if form.method != PREDICT
        else answered
        for name, form in wanted.items()
    }
    signatures[TOKENS] = tf.function(of_tokens, input_signature=ids, autograph=False)
    if explain:
        once = framing._replace(overlap=None)
        signatures[EXPLAIN] = tf.function(
            lambda *texts: explain(framed(texts, once)), input_signature=specs, autograph=False
        )
    tf.saved_model.save(served, str(folder), signatures=signatures)
    finish(folder, tokenizer.digest, {name: form.method for name, form in wanted.items()})


def read(folder: Path) -> Any:
    """Returns `saved_model.pb` as a `SavedModel` message."""
    import_tensorflow()
    from tensorflow.core.protobuf import saved_model_pb2

    return saved_model_pb2.SavedModel.FromString((folder / "saved_model.pb").read_bytes())


def nodes(graph: Any) -> Iterator[Any]:
    """Yields every node of a GraphDef, those inside its functions too."""
    yield from graph.node
    for function in graph.library.function:
        yield from function.node_def


def operations(graph: Any) -> list[str]:
    """Returns the types of operation that a GraphDef uses, its own functions left out."""
    own = {function.signature.name for function in graph.library.function}
    return sorted({node.op for node in nodes(graph)} - own)


def describe(folder: Path) -> dict[str, Any]:
    """Returns what the manifest says about the graph.

    Returns:
        `operations`, their types; `parameters`, the size of the weights; and `more_signatures`,
        those that not every model has.
    """
    from tensorflow.dtypes import as_dtype

    (meta,) = read(folder).meta_graphs
    weights = [
        node.variable
        for node in meta.object_graph_def.nodes
        if node.WhichOneof("kind") == "variable"
    ]
    counts = [math.prod(d.size for d in w.shape.dim) for w in weights]
    return {
        "more_signatures": [
            name for name in (*MORE, BEAMS, CONVERSATION) if name in meta.signature_def
        ],
        "operations": operations(meta.graph_def),
        "parameters": {
            "count": sum(counts),
            "bytes": sum(n * as_dtype(w.dtype).size for n, w in zip(counts, weights, strict=True)),
        },
    }


def finish(folder: Path, digest: str, methods: dict[str, str]) -> None:
    """Makes what `tf.saved_model.save` wrote the same in every process, and names the methods.

    Args:
        folder: The SavedModel.
        digest: Of the tokenizer's tables.
        methods: The method name of each signature.
    """
    saved = read(folder)
    (meta,) = saved.meta_graphs
    # `tf.saved_model.save` writes the method name of predict for every signature.
    for name, method in methods.items():
        meta.signature_def[name].method_name = method
    graph, objects = meta.graph_def, meta.object_graph_def
    new = _numbered([f.signature.name for f in graph.library.function])
    for function in graph.library.function:
        function.signature.name = new[function.signature.name]
        for argument in function.arg_attr.values():
            argument.attr.pop(CAPTURE, None)
        for given in function.signature.input_arg:
            given.name = re.sub(r"\d+___redundant", "redundant", given.name)
    tables: dict[bytes, int] = {}
    for node in nodes(graph):
        node.op = new.get(node.op, node.op)
        node.attr.pop(CAPTURE, None)
        for hint in HINTS.get(node.op, ()):
            node.attr.pop(hint, None)
        if node.op == "HashTableV2":
            # Tables of one name are one table to a process, whichever model brought them.
            shared = node.attr["shared_name"]
            number = tables.setdefault(shared.s, len(tables))
            shared.s = f"table_{number}_{digest}".encode()
        for value in node.attr.values():
            for called in [value.func] if value.HasField("func") else value.list.func:
                called.name = new[called.name]
    graph.library.function.sort(key=lambda function: function.signature.name)
    for thing in objects.nodes:
        if thing.HasField("bare_concrete_function"):
            bare = thing.bare_concrete_function
            bare.concrete_function_name = new[bare.concrete_function_name]
        for i, name in enumerate(thing.function.concrete_functions):
            thing.function.concrete_functions[i] = new[name]
    for name in sorted(objects.concrete_functions):
        objects.concrete_functions[new[name]].CopyFrom(objects.concrete_functions[name])
        if new[name] != name:
            del objects.concrete_functions[name]
    (folder / "saved_model.pb").write_bytes(saved.SerializeToString(deterministic=True))
    (folder / "fingerprint.pb").unlink(missing_ok=True)  # drawn at random, and loading needs none


def _numbered(names: list[str]) -> dict[str, str]:
    """Maps each name `base_N` to `base_K`, where K counts the functions in order of N.

    Example:
        >>> _numbered(["a_71", "b_9"])
        {'b_9': 'b_0', 'a_71': 'a_1'}
    """
    parts = sorted((int(number), base) for base, _, number in (n.rpartition("_") for n in names))
    return {f"{base}_{n}": f"{base}_{k}" for k, (n, base) in enumerate(parts)}
