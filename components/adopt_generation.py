"""A model that writes and was trained elsewhere, as a model of ours."""

from __future__ import annotations

import shutil
from dataclasses import asdict
from typing import Any

from textmill.artifact import Model, write_json
from textmill.components.cleaning import UNTOUCHED
from textmill.errors import UserError
from textmill.models.preset import Preset
from textmill.quiet import import_tensorflow


def adopt_generation(out: Model, *, checkpoint: Preset, max_length: int | None = None) -> None:
    """Writes a causal language model, or BART, with its tokenizer, to `out`.

    Its numbers do not change. A prompt stands where its chat template has what a user says first;
    where it has none, behind the tokens that its tokenizer begins a text with.

    Args:
        out: As `train_generation` or `train_seq2seq` leaves it, without what only a training can
            say.
        checkpoint: A Hugging Face folder, a KerasHub preset, a GGUF file, or a model that one of
            these two made.
        max_length: Tokens that it reads and writes at most, of BART on each side; None: all its
            positions.

    Raises:
        UserError: The checkpoint is damaged, of another kind, or can't be served exactly.
    """
    import_tensorflow()
    import keras

    from textmill.models.checkpoint import save_classifier
    from textmill.models.decoders import reads_and_writes

    keras.utils.clear_session()  # as in `adopt`: equal checkpoints give equal bytes
    ours = checkpoint.read("textmill/task.json") if checkpoint.local else None
    if ours is not None:
        shutil.copytree(checkpoint.name, out.path, dirs_exist_ok=True)
        keys = [key for key in ("longest", *SIDES) if key in ours]
        cut = {key: _length(max_length, ours[key]) for key in keys}
        write_json(out.path / "textmill" / "task.json", ours | cut)
        return
    pair = reads_and_writes(checkpoint)
    made, about, tokenizer, length = (_pair if pair else _causal)(checkpoint, max_length)
    about = {"labels": [], "cleaning": asdict(UNTOUCHED), **about}
    write_json(out.path / "textmill" / "task.json", about)
    tokenizer.save(str(out.tokenizer_file))
    save_classifier(made, out.path, tokenizer_file=out.tokenizer_file, max_length=length)


SIDES = ("max_source_length", "max_target_length")


def _causal(checkpoint: Preset, max_length: int | None) -> tuple[Any, dict[str, Any], Any, int]:
    """Returns a causal language model, its `task.json`, its tokenizer and its length."""
    from textmill.models.causal_lm import task_class
    from textmill.models.causal_tokenizer import load_causal_tokenizer
    from textmill.models.chat import PLAIN, Chat, template_of, writing_facts
    from textmill.models.decoders import load_decoder, positions

    length = _length(max_length, positions(checkpoint))
    tokenizer, ends = load_causal_tokenizer(checkpoint)
    template = template_of(checkpoint)
    chat = Chat(template, tokenizer, ends.begin, ends.end) if template != PLAIN else None
    facts = writing_facts(tokenizer, ends, chat, before=_before(checkpoint))
    backbone = load_decoder(checkpoint, vocabulary_size=0, dropout=0.0)
    about = {"task": "text_generation", "max_length": length, "longest": length, **facts}
    return task_class(backbone)(backbone=backbone), about, tokenizer, length


def _pair(checkpoint: Preset, max_length: int | None) -> tuple[Any, dict[str, Any], Any, int]:
    """Returns an encoder-decoder; see `_causal`."""
    from textmill.models.encoder_decoders import load_encoder_decoder, longest
    from textmill.models.pair_frame import pair_ends
    from textmill.models.seq2seq import task_class

    backbone = load_encoder_decoder(checkpoint, vocabulary_size=0, dropout=0.0)
    most = longest(checkpoint)
    assert most is not None, "BART has positions"
    length = _length(max_length, most)
    tokenizer, ends = pair_ends(checkpoint)
    about = {"task": "seq2seq", **ends.about(), **dict.fromkeys(SIDES, length)}
    return task_class(backbone)(backbone=backbone), about, tokenizer, length


def _length(wanted: int | None, longest: int) -> int:
    if wanted is None:
        return longest
    if not 2 <= wanted <= longest:
        raise UserError(
            f"--max-length {wanted} is not what the model can read",
            expected=f"2 to {longest} tokens",
            received=str(wanted),
            fix=f"take --max-length {longest}, or leave it out",
        )
    return wanted


def _before(checkpoint: Preset) -> list[int] | None:
    """Returns what a checkpoint's tokenizer puts before a text; None where no file says it."""
    from tokenizers import Tokenizer

    file = checkpoint.file("tokenizer.json")
    if checkpoint.from_keras or file is None:
        return None
    return list(Tokenizer.from_file(str(file)).encode("").ids)
