"""A trial of a user's own hypermodel or Keras Tuner, inside the process of the trial."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Collection, Mapping
from typing import TYPE_CHECKING, Any

from textmill.errors import UserError
from textmill.models.search_job import Figures, Job

if TYPE_CHECKING:
    import keras
    import keras_tuner
    import tensorflow as tf

_INPUTS = ("token_ids", "padding_mask", "segment_ids")
# Keras 3.15 gives a model of inputs in a dictionary the first values of another dictionary, by the
# alphabet and not by name, and warns: `_standardize_inputs` in `keras/src/models/functional.py`.
_MIXED_UP = r"The structure of `inputs` doesn't match the expected structure.\s+Expected: \{"


def explore(job: Job, goes_on: Callable[[list[Figures]], bool]) -> dict[str, Any]:
    """Returns the configuration of the entries that the hypermodel asks for.

    KerasTuner calls it as often as it takes to see each conditional branch.
    """
    import keras_tuner

    # The values of this one stay: a hypermodel may ask for what [tune.space] gives.
    known = keras_tuner.HyperParameters.from_config(job.values)
    tuner = _tuner(job, known, keras_tuner.Tuner, [])
    config: dict[str, Any] = tuner.oracle.get_space().get_config()
    return config


def run(job: Job, goes_on: Callable[[list[Figures]], bool]) -> dict[str, Any]:
    """Trains as the user's code says; returns the history.

    Where `run_trial` returns something other than a Keras history, its figures are the last row.
    """
    import keras
    import keras_tuner
    from keras_tuner.engine.trial import Trial
    from keras_tuner.src.engine import tuner_utils  # what reads all that run_trial may return

    hyperparameters = keras_tuner.HyperParameters()
    hyperparameters.values = dict(job.values)
    models: list[keras.Model] = []
    tuner = _tuner(job, keras_tuner.HyperParameters(), job.tuner or keras_tuner.Tuner, models)
    trial = Trial(hyperparameters, trial_id="0")
    tuner.oracle.trials[trial.trial_id] = trial
    history: list[Figures] = []

    def on_epoch_end(epoch: int, logs: dict[str, Any] | None) -> None:
        figures = {name: float(value) for name, value in (logs or {}).items()}
        history.append({"epoch": len(history) + 1, **figures})
        if not goes_on(history):
            # KerasTuner trains with a copy of the callback, so that it does not know its model.
            models[-1].stop_training = True

    settings = job.point.settings
    keras.utils.set_random_seed(settings.seed)
    warnings.filterwarnings("error", _MIXED_UP)  # where `run_trial` calls `model.fit` itself
    report = keras.callbacks.LambdaCallback(on_epoch_end=on_epoch_end)
    try:
        found = tuner.run_trial(trial, **_data(job), epochs=settings.epochs, callbacks=[report])
    except UserWarning as mixed_up:  # of the filter
        raise UserError(
            "tune.tuner: run_trial gives a model other inputs than its own",
            expected="a batch with the model's inputs alone, as self.hypermodel.fit makes it",
            received=str(mixed_up),
            fix="call self.hypermodel.fit(hyperparameters, model, ...) instead of model.fit",
        ) from mixed_up
    results = found if isinstance(found, list) else [found]
    if len(results) == 1 and isinstance(results[0], keras.callbacks.History) and history:
        return {"history": history}
    tuner_utils.validate_trial_results(found, tuner.oracle.objective, "run_trial()")
    figures = tuner_utils.convert_to_metrics_dict(found, tuner.oracle.objective)
    row = {"epoch": max(1, len(history))} | {name: float(x) for name, x in figures.items()}
    return {"history": [row]}


def classifier(job: Job) -> keras.Model:
    """Returns the task's model, compiled: what a Keras Tuner without a hypermodel trains."""
    import keras

    from textmill.models.checkpoint import load_backbone, vocabulary

    point, info = job.point, job.tokens.info()
    words = len(vocabulary(job.tokens.tokenizer_file))
    backbone = load_backbone(point.preset, vocabulary_size=words, dropout=point.dropout)
    model = job.task.build(backbone, info["labels"], dropout=point.dropout)
    optimizer = keras.optimizers.AdamW(
        point.settings.learning_rate, weight_decay=point.settings.weight_decay
    )
    model.compile(optimizer=optimizer, loss=job.task.loss, metrics=["accuracy"])
    return model


