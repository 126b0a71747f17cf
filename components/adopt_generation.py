"""A model that writes and was trained elsewhere, as a model of ours."""

from __future__ import annotations

import shutil
from dataclasses import asdict

from textmill.artifact import Model, write_json
from textmill.components.cleaning import UNTOUCHED
from textmill.errors import UserError
from textmill.models.preset import Preset
from textmill.quiet import import_tensorflow


def adopt_generation(out: Model, *, checkpoint: Preset, max_length: int | None = None) -> None:
    """Writes a causal language model, with its tokenizer, to `out`.

    Its numbers do not change. A prompt stands where its chat template has what a user says first;
    where it has none, behind the tokens that its tokenizer begins a text with.

    Args:
        out: As `train_generation` leaves it, without what only a training can say.
        checkpoint: A Hugging Face folder, a KerasHub preset, a GGUF file, or a model that
            `train_generation` made.
        max_length: Tokens that it reads and writes at most; None: all its positions.

    Raises:
        UserError: The checkpoint is damaged, no causal language model, or can't be served exactly.
    """
    import_tensorflow()
    import keras

    from textmill.models.causal_lm import task_class
    from textmill.models.causal_tokenizer import load_causal_tokenizer
    from textmill.models.chat import PLAIN, Chat, template_of, writing_facts
    from textmill.models.checkpoint import save_classifier
    from textmill.models.decoders import load_decoder, positions

    keras.utils.clear_session()  # as in `adopt`: equal checkpoints give equal bytes
    longest = positions(checkpoint)
    if max_length is not None and not 2 <= max_length <= longest:
        raise UserError(
            f"--max-length {max_length} is not what the model can read",
            expected=f"2 to {longest} tokens",
            received=str(max_length),
            fix=f"take --max-length {longest}, or leave it out",
        )
    length = max_length or longest
    ours = checkpoint.read("textmill/task.json") if checkpoint.local else None
    if ours is not None:
        shutil.copytree(checkpoint.name, out.path, dirs_exist_ok=True)
        trained = min(length, ours["longest"])
        write_json(out.path / "textmill" / "task.json", ours | {"longest": trained})
        return
    tokenizer, ends = load_causal_tokenizer(checkpoint)
    template = template_of(checkpoint)
    chat = Chat(template, tokenizer, ends.begin, ends.end) if template != PLAIN else None
    facts = writing_facts(tokenizer, ends, chat, before=_before(checkpoint))
    about = {"task": "text_generation", "labels": [], "max_length": length, "longest": length}
    about |= {"cleaning": asdict(UNTOUCHED), **facts}
    write_json(out.path / "textmill" / "task.json", about)
    tokenizer.save(str(out.tokenizer_file))
    backbone = load_decoder(checkpoint, vocabulary_size=0, dropout=0.0)
    model = task_class(backbone)(backbone=backbone)
    save_classifier(model, out.path, tokenizer_file=out.tokenizer_file, max_length=length)


def _before(checkpoint: Preset) -> list[int] | None:
    """Returns what a checkpoint's tokenizer puts before a text; None where no file says it."""
    from tokenizers import Tokenizer

    file = checkpoint.file("tokenizer.json")
    if checkpoint.from_keras or file is None:
        return None
    return list(Tokenizer.from_file(str(file)).encode("").ids)
