"""TensorFlow as every part of Textmill wants it: quick, and without lines that help nobody."""

from __future__ import annotations

import os
import sys
import tempfile
import warnings


def import_tensorflow() -> None:
    """Imports TensorFlow with oneDNN; what it prints is shown only if the import fails.

    oneDNN's matrix products double the speed of training on CPUs without AVX-512, but TensorFlow
    takes them by itself only on newer ones, and decides so while it is imported.
    `TF_ENABLE_ONEDNN_OPTS=0` in the environment keeps it off.

    `TF_CPP_MIN_LOG_LEVEL` silences most of it, but not what is logged while libraries are loaded
    (that no GPU was found, say), so standard error goes to a file meanwhile.
    """
    if "tensorflow" in sys.modules:
        return
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    sys.stderr.flush()
    kept = os.dup(2)
    with tempfile.TemporaryFile() as said:
        os.dup2(said.fileno(), 2)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                import tensorflow as tf

                tf.config.list_physical_devices()  # where a driver that is not there is logged
        except BaseException:
            said.seek(0)
            os.write(kept, said.read())
            raise
        finally:
            os.dup2(kept, 2)
            os.close(kept)
