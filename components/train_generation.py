"""Documents or conversations to a model that writes what comes next."""

from __future__ import annotations

import dataclasses

from textmill.artifact import Model, Parameters, Tokens, read_json, write_json
from textmill.components.training_record import write_training
from textmill.models.preset import Preset, Scratch
from textmill.models.search_point import Point, chosen
from textmill.models.settings import Settings
from textmill.quiet import import_tensorflow


def train_generation(
    out: Model,
    tokens: Tokens,
    *,
    preset: Preset | Scratch,
    dropout: float = 0.0,
    settings: Settings = Settings(),
    parameters: Parameters | None = None,
) -> None:
    """Trains a causal language model and writes the best epoch's weights to `out`.

    The best epoch has the lowest loss on the validation split. A training that was killed goes on
    from its last step checkpoint.

    Args:
        out: A KerasHub preset folder; `history.csv` and `learning_curve.png`, of every epoch;
            `task.json`, `training.json` and `tokenizer.json` in `textmill/`; and TensorBoard's
            files in `logs/`.
        tokens: As `tokenize_generation` writes them.
        preset: The weights to begin with.
        dropout: Share of activations to drop, 0 to 1.
        settings: How to train.
        parameters: What a search found best, in place of the values above.

    Raises:
        UserError: The preset can't be loaded, is no causal language model, the loss became NaN, or
            memory does not suffice.

    Source: https://cdn.openai.com/better-language-models/language_models_are_unsupervised_multitask_learners.pdf.
    """
    import_tensorflow()

    from textmill.models.causal_learner import CausalLearner, NextToken
    from textmill.models.causal_lm import task_class
    from textmill.models.decoders import positions
    from textmill.models.training import Training

    info = tokens.info()
    point = chosen(Point(preset, info["max_length"], dropout, settings), parameters)
    learned = Training(
        tokens,
        preset=point.preset,
        task=NextToken(),
        dropout=point.dropout,
        settings=point.settings,
        folder=out.unfinished,
        learner=CausalLearner,
    ).run()
    backbone = learned.model.backbone
    learned = dataclasses.replace(learned, model=task_class(backbone)(backbone=backbone))
    about = {"task": NextToken.NAME, "labels": [], "max_length": info["max_length"]}
    # A new model has learned of no place behind its rows; others have before.
    new = isinstance(point.preset, Scratch)
    about["longest"] = info["max_length"] if new else positions(point.preset)
    about |= {"cleaning": info["cleaning"], **read_json(tokens.path / "generation.json")}
    write_json(out.path / "textmill" / "task.json", about)
    write_training(out, learned, tokens)
