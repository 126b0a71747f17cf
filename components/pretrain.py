"""Documents to a masked language model, from which other models can begin."""

from __future__ import annotations

from textmill.artifact import Pretrained, Tokens, write_json
from textmill.components.training_record import write_training
from textmill.models.masked_batches import Masking
from textmill.models.preset import Preset, Scratch
from textmill.models.settings import Settings
from textmill.quiet import import_tensorflow


def pretrain(
    out: Pretrained,
    tokens: Tokens,
    *,
    preset: Preset | Scratch,
    dropout: float = 0.1,
    settings: Settings = Settings(),
    masking: Masking = Masking(),
) -> None:
    """Trains a model to guess masked tokens and writes the best epoch's weights to `out`.

    The best epoch has the highest masked_accuracy on the validation split, of equals the lowest
    loss. A training that was killed goes on from its last step checkpoint.

    Args:
        out: A KerasHub preset folder; `history.csv` and `learning_curve.png`, of every epoch;
            `pretraining.json`, `training.json` and `tokenizer.json` in `textmill/`; and
            TensorBoard's files in `logs/`.
        tokens: Documents, as `tokenize_documents` writes them.
        preset: The weights to begin with.
        dropout: Share of activations to drop, 0 to 1.
        settings: How to train.
        masking: How tokens to guess are drawn.

    Raises:
        UserError: The preset can't be loaded, KerasHub has no masked language model for it, the
            loss became NaN, or memory does not suffice.

    Source: https://arxiv.org/abs/1810.04805, https://arxiv.org/abs/1907.11692.
    """
    import_tensorflow()

    from textmill.models.masked_learner import MaskedLearner
    from textmill.models.training import Training

    info = tokens.info()
    learned = Training(
        tokens,
        preset=preset,
        task=masking,
        dropout=dropout,
        settings=settings,
        folder=out.unfinished,
        learner=MaskedLearner,
    ).run()
    about = {"max_length": info["max_length"], "cleaning": info["cleaning"], **vars(masking)}
    write_json(out.path / "textmill" / "pretraining.json", about)
    write_training(out, learned, tokens)
