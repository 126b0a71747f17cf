"""From texts with named spans to a model that TensorFlow Serving can load.

textmill run CONFIG.toml
"""

from __future__ import annotations

from textmill.artifact import Pushed
from textmill.models import token_classification as task
from textmill.pipelines.text_classification import Config, supervised
from textmill.run import Runner

__all__ = ["Config", "token_classification"]


def token_classification(run: Runner, config: Config) -> Pushed:
    """Trains, proves and pushes a model that finds and names spans; returns the version."""
    return supervised(run, config, task)
