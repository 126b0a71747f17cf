"""Models into memory and out: a backbone from a preset, a trained classifier to a folder."""

from __future__ import annotations

import errno
import inspect
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from textmill.artifact import read_json, write_json
from textmill.errors import UserError
from textmill.frame import read_frame
from textmill.models.huggingface import load_encoder
from textmill.models.numerics import Numerics, get_numerics, set_numerics
from textmill.models.preset import Preset, Scratch, unreachable

if TYPE_CHECKING:
    import keras

SPARE = 1 << 20  # bytes that a saved model takes beside its weights
# What a new model is of, by the kind of its tokenizer.
_NEW = {"wordpiece": "BertBackbone", "bpe": "RobertaBackbone", "unigram": "XLMRobertaBackbone"}
BERT_DEVIATION = 0.02  # of KerasHub's new kernels, as of BERT's own
NUMERICS = "textmill/numerics.json"  # beside KerasHub's files, which do not hold them


def load_backbone(
    preset: Preset | Scratch, *, vocabulary_size: int, dropout: float, precision: str = "float32"
) -> keras.Model:
    """Returns the encoder of a preset, or a new one with random weights.

    Args:
        preset: What to load.
        vocabulary_size: Tokens of a new model; a preset has its own.
        dropout: Share of activations that training drops, 0 to 1.
        precision: Keras's dtype policy: what it computes in; its weights stay float32.

    Raises:
        UserError: The weights are missing, damaged, of a kind that KerasHub can't convert, or of
            a model that KerasHub has no classifier for.
    """
    import keras_hub

    if isinstance(preset, Scratch):
        kind = getattr(keras_hub.models, _NEW[preset.tokenizer])
        made: keras.Model = kind(
            **preset.dimensions(),
            vocabulary_size=vocabulary_size,
            dropout=dropout,
            dtype=precision,
        )
        _widen_kernels(made, preset.dimensions()["hidden_dim"])
        return made
    if not preset.from_keras:
        return load_encoder(preset, dropout=dropout, precision=precision)
    _check_weights(preset)
    try:
        backbone = keras_hub.models.Backbone.from_preset(
            preset.name, dropout=dropout, dtype=precision
        )
    except Exception as error:  # files that a user gave can be wrong in any way
        if not preset.local:
            raise unreachable(preset.name, error) from error
        raise UserError(
            f"{preset.name}: the weights can't be loaded",
            expected="a whole model of a kind that KerasHub can load",
            received=f"{type(error).__name__}: {error}".partition("\n")[0][:200],
            fix="take the folder again from where it came, or another model",
        ) from error
    if preset.local:
        restore_numerics(backbone, Path(preset.name))
    return backbone


def _widen_kernels(backbone: keras.Model, width: int) -> None:
    """Gives the kernels of a new encoder a deviation of 1 / sqrt(width), in place of BERT's 0.02.

    0.02 was made for widths of 768 and more. In a narrow model what attention adds to a token is
    then so little beside the token itself that thousands of steps pass before anything of the
    context is learned; `docs/pretraining.md` has figures.

    Source: LeCun et al., Efficient BackProp, 1998, section 4.6.
    """
    for variable in backbone.trainable_variables:
        if variable.name == "kernel":
            variable.assign(variable / (width**0.5 * BERT_DEVIATION))


def restore_numerics(backbone: keras.Model, folder: Path) -> None:
    """Makes a backbone compute as it did when `save_classifier` wrote it to `folder`."""
    file = folder / NUMERICS
    if file.is_file():
        set_numerics(backbone, Numerics(**read_json(file)))


def classifier_class(backbone: keras.Model) -> Any:
    """Returns the text classifier for a backbone, KerasHub's where it has one.

    Raises:
        UserError: It has none.
    """
    import keras_hub

    from textmill.models.electra import ElectraTextClassifier

    found: Any
    theirs = filter(inspect.isclass, vars(keras_hub.models).values())
    for found in (*theirs, ElectraTextClassifier):
        classifies = issubclass(found, keras_hub.models.TextClassifier)
        if classifies and found.backbone_cls is type(backbone):
            return found
    raise UserError(
        f"KerasHub has no text classifier for {type(backbone).__name__}",
        expected="a model such as BERT or DistilBERT",
        received=type(backbone).__name__,
        fix="take another preset",
    )


