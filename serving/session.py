"""Loads a SavedModel as a default TensorFlow Serving does, and answers requests with it.

Run it in a process of its own, `python -m textmill.serving.session MODEL_DIR < requests.json`: what
Keras or TensorFlow Text register in a process would hide that a server can't load the model.

The requests are a JSON list of `{"signature": name, "rows": [{"text": …}, …]}`; with `"examples":
true` each row goes inside a `tf.train.Example`. One JSON object comes back: `xla` ("disabled", or
why it could not be), and `answers`, for each request `{output: [...]}`. What fails is said there
too: `error` in place of `answers`, or in place of an answer.
"""

from __future__ import annotations

import ctypes
import json
import os
import sys
from pathlib import Path
from types import ModuleType
from typing import Any, cast

DISABLE_XLA = "_ZN10tensorflow21DisableXlaCompilationEv"


def disable_xla() -> str:
    """Turns XLA off for this process, as the server's main.cc does; returns how that went."""
    import tensorflow as tf

    library = Path(tf.__file__).parent / "libtensorflow_cc.so.2"
    try:
        getattr(ctypes.CDLL(str(library)), DISABLE_XLA)()
    except (OSError, AttributeError):
        return f"could not be disabled: {library.name} has no {DISABLE_XLA} on {sys.platform}"
    return "disabled"


def answer(folder: str, requests: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Returns the outputs of each request, or `{"error": ...}`.

    Args:
        folder: A SavedModel.
        requests: As in the module's description.

    Raises:
        Exception: Whatever TensorFlow raises when it can't load the model.
    """
    import numpy as np
    import tensorflow as tf

    answers: list[dict[str, Any]] = []
    with tf.compat.v1.Session(graph=tf.Graph()) as session:
        meta = tf.compat.v1.saved_model.load(session, ["serve"], folder)
        for request in requests:
            signature = meta.signature_def[request["signature"]]
            rows = request["rows"]
            if request.get("examples"):
                given = dict.fromkeys(signature.inputs, tuple(map(_example, rows)))
            else:
                # Whatever the one input of a model is called, it is the text.
                names = list(signature.inputs)
                keys = names if len(names) > 1 else ["text"]
                pairs = zip(names, keys, strict=True)
                given = {name: tuple(row[key].encode() for row in rows) for name, key in pairs}
            feeds = {signature.inputs[n].name: np.array(v, object) for n, v in given.items()}
            fetches = {name: info.name for name, info in signature.outputs.items()}
            try:
                found = session.run(fetches, feeds)
            except Exception as error:
                answers.append({"error": str(error)})
            else:
                answers.append({name: _plain(value) for name, value in found.items()})
    return answers


def _example(row: dict[str, str]) -> bytes:
    import tensorflow as tf

    features = {
        name: tf.train.Feature(bytes_list=tf.train.BytesList(value=[text.encode()]))
        for name, text in row.items()
    }
    example = tf.train.Example(features=tf.train.Features(feature=features))
    return bytes(example.SerializeToString())


def _plain(value: Any) -> Any:
    """Returns an array as nested lists that JSON can hold."""
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    if hasattr(value, "tolist"):
        return _plain(value.tolist())
    return [_plain(v) for v in value] if isinstance(value, list) else value


def main() -> None:
    """Reads requests from standard input and writes what came of them to standard output."""
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    # TensorFlow imports Keras where it can, and Keras would register things that no server has.
    sys.modules["keras"] = cast(ModuleType, None)
    requests = json.load(sys.stdin)
    result: dict[str, Any] = {"xla": disable_xla()}
    try:
        result["answers"] = answer(sys.argv[1], requests)
    except Exception as error:  # the caller turns it into a row
        result["error"] = str(error)
    print(json.dumps(result))


if __name__ == "__main__":
    main()
