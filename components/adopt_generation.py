"""A model that writes and was trained elsewhere, as a model of ours."""

from __future__ import annotations

import shutil
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from textmill.artifact import Model, write_json
from textmill.components.cleaning import UNTOUCHED
from textmill.errors import UserError
from textmill.models.preset import Preset
from textmill.progress import warn
from textmill.quiet import import_tensorflow

if TYPE_CHECKING:
    from tokenizers import Tokenizer

    from textmill.models.generation_config import Decoding


def adopt_generation(out: Model, *, checkpoint: Preset, max_length: int | None = None) -> None:
    """Writes a causal language model, or BART, with its tokenizer, to `out`.

    Its numbers do not change. A prompt stands where its chat template has what a user says first;
    where it has none, among the tokens that its tokenizer puts around a text. It decodes as
    `generation_config.json` says; what of it is not served is told in a line each.

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
    from textmill.models.causal_tokenizer import around, load_causal_tokenizer
    from textmill.models.chat import PLAIN, chat_of, template_of, writing_facts
    from textmill.models.decoders import load_decoder, positions
    from textmill.models.generation_config import decoding

    length = _length(max_length, positions(checkpoint))
    tokenizer, ends = load_causal_tokenizer(checkpoint)
    template = template_of(checkpoint)
    chat = chat_of(checkpoint, tokenizer, ends) if template != PLAIN else None
    facts = writing_facts(tokenizer, ends, chat)
    if not checkpoint.from_keras:
        how = decoding(checkpoint, longest=length)
        if chat is None:
            before, after = around(checkpoint)
            facts["framing"] |= {"before": before, "after": after}
        facts |= _decoding(how, _stop(checkpoint, how, facts["stop"], tokenizer))
        facts["start"] = _start(how, ends.begin, facts["framing"], tokenizer)
    backbone = load_decoder(checkpoint, vocabulary_size=0, dropout=0.0)
    about = {"task": "text_generation", "max_length": length, "longest": length, **facts}
    return task_class(backbone)(backbone=backbone), about, tokenizer, length


def _pair(checkpoint: Preset, max_length: int | None) -> tuple[Any, dict[str, Any], Any, int]:
    """Returns an encoder-decoder; see `_causal`."""
    from textmill.models.causal_tokenizer import around
    from textmill.models.encoder_decoders import load_encoder_decoder, longest
    from textmill.models.generation_config import decoding
    from textmill.models.pair_frame import pair_ends
    from textmill.models.seq2seq import task_class

    backbone = load_encoder_decoder(checkpoint, vocabulary_size=0, dropout=0.0)
    most = longest(checkpoint)
    assert most is not None, "BART has positions"
    length = _length(max_length, most)
    tokenizer, ends = pair_ends(checkpoint)
    about = {"task": "seq2seq", **ends.about(), **dict.fromkeys(SIDES, length)}
    if not checkpoint.from_keras:
        how = decoding(checkpoint, longest=length, begin=1)
        about["target_begin"] = [ends.target[0], *([] if how.forced is None else [how.forced])]
        about |= _decoding(how, _stop(checkpoint, how, about["stop"], tokenizer))
        before, after = around(checkpoint)
        about["framing"] |= {"before": before, "after": after}
        about["start"] = _start(how, ends.begin, about["framing"], tokenizer)
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


def _decoding(how: Decoding, stop: list[int]) -> dict[str, Any]:
    """Returns what `task.json` says of how a checkpoint decodes; and tells what is left out."""
    for line in how.told:
        warn(line)
    return {
        "stop": stop,
        "stop_strings": how.stop_strings,
        "defaults": how.defaults,
        "processors": how.processors,
    }


def _stop(checkpoint: Preset, how: Decoding, known: list[int], tokenizer: Tokenizer) -> list[int]:
    """Returns the tokens of which each ends a text: those that transformers goes by.

    Args:
        checkpoint: The model.
        how: What its files say.
        known: Tokens with which its tokenizer ends a text, or its template a response. llama.cpp
            heeds them, transformers does not.
        tokenizer: Of the model.
    """
    if checkpoint.gguf:
        return sorted({*known, *how.stop})
    missing = [str(tokenizer.id_to_token(i)) for i in known if i not in how.stop]
    if missing:
        warn(
            f"{checkpoint.name}: {', '.join(missing)} ends no text, for generate() of transformers "
            "does not end there either; add it to eos_token_id in generation_config.json"
        )
    return how.stop


def _start(how: Decoding, begin: str, framing: dict[str, Any], tokenizer: Tokenizer) -> int:
    """Returns the token that an empty prompt consists of, where nothing stands around it."""
    from textmill.models.causal_tokenizer import id_of

    if how.start is not None:
        return how.start
    if not any(framing.values()):
        warn(f"no file says bos_token_id: an empty prompt begins with {begin}")
    return id_of(tokenizer, begin)
