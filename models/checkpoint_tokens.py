"""Whether the model of a checkpoint takes its tokens as the graph that serves it does."""

from __future__ import annotations

from pathlib import Path

from textmill.errors import UserError
from textmill.frame import Frame, read_frame
from textmill.models.checkpoint_config import first_position, read_config
from textmill.models.preset import Preset
from textmill.models.tokenizer import read_tokenizer


def check_tokens(preset: Preset, tokenizer_file: Path, *, pair: bool) -> None:
    """Raises where positions or segments of tokens would be others than in transformers.

    RoBERTa and XLM-RoBERTa do not count the tokens whose id is `pad_token_id` when they number the
    places of a text, wherever they stand; here a place is a place, so no text may have them.

    Args:
        preset: A Hugging Face model.
        tokenizer_file: Its tokenizer.
        pair: Whether it reads two texts a row.

    Raises:
        UserError: `pad_token_id` is a token that texts have, or the second of two texts has a
            segment that the model has no embedding for.
    """
    config, frame = read_config(preset), read_frame(tokenizer_file)
    tokenizer = read_tokenizer(tokenizer_file)
    if first_position(config):
        padding = int(config["pad_token_id"])
        token, special = tokenizer.id_to_token(padding), tokenizer.get_added_tokens_decoder()
        used = {*frame.before, *frame.between, *frame.after, frame.unknown}
        if padding in used or (token is not None and padding not in special):
            raise UserError(
                f"{preset.name}: pad_token_id {padding} is a token that texts have",
                expected="the id of a token that stands for padding alone",
                received=f"{padding}, {token!r}",
                fix="mend pad_token_id in config.json, if it is wrong there",
            )
    if not pair:
        return
    check_segments(preset, frame)
    segments = config.get("type_vocab_size", 1)
    if "roberta" in config["model_type"] and frame.separator is not None and segments > 1:
        raise UserError(
            f"{preset.name}: type_vocab_size {segments} does not suit two texts",
            expected="type_vocab_size 1, for KerasHub's RoBERTa has one segment",
            received=f"{segments}, and a tokenizer that gives the second text a segment of its own",
            fix="leave --pair out, or take another model",
        )


def check_segments(preset: Preset, frame: Frame) -> None:
    """Raises where the second of two texts has a segment that a model has no embedding for.

    Args:
        preset: Of Hugging Face or KerasHub.
        frame: Of its tokenizer.

    Raises:
        UserError: It has one segment.
    """
    config = read_config(preset)
    told = config.get("model_type") in ("albert", "bert", "electra")
    inner = config.get("config", {})
    segments = config["type_vocab_size"] if told else inner.get("num_segments", 2)
    if frame.separator is not None and segments < 2:
        key = "type_vocab_size" if told else "num_segments"
        raise UserError(
            f"{preset.name}: {key} {segments} does not suit two texts",
            expected=f"{key} of 2 or more in config.json",
            received=str(segments),
            fix="take another model, or one text a row",
        )
