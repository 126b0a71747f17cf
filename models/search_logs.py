"""A search in TensorBoard's HParams plugin."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from textmill.models.objective import Objective
from textmill.models.search import Attempt

if TYPE_CHECKING:
    import keras_tuner


def write_logs(
    folder: Path,
    attempts: Sequence[Attempt],
    hyperparameters: keras_tuner.HyperParameters,
    objective: Objective,
) -> None:
    """Writes event files: the space in `folder`, each trial in `folder/trial-<number>`.

    They are written without TensorFlow's summaries, which would take hold of a GPU.

    Args:
        folder: For `tensorboard --logdir`.
        attempts: The trials.
        hyperparameters: The space.
        objective: What was made good.
    """
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.plugins.hparams import api
    from tensorboard.plugins.hparams.summary import session_end_pb
    from tensorboard.plugins.hparams.summary_v2 import hparams_config_pb, hparams_pb

    domains: dict[str, Any] = {}
    for each in hyperparameters.space:
        domains.setdefault(each.name, api.HParam(each.name, _domain(each, api)))
    config = hparams_config_pb(
        hparams=list(domains.values()),
        metrics=[api.Metric(objective.name, display_name=objective.words)],
    )
    _write(folder, [(0, config)])
    for number, attempt in enumerate(attempts, 1):
        name = f"trial-{number:03d}"
        start = hparams_pb(attempt.values, trial_id=name)
        status = "STATUS_FAILURE" if attempt.value is None else "STATUS_SUCCESS"
        rows = [
            (int(row["epoch"]), Summary(value=[Summary.Value(tag=column, simple_value=value)]))
            for row in attempt.result.history
            for column, value in row.items()
            if column != "epoch"
        ]
        _write(folder / name, [(0, start), *rows, (0, session_end_pb(status))])


def _write(folder: Path, summaries: list[tuple[int, Any]]) -> None:
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.summary.writer.event_file_writer import EventFileWriter

    writer = EventFileWriter(str(folder))
    for step, summary in summaries:
        event = Event(step=step, wall_time=time.time())
        # Some are of TensorFlow's class of the same message.
        event.summary.MergeFromString(summary.SerializeToString())
        writer.add_event(event)
    writer.close()


def _domain(each: Any, api: Any) -> Any:
    if type(each).__name__ == "Int":
        return api.IntInterval(each.min_value, each.max_value)
    if type(each).__name__ == "Float":
        return api.RealInterval(float(each.min_value), float(each.max_value))
    return api.Discrete(list(each.values))
