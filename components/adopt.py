"""A model that was trained elsewhere, with its head, as a model of ours."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict
from typing import TYPE_CHECKING

from textmill.artifact import Model, write_json
from textmill.components.cleaning import UNTOUCHED
from textmill.errors import UserError
from textmill.models.preset import Preset
from textmill.quiet import import_tensorflow

if TYPE_CHECKING:
    from tokenizers import Tokenizer

# Between the labels of a text, the first that no label holds; no label has the last.
SEPARATORS = ("|", ";", "\n", "\x1f")


def adopt(
    out: Model, *, checkpoint: Preset, max_length: int | None = None, pair: bool = False
) -> None:
    """Writes a checkpoint, with its head, its labels and its tokenizer, to `out`.

    Its numbers do not change. Texts are not cleaned: the model has learned from them as they are.

    Args:
        out: As `train` leaves it, without what only a training can say.
        checkpoint: A Hugging Face classifier, or a model that `train` made.
        max_length: Tokens a row at most; None: what the checkpoint says, or all its positions.
        pair: Whether it was trained on two texts a row, which a checkpoint does not say; a model
            that `train` made does, and keeps to that.

    Raises:
        UserError: The checkpoint has no head, is damaged, can't be served exactly, or reads one
            text and `pair` asks for two.
    """
    import_tensorflow()
    import keras

    from textmill.models.checkpoint import load_backbone, save_classifier
    from textmill.models.checkpoint_tokens import check_tokens
    from textmill.models.heads import load_head, served_labels, task_of
    from textmill.models.tokenizer import load_tokenizer

    # Keras counts up the names of layers, and saves them: equal checkpoints give equal bytes.
    keras.utils.clear_session()
    # What pools for a classifier is missing in a model for tagging, and made at random.
    keras.utils.set_random_seed(0)
    length = _length(checkpoint, max_length)
    ours = checkpoint.read("textmill/task.json")
    if ours is not None:
        if pair and not ours["pair"]:
            raise _one_text(checkpoint.name, "has learned from one text a row")
        shutil.copytree(checkpoint.name, out.path, dirs_exist_ok=True)
        write_json(out.path / "textmill" / "task.json", ours | {"max_length": length})
        return
    if checkpoint.from_keras:
        raise UserError(
            f"{checkpoint.name} does not say what its classes are called",
            expected="a Hugging Face classifier, or a model that textmill run trained",
            received="a preset of KerasHub",
            fix="train it with textmill run, with this folder as model.preset",
        )
    task, names = task_of(checkpoint), served_labels(checkpoint)
    if pair and task.LABELS == "spans":
        raise _one_text(checkpoint.name, "marks spans in one text")
    about = {
        "task": task.NAME,
        "labels": names,
        "kind": task.LABELS,
        "separator": next(s for s in SEPARATORS if not any(s in name for name in names)),
        "pair": pair,
        "max_length": length,
        "overlap": None,
        "windows": 1,
        "cleaning": asdict(UNTOUCHED),
    }
    if task.LABELS == "many":
        about["thresholds"] = [0.5] * len(names)
    write_json(out.path / "textmill" / "task.json", about)
    tokenizer = load_tokenizer(checkpoint, pair=pair)
    if task.LABELS == "spans":
        _check_words(checkpoint.name, tokenizer)
    tokenizer.save(str(out.tokenizer_file))
    check_tokens(checkpoint, out.tokenizer_file, pair=pair)
    backbone = load_backbone(checkpoint, vocabulary_size=0, dropout=0.1)
    model = task.build(backbone, names, dropout=0.1)
    load_head(model, checkpoint)
    save_classifier(model, out.path, tokenizer_file=out.tokenizer_file, max_length=length)


def _one_text(name: str, why: str) -> UserError:
    return UserError(
        f"--pair: {name} {why}",
        expected="a model that was trained on two texts a row",
        received="--pair",
        fix="leave --pair out",
    )


def _check_words(name: str, tokenizer: Tokenizer) -> None:
    """Raises where a word by itself has other tokens than behind a space: tags are for words."""
    one, two = (
        tokenizer.encode(text, add_special_tokens=False).tokens for text in ("word", "word word")
    )
    if two != one * 2:
        raise UserError(
            f"{name}: its tokenizer does not take words one by one",
            expected='one that begins each word alike, by "add_prefix_space": true',
            received=f"{' '.join(one)} for 'word', and {' '.join(two)} for 'word word'",
            fix="save the tokenizer as the model was trained with it, for words of their own",
        )


def _length(checkpoint: Preset, wanted: int | None) -> int:
    positions = checkpoint.positions()
    if wanted is not None:
        if wanted > positions or wanted < 3:
            raise UserError(
                f"--max-length {wanted} is not what the model can read",
                expected=f"3 to {positions} tokens",
                received=str(wanted),
                fix=f"take --max-length {positions}, or leave it out",
            )
        return wanted
    ours, theirs = map(checkpoint.read, ("textmill/task.json", "tokenizer_config.json"))
    if ours is not None:
        return min(int(ours["max_length"]), positions)
    # Before version 3 transformers wrote max_len, which it still reads.
    said = (theirs or {}).get("model_max_length", (theirs or {}).get("max_len"))
    if said is None:
        return positions
    if not isinstance(said, int | float) or not said >= 3:
        raise UserError(
            f"{checkpoint.name}: its tokenizer says no length of texts",
            expected="model_max_length, the tokens of a text, in tokenizer_config.json",
            received=json.dumps(said),
            fix="mend it there, or take --max-length",
        )
    return int(min(said, positions))  # transformers writes 1e30 where it does not know
