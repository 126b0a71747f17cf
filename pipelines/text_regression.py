"""From a table of texts and numbers to a model that TensorFlow Serving can load.

textmill run CONFIG.toml
"""

from __future__ import annotations

from textmill.artifact import Pushed
from textmill.models import text_regression as task
from textmill.pipelines.text_classification import Config, supervised
from textmill.run import Runner

__all__ = ["Config", "text_regression"]


def text_regression(run: Runner, config: Config) -> Pushed:
    """Trains, proves and pushes a model that gives a text a number; returns the version."""
    return supervised(run, config, task)
