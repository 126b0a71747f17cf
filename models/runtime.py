"""TensorFlow as the steps want it."""

from __future__ import annotations

import os

from textmill.quiet import import_tensorflow


def start_tensorflow() -> None:
    """Imports TensorFlow with oneDNN, unless the environment says `TF_ENABLE_ONEDNN_OPTS=0`.

    Its matrix products double the speed of training on CPUs without AVX-512, but TensorFlow takes
    them by itself only on newer ones. It decides so once, while it is imported.
    """
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
    import_tensorflow()
