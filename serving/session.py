"""Loads a SavedModel as a default TensorFlow Serving does, and answers requests with it.

Run it in a process of its own, `python session.py MODEL_DIR < job.json`: what Keras or TensorFlow
Text register in a process would hide that a server can't load the model. It needs nothing but
TensorFlow, of any version and on any Python that has one, so it is run by its path.

The job is a JSON object. `requests` is a list of `{"signature": name}` with one of
- `rows`: `[{"text": …}, …]`; with `"examples": true` each goes inside a `tf.train.Example`;
- `inputs`: `{input: [...]}`, numbers or texts;
- `tensors`: `{input: serialized TensorProto in base64}`, as warmup records have them.
`measure`, a request, is asked once for each of its rows, again and again for some seconds.

One JSON object comes back: `tensorflow` (its version), `xla` ("disabled", or why it could not be),
`answers` (for each request `{output: [...]}`), `load_seconds`, `latency_ms`, `memory_bytes`. What
fails is said there too: `error` in place of `answers`, or in place of an answer.
"""

from __future__ import annotations

import base64
import ctypes
import json
import os
import re
import sys
import time
from pathlib import Path
from types import ModuleType
from typing import Any, cast

DISABLE_XLA = "_ZN10tensorflow21DisableXlaCompilationEv"
SECONDS, ROUNDS = 1.5, 4  # how long requests are timed at most, and how often each


def disable_xla() -> str:
    """Turns XLA off for this process, as the server's main.cc does; returns how that went."""
    import tensorflow as tf

    library = Path(tf.__file__).parent / "libtensorflow_cc.so.2"
    try:
        getattr(ctypes.CDLL(str(library)), DISABLE_XLA)()
    except (OSError, AttributeError):
        return f"could not be disabled: {library.name} has no {DISABLE_XLA} on {sys.platform}"
    return "disabled"


def serve(folder: str, job: dict[str, Any]) -> dict[str, Any]:
    """Returns what came of a job: see the module's description.

    Args:
        folder: A SavedModel.
        job: As in the module's description.

    Raises:
        Exception: Whatever TensorFlow raises when it can't load the model.
    """
    import tensorflow as tf

    idle = idle_memory()
    began = time.monotonic()
    with tf.compat.v1.Session(graph=tf.Graph()) as session:
        meta = tf.compat.v1.saved_model.load(session, ["serve"], folder)
        found: dict[str, Any] = {"load_seconds": time.monotonic() - began}
        found["answers"] = [_answer(session, meta, request) for request in job["requests"]]
        if "measure" in job and not any("error" in a for a in found["answers"]):
            found["latency_ms"] = _latency(session, meta, job["measure"])
    peak = memory("VmHWM")
    if idle is not None and peak is not None:
        found["memory_bytes"] = max(peak - idle, 0)
    return found


def _answer(session: Any, meta: Any, request: dict[str, Any]) -> dict[str, Any]:
    try:
        found = session.run(*asked(meta, request))
    except Exception as error:
        return {"error": str(error)}
    return {name: plain(value) for name, value in found.items()}


def asked(meta: Any, request: dict[str, Any]) -> tuple[dict[str, str], dict[str, Any]]:
    """Returns what a session is to fetch, and what it is fed."""
    import numpy as np
    import tensorflow as tf
    from tensorflow.core.framework.tensor_pb2 import TensorProto

    signature = meta.signature_def[request["signature"]]
    names = list(signature.inputs)
    given: dict[str, Any] = {}
    if "tensors" in request:
        for name, encoded in request["tensors"].items():
            message = TensorProto.FromString(base64.b64decode(encoded))
            # The one input of `classify` and `regress` has no name in a request.
            given[name or names[0]] = tf.make_ndarray(message)
    elif "inputs" in request:
        for name, values in request["inputs"].items():
            kind = tf.as_dtype(signature.inputs[name].dtype)
            if kind == tf.string:
                given[name] = np.array([value.encode() for value in values], object)
            else:
                given[name] = np.array(values, kind.as_numpy_dtype)
    elif request.get("examples"):
        given = {name: np.array(list(map(_example, request["rows"])), object) for name in names}
    else:
        # Whatever the one input of a model is called, it is the text.
        for name in names:
            key = name if len(names) > 1 else "text"
            given[name] = np.array([row[key].encode() for row in request["rows"]], object)
    fetches = {name: info.name for name, info in signature.outputs.items()}
    return fetches, {signature.inputs[name].name: value for name, value in given.items()}


def _latency(session: Any, meta: Any, request: dict[str, Any]) -> dict[str, float]:
    """Returns the median and the 95th percentile of requests of one row, in milliseconds."""
    import numpy as np

    requests = [asked(meta, {**request, "rows": [row]}) for row in request["rows"]]
    times: list[float] = []
    end = time.monotonic() + SECONDS
    for fetches, feeds in requests * ROUNDS:
        began = time.monotonic()
        session.run(fetches, feeds)
        times.append(1000 * (time.monotonic() - began))
        if began > end:
            break
    return {"p50": float(np.percentile(times, 50)), "p95": float(np.percentile(times, 95))}


def idle_memory() -> int | None:
    """Returns what TensorFlow takes before it has a model, in bytes, and begins a new peak."""
    import tensorflow as tf

    with tf.compat.v1.Session(graph=tf.Graph()) as session:
        session.run(tf.constant(1) + tf.constant(1))
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return None
    return memory("VmRSS")


def memory(name: str) -> int | None:
    """Returns a line of /proc/self/status in bytes; None where there is no such file."""
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:
        return None
    found = re.search(rf"{name}:\s+(\d+) kB", status)
    return 1024 * int(found[1]) if found else None


def _example(row: dict[str, str]) -> bytes:
    import tensorflow as tf

    features = {
        name: tf.train.Feature(bytes_list=tf.train.BytesList(value=[text.encode()]))
        for name, text in row.items()
    }
    example = tf.train.Example(features=tf.train.Features(feature=features))
    return bytes(example.SerializeToString())


def plain(value: Any) -> Any:
    """Returns an array as nested lists that JSON can hold."""
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    if hasattr(value, "tolist"):
        return plain(value.tolist())
    return [plain(v) for v in value] if isinstance(value, list) else value


def main() -> None:
    """Reads a job from standard input and writes what came of it to standard output."""
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    # TensorFlow imports Keras where it can, and Keras would register things that no server has.
    for name in ("keras", "tf_keras"):
        sys.modules[name] = cast(ModuleType, None)
    job = json.load(sys.stdin)
    result: dict[str, Any] = {}
    try:
        import tensorflow as tf

        result = {"tensorflow": tf.__version__, "xla": disable_xla()}
        result.update(serve(sys.argv[1], job))
    except Exception as error:  # the caller turns it into a row
        result["error"] = str(error)
    print(json.dumps(result))


if __name__ == "__main__":
    sys.path.pop(0)  # its neighbours are not what TensorFlow means by their names
    main()