def _tuner(
    job: Job, known: keras_tuner.HyperParameters, kind: Any, models: list[keras.Model]
) -> Any:
    """Returns the tuner of a trial; `models` collects what its hypermodel makes."""
    import keras_tuner
    import tensorflow as tf

    ready = job.explore

    class Made(keras_tuner.HyperModel):  # type: ignore[misc]
        def build(self, hp: keras_tuner.HyperParameters) -> keras.Model | None:
            if not ready:  # a tuner's constructor explores the space, which the search knows
                return None
            model = job.hypermodel(hp, job.tokens) if job.hypermodel else classifier(job)
            models.append(model)
            return model

        def fit(self, hp: Any, model: keras.Model, *args: Any, **kwargs: Any) -> Any:
            for key in ("x", "validation_data"):
                if isinstance(rows := kwargs.get(key), tf.data.Dataset):
                    kwargs[key] = rows.map(_taking(model, rows.element_spec[0]))
            return model.fit(*args, **kwargs)

    assert job.objective is not None
    objective = keras_tuner.Objective(job.objective.name, job.objective.direction)
    oracle = keras_tuner.oracles.RandomSearchOracle(objective=objective, hyperparameters=known)
    tuner = kind(
        oracle=oracle,
        hypermodel=Made(),
        directory=str(job.folder),
        project_name="keras_tuner",
        overwrite=True,
    )
    ready = True
    return tuner


def _taking(model: keras.Model, given: Collection[str]) -> Callable[[Any, Any], tuple[Any, Any]]:
    """Returns what takes a model's own inputs from a batch, in their form."""
    import keras

    try:
        own = model.input
    except (AttributeError, ValueError):  # a subclass of `Model`, whose `call` takes what it wants
        return lambda inputs, y: (inputs, y)
    names = list(own) if isinstance(own, dict) else [t.name for t in keras.tree.flatten(own)]
    if not set(names) <= set(given):
        raise UserError(
            "tune.hypermodel: its model has inputs that rows have not",
            expected=f"some of {', '.join(given)}",
            received=", ".join(names),
            fix='name them so: keras.Input((None,), dtype="int32", name="token_ids")',
        )

    def taken(inputs: Mapping[str, Any], y: Any) -> tuple[Any, Any]:
        if isinstance(own, dict):
            return {name: inputs[name] for name in names}, y
        found = tuple(inputs[name] for name in names)  # `tf.data` would stack a list
        return found if isinstance(own, list | tuple) else found[0], y

    return taken


def _data(job: Job) -> dict[str, Any]:
    """Returns the arguments of `fit` that are about rows."""
    from textmill.models.batches import by_length, dataset, shuffled
    from textmill.models.rows import read_rows

    settings = job.point.settings
    rows, held_out = read_rows(job.tokens, "train"), read_rows(job.tokens, "validation")

    def batches(epoch: int) -> list[Any]:
        size, budget = settings.batch_size, settings.tokens_per_batch
        seed = settings.seed
        return shuffled(rows.lengths, size, seed=seed, epoch=epoch, tokens_per_batch=budget)

    def without_weights(x: Any, y: tf.Tensor, weights: tf.Tensor) -> tuple[Any, tf.Tensor]:
        return x, y

    every = [batch for epoch in range(settings.epochs) for batch in batches(epoch)]
    data = {
        "x": dataset(rows, every, _INPUTS).map(without_weights),
        "steps_per_epoch": len(every) // settings.epochs,
        "shuffle": False,
        "verbose": 0,
    }
    if len(held_out):
        scored = by_length(held_out.lengths, settings.batch_size)
        data["validation_data"] = dataset(held_out, scored, _INPUTS).map(without_weights)
    return data
