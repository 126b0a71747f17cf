"""Tokenizers of Hugging Face's folders, as transformers 5 reads them."""

from __future__ import annotations

import json
import shutil
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from textmill.errors import UserError
from textmill.models.preset import Preset

if TYPE_CHECKING:
    from tokenizers import Tokenizer

# What a tokenizer is told by, beside its vocabulary.
_SETTINGS = (
    "config.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
)
# Names that a model of SentencePiece has: of ALBERT and T5, XLM-RoBERTa, DeBERTa-v3.
SENTENCEPIECE = ("spiece.model", "sentencepiece.bpe.model", "spm.model")
_VOCABULARIES = ("tokenizer.json", "vocab.txt", "vocab.json", "merges.txt", *SENTENCEPIECE)
# Names of tokens that stand in every row or in none, by which a tokenizer may have them without
# saying what they are for.
_USUAL = (
    *("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"),
    *("<s>", "</s>", "<pad>", "<unk>", "<mask>", "<|endoftext|>"),
)


def load_auto_tokenizer(preset: Preset) -> Any:
    """Returns what transformers' `AutoTokenizer` makes of a folder; no code of it is run.

    Ids are transformers' by construction. Since version 5 a class such as `BertTokenizer` takes the
    vocabulary out of `tokenizer.json` and makes the rest anew from `tokenizer_config.json`.

    Raises:
        UserError: There is no tokenizer, transformers can't read it, or it is written in Python.

    Source: `convert_to_native_format` in transformers 5.24, `tokenization_utils_tokenizers.py`.
    """
    from transformers import AutoTokenizer

    with _folder(preset) as folder, _quiet():
        try:
            made = AutoTokenizer.from_pretrained(
                str(folder), trust_remote_code=False, local_files_only=True
            )
        except ImportError as error:
            if any((folder / name).is_file() for name in SENTENCEPIECE):
                raise _unread(preset, folder, error) from error
            about = preset.read("tokenizer_config.json") or {}
            kind = about.get("tokenizer_class") or "this tokenizer"
            raise not_servable(preset.name, f"{kind}, which is written in Python,") from error
        except Exception as error:  # files that a user gave can be wrong in any way
            raise _unread(preset, folder, error) from error
    if not hasattr(made, "backend_tokenizer"):
        raise not_servable(preset.name, f"{type(made).__name__}, which is written in Python,")
    return made


def _unread(preset: Preset, folder: Path, error: Exception) -> UserError:
    found = [name for name in _VOCABULARIES if (folder / name).is_file()]
    return UserError(
        f"{preset.name}: {' with '.join(found)} can't be read",
        expected="a tokenizer that transformers' AutoTokenizer loads",
        received=f"{type(error).__name__}: {error}".partition("\n")[0][:200],
        fix="pip install sentencepiece protobuf, or give the folder its tokenizer.json"
        if found[0] in SENTENCEPIECE
        else "take all files of the tokenizer from the same place as the weights",
    )


def load_huggingface_tokenizer(preset: Preset, *, pair: bool = False) -> Tokenizer:
    """Returns the tokenizer of an encoder's folder.

    Args:
        preset: The folder.
        pair: Whether a row has two texts.

    Raises:
        UserError: transformers can't read it, or does with it what can't be served.
    """
    made = load_auto_tokenizer(preset)
    tokenizer: Tokenizer = made.backend_tokenizer
    saved = json.loads(tokenizer.to_str())
    check_servable(preset.name, saved)
    _check_vocabulary(preset, made)
    if made.truncation_side != "right":
        raise UserError(
            f"{preset.name}: truncation_side {made.truncation_side!r} can't be served",
            expected='"right": of a long text the beginning counts',
            received=json.dumps(made.truncation_side),
            fix="set truncation_side in tokenizer_config.json, and train the model with it",
        )
    used = {*_USUAL, *made.special_tokens_map.values(), saved["model"].get("unk_token")}
    used |= (saved["post_processor"] or {}).get("special_tokens", {}).keys()
    other = [t["content"] for t in saved["added_tokens"] if t["content"] not in used]
    if other:
        raise _matched(preset.name, other)
    if "token_type_ids" not in made.model_input_names:
        return _without_segments(tokenizer, saved)
    segments = preset.config().get("type_vocab_size") or 0
    if pair and segments > 1 and preset.config().get("model_type") in ("roberta", "xlm-roberta"):
        raise UserError(
            f"{preset.name}: segments of {preset.config()['model_type']} can't be served",
            expected="a tokenizer without token_type_ids, or rows of one text",
            received=f"model_input_names {json.dumps(made.model_input_names)}, two texts a row",
            fix="take a model of BERT, ELECTRA, ALBERT or DeBERTa for two texts",
        )
    return tokenizer