def load_task(path: Path, kind: Any = None) -> keras.Model:
    """Returns the model of a Model artifact, without what turns text into token ids.

    Args:
        path: A folder that `save_classifier` wrote.
        kind: KerasHub's class, or one like it; None: its text classifier.
    """
    import keras_hub

    kind = kind or keras_hub.models.TextClassifier
    model: keras.Model = kind.from_preset(str(path), preprocessor=None)
    restore_numerics(model.backbone, path)
    return model


def save_classifier(
    model: keras.Model, folder: Path, *, tokenizer_file: Path, max_length: int
) -> None:
    """Writes a KerasHub preset folder.

    With BERT's own tokenizer and a model of that kind, a text classifier that is loaded from it
    takes raw strings. KerasHub has no tokenizer that equals the others: it parts texts for RoBERTa
    with Llama's expression, and SentencePiece itself normalizes otherwise than the `tokenizers`
    library. So there the preset comes without, and `textmill/tokenizer.json` holds the tokenizer.

    Equal weights give equal bytes.

    Args:
        model: KerasHub's classifier.
        folder: Where to.
        tokenizer_file: The `tokenizer.json` that the model was trained with.
        max_length: Tokens a row at most.
    """
    preprocessor = type(model).preprocessor_cls
    reads = preprocessor is not None and _reads_wordpiece(preprocessor.tokenizer_cls)
    if reads and _is_berts(tokenizer_file):
        model.preprocessor = _preprocessor(type(model), tokenizer_file, max_length)
    _check_room(folder, sum(weight.numpy().nbytes for weight in model.weights))
    model.save_to_preset(str(folder))
    numerics = get_numerics(model.backbone)
    if numerics is not None:
        write_json(folder / NUMERICS, vars(numerics))
    metadata = read_json(folder / "metadata.json")
    del metadata["date_saved"]
    write_json(folder / "metadata.json", metadata)


def vocabulary(tokenizer_file: Path) -> list[str]:
    """Returns the tokens of a `tokenizer.json` in the order of their ids."""
    from tokenizers import Tokenizer

    ids: dict[str, int] = Tokenizer.from_file(str(tokenizer_file)).get_vocab()
    return sorted(ids, key=ids.__getitem__)


def _check_room(folder: Path, needed: int) -> None:
    """Raises what the system would, before HDF5 can: a disk that fills up under it is a crash."""
    if shutil.disk_usage(folder).free < needed + SPARE:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(folder))


def _reads_wordpiece(tokenizer: Any) -> bool:
    """Returns whether a KerasHub tokenizer is WordPiece; models of other kinds are trained on it.

    RoBERTas in Korean and Chinese have the tokenizer of BERT.
    """
    import keras_hub

    return issubclass(tokenizer, keras_hub.tokenizers.WordPieceTokenizer)


def _is_berts(tokenizer_file: Path) -> bool:
    """Returns whether a tokenizer has the special tokens that KerasHub looks for, and its rules.

    Others are called `<s>` and `<unk>`, or stand elsewhere, or words go on with another prefix.
    """
    model = read_json(tokenizer_file)["model"]
    if model["type"] != "WordPiece":
        return False
    ids, frame = model["vocab"], read_frame(tokenizer_file)
    return (
        {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"} <= ids.keys()
        and (model["unk_token"], model["continuing_subword_prefix"]) == ("[UNK]", "##")
        and (frame.before, frame.after) == ((ids["[CLS]"],), (ids["[SEP]"],))
    )


def _preprocessor(classifier: Any, tokenizer_file: Path, max_length: int) -> Any:
    """Returns KerasHub's own tokenizer with our vocabulary, so that a Keras user needs no other."""
    flags = read_json(tokenizer_file)["normalizer"]
    accents = flags["strip_accents"]
    kind = classifier.preprocessor_cls
    tokenizer = kind.tokenizer_cls(
        vocabulary=vocabulary(tokenizer_file),
        lowercase=flags["lowercase"],
        # Left open, it follows the case: https://huggingface.co/docs/tokenizers/api/normalizers
        strip_accents=flags["lowercase"] if accents is None else accents,
        split_on_cjk=flags["handle_chinese_chars"],
    )
    return kind(tokenizer=tokenizer, sequence_length=max_length)


def _check_weights(preset: Preset) -> None:
    names = ["model.weights.h5", "model.weights.json"]
    if preset.local and not any((Path(preset.name) / name).is_file() for name in names):
        raise preset.lacks(f"weights ({' or '.join(names)})")
