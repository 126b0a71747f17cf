"""Writes a text classifier as a SavedModel that takes raw text and that any server loads."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from textmill.quiet import import_tensorflow
from textmill.serving.wordpiece import WordPiece

if TYPE_CHECKING:
    import tensorflow as tf

TAG = "serve"
PREDICT, CLASSIFY = "tensorflow/serving/predict", "tensorflow/serving/classify"
FEATURE = "text"  # the feature of a tf.train.Example that holds the text
CAPTURE = "_user_specified_name"  # of a captured tensor it is the tensor's id in this process


def write(
    folder: Path,
    *,
    clean: Callable[[tf.Tensor], tf.Tensor],
    logits: Callable[[tf.Tensor, tf.Tensor], tf.Tensor],
    variables: Sequence[tf.Variable],
    tokenizer: WordPiece,
    labels: Sequence[str],
) -> None:
    """Writes a SavedModel with cleaning and tokenization inside and every weight once.

    Signatures, the batch free in each:

    - `serving_default`: `text` string [batch] -> `scores` float32 [batch, classes] (softmax) and
      `label` string [batch];
    - `classify` (`tensorflow/serving/classify`): `inputs` serialized `tf.train.Example` [batch]
      with a feature `text` -> `classes` string [batch, classes] and `scores`.

    Rows are padded to the longest of their batch. Equal models give equal bytes: names of functions
    count up over the life of a process, and a fingerprint is drawn at random, so the first are
    numbered anew and the second, which loading doesn't need, is left out.

    Args:
        folder: Where to write; made if missing.
        clean: What happens to the texts first, string [batch] to string [batch]; in core
            operations and constants, for no table of its own is tracked.
        logits: From token ids int32 [batch, time] and padding mask bool [batch, time] to
            float32 [batch, classes]; traceable at any batch and time.
        variables: What `logits` reads. Only these are tracked: an object that holds a Keras model
            can load in Python and fail in TensorFlow Serving.
        tokenizer: Makes the token ids.
        labels: Names of the classes in the order of the logits.
    """
    import tensorflow as tf

    texts = tf.TensorSpec([None], tf.string, name="text")
    examples = tf.TensorSpec([None], tf.string, name="inputs")
    names = list(labels)

    def score(text: tf.Tensor) -> tf.Tensor:
        ids = tokenizer(clean(text))
        lengths = ids.row_lengths()
        # A layer may look at the first token, so there is one even where there are no rows.
        longest = tf.reduce_max(tf.concat([lengths, [1]], 0))
        token_ids = tf.ensure_shape(ids.to_tensor(shape=tf.stack([-1, longest])), [None, None])
        mask = tf.sequence_mask(lengths, longest)
        scores = tf.nn.softmax(tf.cast(logits(token_ids, mask), tf.float32))
        return tf.ensure_shape(scores, [None, len(names)])

    # One function for both signatures: its tables are stored once.
    scored = tf.function(score, input_signature=[texts], autograph=False)

    def serving_default(text: tf.Tensor) -> dict[str, tf.Tensor]:
        scores = scored(text)
        return {"scores": scores, "label": tf.gather(tf.constant(names), tf.argmax(scores, -1))}

    def classify(inputs: tf.Tensor) -> dict[str, tf.Tensor]:
        features = {FEATURE: tf.io.FixedLenFeature([], tf.string)}
        scores = scored(tf.io.parse_example(inputs, features)[FEATURE])
        return {"scores": scores, "classes": tf.tile([names], [tf.shape(scores)[0], 1])}

    served = tf.Module(name="served")
    served.weights = list(variables)
    served.vocabulary = tokenizer.table
    signatures = {
        "serving_default": tf.function(serving_default, input_signature=[texts], autograph=False),
        "classify": tf.function(classify, input_signature=[examples], autograph=False),
    }
    tf.saved_model.save(served, str(folder), signatures=signatures)
    _finish(folder, tokenizer.digest)
    (folder / "fingerprint.pb").unlink(missing_ok=True)


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
    """Returns what the manifest says about the graph: operation types, and size of the weights."""
    from tensorflow.dtypes import as_dtype

    (meta,) = read(folder).meta_graphs
    weights = [
        node.variable
        for node in meta.object_graph_def.nodes
        if node.WhichOneof("kind") == "variable"
    ]
    counts = [math.prod(d.size for d in w.shape.dim) for w in weights]
    return {
        "operations": operations(meta.graph_def),
        "parameters": {
            "count": sum(counts),
            "bytes": sum(n * as_dtype(w.dtype).size for n, w in zip(counts, weights, strict=True)),
        },
    }


def _finish(folder: Path, digest: str) -> None:
    """Gives `classify` its method name, and the same name to the same thing in every process."""
    saved = read(folder)
    (meta,) = saved.meta_graphs
    # `tf.saved_model.save` writes the method name of predict for every signature.
    meta.signature_def["classify"].method_name = CLASSIFY
    graph, objects = meta.graph_def, meta.object_graph_def
    new = _numbered([f.signature.name for f in graph.library.function])
    for function in graph.library.function:
        function.signature.name = new[function.signature.name]
        for argument in function.arg_attr.values():
            argument.attr.pop(CAPTURE, None)
        for given in function.signature.input_arg:
            given.name = re.sub(r"\d+___redundant", "redundant", given.name)
    for node in nodes(graph):
        node.op = new.get(node.op, node.op)
        node.attr.pop(CAPTURE, None)
        if node.op == "HashTableV2":
            # Tables of one name are one table to a process, whichever model brought them.
            node.attr["shared_name"].s = f"vocabulary_{digest}".encode()
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


def _numbered(names: list[str]) -> dict[str, str]:
    """Maps each name `base_N` to `base_K`, where K counts the functions in order of N.

    Example:
        >>> _numbered(["a_71", "b_9"])
        {'b_9': 'b_0', 'a_71': 'a_1'}
    """
    parts = sorted((int(number), base) for base, _, number in (n.rpartition("_") for n in names))
    return {f"{base}_{n}": f"{base}_{k}" for k, (n, base) in enumerate(parts)}
