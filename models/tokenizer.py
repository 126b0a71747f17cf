"""The one source of token ids: a Rust tokenizer, from a preset's files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from textmill.artifact import read_json
from textmill.errors import UserError
from textmill.models.huggingface_tokenizer import load_huggingface_tokenizer, not_servable
from textmill.models.preset import Preset

if TYPE_CHECKING:
    from tokenizers import Tokenizer

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
ROBERTA = ("<s>", "<pad>", "</s>")


def load_tokenizer(preset: Preset, *, pair: bool = False) -> Tokenizer:
    """Returns the tokenizer of a preset; it neither truncates nor pads.

    A model of ours has its tokenizer in `textmill/tokenizer.json`, a preset of KerasHub its
    vocabulary. Another folder is read as transformers reads it.

    With WordPiece and BPE text never becomes a special token: "[SEP]" in a review is five signs
    of text. That is `encode_special_tokens`, which a saved `tokenizer.json` does not keep:
    `read_tokenizer` sets it. In a model of SentencePiece special tokens are pieces like any other:
    "<s>" in a text is read as the token, by the library and in the graph alike.

    Args:
        preset: Whose.
        pair: Whether a row has two texts.

    Raises:
        UserError: The preset has no tokenizer, one that can't be served exactly as it is, or one
            with more tokens than the model has embeddings for.

    Source: WordPiece as in https://arxiv.org/abs/1810.04805 and google-research/bert.
    """
    ours = preset.file("textmill/tokenizer.json") if preset.local else None
    if ours is not None:  # what KerasHub's files say of it is less exact
        tokenizer = read_tokenizer(ours)
    elif preset.from_keras:
        tokenizer = _from_keras(preset)
    else:
        tokenizer = bare(load_huggingface_tokenizer(preset, pair=pair))
    check_room(preset, tokenizer)
    return tokenizer


def check_room(preset: Preset, tokenizer: Tokenizer) -> None:
    """Refuses a tokenizer with more tokens than the model has embeddings for."""
    room, size = preset.vocabulary_size(), 1 + max(tokenizer.get_vocab().values(), default=0)
    if room is not None and size > room:
        raise UserError(
            f"{preset.name}: the tokenizer is not this model's",
            expected=f"at most {room} tokens, the rows of the model's embedding",
            received=f"{size} tokens",
            fix="take the tokenizer's files from the same place as the weights",
        )


def read_tokenizer(file: Path) -> Tokenizer:
    """Returns a tokenizer from `tokenizer.json`, with text kept apart from special tokens."""
    from tokenizers import Tokenizer

    return bare(Tokenizer.from_file(str(file)))


def _from_keras(preset: Preset) -> Tokenizer:
    file, vocabulary = preset.file("tokenizer.json"), preset.file(_KERAS_VOCABULARY)
    if file is None:
        raise preset.lacks("tokenizer.json")
    saved = read_json(file)
    flags: dict[str, Any] = saved["config"]
    words, pairs = (preset.file(f"assets/tokenizer/{n}") for n in ("vocabulary.json", "merges.txt"))
    if words is not None and pairs is not None:
        return byte_level(words, pairs, prefix_space=flags.get("add_prefix_space", False))
    if vocabulary is None or not flags.get("split", True) or "lowercase" not in flags:
        raise not_servable(preset.name, saved["class_name"])
    return _wordpiece(
        preset.name,
        vocabulary.read_text("utf-8"),
        lowercase=flags["lowercase"],
        strip_accents=flags.get("strip_accents", False),
        chinese=flags.get("split_on_cjk", True),
    )


_KERAS_VOCABULARY = "assets/tokenizer/vocabulary.txt"


def _wordpiece(
    name: str,
    vocabulary: str,
    *,
    lowercase: bool,
    strip_accents: bool | None,
    chinese: bool,
) -> Tokenizer:
    # Not splitlines(): a vocabulary may hold U+2028 and its like as tokens.
    ids = {token: i for i, token in enumerate(vocabulary.removesuffix("\n").split("\n"))}
    missing = [t for t in SPECIAL[:4] if t not in ids]
    if missing:
        raise UserError(
            f"{name}: the vocabulary is not BERT's",
            expected=f"the tokens {', '.join(SPECIAL[:4])}",
            received=f"{len(ids)} tokens without {', '.join(missing)}",
            fix="give a WordPiece model's folder (BERT, DistilBERT)",
        )
    return bert(ids, lowercase=lowercase, strip_accents=strip_accents, chinese=chinese)


def bert(
    ids: dict[str, int],
    *,
    lowercase: bool,
    strip_accents: bool | None = None,
    chinese: bool = True,
) -> Tokenizer:
    """Puts together what `transformers` puts together for BertTokenizer; `ids` of tokens."""
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

    tokenizer = Tokenizer(models.WordPiece(ids, unk_token="[UNK]", max_input_chars_per_word=100))
    tokenizer.normalizer = normalizers.BertNormalizer(
        clean_text=True,
        handle_chinese_chars=chinese,
        strip_accents=strip_accents,
        lowercase=lowercase,
    )
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    if ids:
        tokenizer.add_special_tokens([t for t in SPECIAL if t in ids])
        tokenizer.post_processor = processors.TemplateProcessing(
            single="[CLS] $A [SEP]",
            pair="[CLS] $A [SEP] $B:1 [SEP]:1",
            special_tokens=[("[CLS]", ids["[CLS]"]), ("[SEP]", ids["[SEP]"])],
        )
    return bare(tokenizer)


def bare(tokenizer: Tokenizer) -> Tokenizer:
    """Makes a tokenizer neither truncate nor pad, and keep text apart from special tokens."""
    tokenizer.no_truncation()
    tokenizer.no_padding()
    tokenizer.encode_special_tokens = True
    return tokenizer


def byte_level(words: Path, pairs: Path, *, prefix_space: bool) -> Tokenizer:
    """Puts together what `transformers` puts together for RobertaTokenizer.

    Args:
        words: Token -> id, as JSON.
        pairs: A merge a line, the best ones first.
        prefix_space: Whether a text that begins otherwise gets a space in front.

    Raises:
        UserError: It is not RoBERTa's vocabulary.
    """
    from tokenizers import Tokenizer, models

    ids: dict[str, int] = read_json(words)
    missing = [token for token in ROBERTA if token not in ids]
    if missing:
        raise UserError(
            f"{words}: the vocabulary is not RoBERTa's",
            expected=f"the tokens {', '.join(ROBERTA)}",
            received=f"{len(ids)} tokens without {', '.join(missing)}",
            fix="give the folder its tokenizer.json",
        )
    try:
        tokenizer = Tokenizer(models.BPE.from_file(str(words), str(pairs)))
    except Exception as error:  # the library raises nothing narrower
        raise UserError(
            f"{pairs}: not the merges of {words.name}",
            expected="two tokens of the vocabulary a line",
            received=str(error)[:200],
            fix="take both files from the same place as the weights",
        ) from error
    return roberta(tokenizer, prefix_space=prefix_space)


def roberta(tokenizer: Tokenizer, *, prefix_space: bool) -> Tokenizer:
    """Puts around a BPE model on bytes what RobertaTokenizer has; returns the same tokenizer."""
    from tokenizers import AddedToken, decoders, pre_tokenizers, processors

    ids = tokenizer.get_vocab()
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=prefix_space)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.RobertaProcessing(
        ("</s>", ids["</s>"]), ("<s>", ids["<s>"]), add_prefix_space=prefix_space
    )
    tokenizer.add_special_tokens(
        [AddedToken(t, lstrip=t == "<mask>") for t in (*ROBERTA, "<unk>", "<mask>") if t in ids]
    )
    return bare(tokenizer)