def check_servable(name: str, saved: dict[str, Any]) -> None:
    """Refuses kinds of tokenizers for which there is no graph of TensorFlow ops that equals it.

    What else a graph can't do, `textmill.serving.graph_tokenizer` says of a file.

    Args:
        name: Of the preset.
        saved: What `tokenizer.json` holds.
    """
    parts = ("model", "normalizer", "pre_tokenizer")
    kinds = [(saved.get(part) or {}).get("type") for part in parts]
    wordpiece = ["WordPiece", "BertNormalizer", "BertPreTokenizer"]
    if kinds != wordpiece and kinds[0] not in ("BPE", "Unigram"):
        said = ", ".join(f"{part} {kind}" for part, kind in zip(parts, kinds, strict=True))
        raise not_servable(name, said)
    extra = [t["content"] for t in saved.get("added_tokens", []) if not t.get("special")]
    if extra:
        raise _matched(name, extra)


def not_servable(name: str, kind: str) -> UserError:
    """Returns the error for a kind of tokenizer that there is no graph for."""
    return UserError(
        f"{name}: a serving graph for {kind} is not there yet",
        expected="WordPiece as BERT has it, byte-level BPE, or SentencePiece's unigram model",
        received=kind,
        fix="take a model such as BERT, RoBERTa or ALBERT, or train one with model.scratch",
    )


def _matched(name: str, tokens: list[str]) -> UserError:
    return UserError(
        f"{name}: a serving graph for tokens that are matched in raw text is not there yet",
        expected="special tokens alone, those that begin, part, fill up or end a row",
        received=json.dumps(tokens[:5], ensure_ascii=False),
        fix="where no text holds them, take them out of added_tokens.json, special_tokens_map.json,"
        " tokenizer_config.json and the added_tokens of tokenizer.json",
    )


@contextmanager
def _folder(preset: Preset) -> Iterator[Path]:
    """Gives a folder with the files of a tokenizer; that of the preset where it is one."""
    here = [name for name in _VOCABULARIES if preset.file(name) is not None]
    if not here or here == ["merges.txt"]:
        names = ", ".join(("vocab.txt", "vocab.json", *SENTENCEPIECE))
        raise preset.lacks(f"tokenizer (tokenizer.json, or {names})")
    if here == ["vocab.json"]:
        raise preset.lacks("merges.txt")
    if preset.local:
        yield Path(preset.name)
        return
    with tempfile.TemporaryDirectory() as folder:
        for name in (*_SETTINGS, *here):
            file = preset.file(name)
            if file is not None:
                shutil.copy(file, Path(folder) / name)
        yield Path(folder)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keeps from the terminal what transformers says to those who write models."""
    import logging as levels

    from transformers.utils import logging

    level = logging.get_verbosity()
    logging.set_verbosity(levels.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.set_verbosity(level)


def _check_vocabulary(preset: Preset, made: Any) -> None:
    """Refuses a vocabulary that is not one of the tokenizer's class.

    Where none of the files is there that the class reads, transformers makes a tokenizer of special
    tokens alone. Those of every row that a vocabulary lacks it puts behind the end, where the model
    has embeddings of other tokens, or none.
    """
    if preset.file("tokenizer.json") is not None:
        return
    files = [f for key, f in made.vocab_files_names.items() if key != "tokenizer_file"]
    if files and all(preset.file(name) is None for name in files):
        raise UserError(
            f"{preset.name}: there is no vocabulary for a {type(made).__name__}",
            expected=" and ".join(files),
            received=", ".join(name for name in _VOCABULARIES if preset.file(name) is not None),
            fix='say in tokenizer_config.json which tokenizer it is, as "tokenizer_class":'
            ' "BertTokenizer" for vocab.txt',
        )
    tokens = made.backend_tokenizer.get_vocab(with_added_tokens=False)
    wanted = [made.pad_token, made.unk_token, made.cls_token, made.sep_token]
    missing = [token for token in wanted if token is not None and token not in tokens]
    if missing:
        raise UserError(
            f"{preset.name}: the vocabulary is not that of a {type(made).__name__}",
            expected=f"the tokens {', '.join(t for t in wanted if t is not None)}",
            received=f"{len(tokens)} tokens without {', '.join(missing)}",
            fix="take the tokenizer's files from the same place as the weights, or say in"
            " tokenizer_config.json what these tokens are called",
        )


def _without_segments(tokenizer: Tokenizer, saved: dict[str, Any]) -> Tokenizer:
    """Returns a tokenizer whose template tells two texts apart by their places alone."""
    from tokenizers import Tokenizer

    template = saved["post_processor"] or {}
    pieces = [part for name in ("single", "pair") for part in template.get(name, [])]
    told = [next(iter(piece.values())) for piece in pieces]
    if not any(each["type_id"] for each in told):
        return tokenizer
    for each in told:
        each["type_id"] = 0
    return Tokenizer.from_str(json.dumps(saved))
