"""Holds a SavedModel in a process of its own and answers requests, a line each.

`python -m textmill.serving.timed_session MODEL_DIR`. The first line that it writes says
`load_seconds`, or `error`. Then each line that it reads is a request as `textmill.serving.session`
has it; with `calls` it is asked so often, and `milliseconds` of each come back, else its `answer`.
When the input ends, `memory_bytes` is written: the most that it took beside TensorFlow's own.
"""

from __future__ import annotations

import json
import os
import sys
import time
from typing import Any, cast

from textmill.serving.session import asked, disable_xla, idle_memory, memory, plain


def serve(folder: str) -> None:
    """Answers what standard input asks the model in `folder`.

    Raises:
        Exception: Whatever TensorFlow raises when it can't load the model, or answer.
    """
    import tensorflow as tf

    disable_xla()
    idle = idle_memory()
    began = time.monotonic()
    with tf.compat.v1.Session(graph=tf.Graph()) as session:
        meta = tf.compat.v1.saved_model.load(session, ["serve"], folder)
        _say({"load_seconds": time.monotonic() - began})
        for line in sys.stdin:
            _say(_turn(session, meta, json.loads(line)))
    peak = memory("VmHWM")
    _say({"memory_bytes": None if idle is None or peak is None else max(peak - idle, 0)})


def _turn(session: Any, meta: Any, request: dict[str, Any]) -> dict[str, Any]:
    fetches, feeds = asked(meta, request)
    if "calls" not in request:
        found = session.run(fetches, feeds)
        return {"answer": {name: plain(value) for name, value in found.items()}}
    times = []
    for _ in range(request["calls"]):
        began = time.perf_counter()
        session.run(fetches, feeds)
        times.append(1000 * (time.perf_counter() - began))
    return {"milliseconds": times}


def _say(what: dict[str, Any]) -> None:
    print(json.dumps(what), flush=True)


def main() -> None:
    """Serves the model that the command line names."""
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    # TensorFlow imports Keras where it can, and Keras would register things that no server has.
    for name in ("keras", "tf_keras"):
        sys.modules[name] = cast(Any, None)
    try:
        serve(sys.argv[1])
    except Exception as error:  # the caller tells it
        _say({"error": str(error)})


if __name__ == "__main__":
    main()
