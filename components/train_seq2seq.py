"""Pairs of texts to a model that reads one and writes the other."""

from __future__ import annotations

import dataclasses

from textmill.artifact import Model, Parameters, Tokens, read_json, write_json
from textmill.components.training_record import write_training
from textmill.models.preset import Preset, Scratch
from textmill.models.search_point import Point, chosen
from textmill.models.settings import Settings
from textmill.quiet import import_tensorflow


def train_seq2seq(
    out: Model,
    tokens: Tokens,
    *,
    preset: Preset | Scratch,
    dropout: float = 0.1,
    settings: Settings = Settings(),
    parameters: Parameters | None = None,
) -> None:
    """Trains an encoder-decoder and writes the best epoch's weights to `out`.

    The best epoch has the lowest loss on the validation split, measured without smoothing. A
    training that was killed goes on from its last step checkpoint.

    Args:
        out: A KerasHub preset folder; `history.csv` and `learning_curve.png`, of every epoch;
            `task.json`, `training.json` and `tokenizer.json` in `textmill/`; and TensorBoard's
            files in `logs/`.
        tokens: As `tokenize_seq2seq` writes them.
        preset: The weights to begin with.
        dropout: Share of activations to drop, 0 to 1.
        settings: How to train.
        parameters: What a search found best, in place of the values above.

    Raises:
        UserError: The preset can't be loaded, is no encoder-decoder, the loss became NaN, or
            memory does not suffice.

    Source: https://arxiv.org/abs/1706.03762.
    """
    import_tensorflow()

    from textmill.models.pair_learner import PairLearner, TargetTokens
    from textmill.models.seq2seq import task_class
    from textmill.models.training import Training

    point = chosen(Point(preset, dropout=dropout, settings=settings), parameters)
    learned = Training(
        tokens,
        preset=point.preset,
        task=TargetTokens(),
        dropout=point.dropout,
        settings=point.settings,
        folder=out.unfinished,
        learner=PairLearner,
    ).run()
    backbone = learned.model.backbone
    learned = dataclasses.replace(learned, model=task_class(backbone)(backbone=backbone))
    about = {"task": TargetTokens.NAME, "labels": [], "cleaning": tokens.info()["cleaning"]}
    about |= read_json(tokens.path / "generation.json")
    write_json(out.path / "textmill" / "task.json", about)
    write_training(out, learned, tokens)
