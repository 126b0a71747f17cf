"""The one source of token ids: a Rust tokenizer, from a preset's files."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from textmill.artifact import read_json
from textmill.errors import UserError
from textmill.models.preset import Preset

if TYPE_CHECKING:
    from tokenizers import Tokenizer

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
ROBERTA = ("<s>", "<pad>", "</s>")
# Names that a model of SentencePiece has: of ALBERT and T5, XLM-RoBERTa, DeBERTa-v3.
SENTENCEPIECE = ("spiece.model", "sentencepiece.bpe.model", "spm.model")


def load_tokenizer(preset: Preset) -> Tokenizer:
    """Returns the tokenizer of a preset; it neither truncates nor pads.

    A model of ours has its tokenizer in `textmill/tokenizer.json`. Another folder has a
    `tokenizer.json`; or files of an older kind: `vocab.txt`, `vocab.json` with `merges.txt`, or a
    model of SentencePiece; or KerasHub's.

    With WordPiece and BPE text never becomes a special token: "[SEP]" in a review is five signs
    of text. That is `encode_special_tokens`, which a saved `tokenizer.json` does not keep:
    `read_tokenizer` sets it. In a model of SentencePiece special tokens are pieces like any other:
    "<s>" in a text is read as the token, by the library and in the graph alike.

    Raises:
        UserError: The preset has no tokenizer, one that can't be served exactly as it is, or one
            with more tokens than the model has embeddings for.

    Source: WordPiece as in https://arxiv.org/abs/1810.04805 and google-research/bert.
    """
    ours = preset.file("textmill/tokenizer.json") if preset.local else None
    if ours is not None:  # what KerasHub's files say of it is less exact
        tokenizer = read_tokenizer(ours)
    else:
        tokenizer = _from_keras(preset) if preset.from_keras else _from_huggingface(preset)
    room = preset.vocabulary_size()
    if room is not None and tokenizer.get_vocab_size() > room:
        raise UserError(
            f"{preset.name}: the tokenizer is not this model's",
            expected=f"at most {room} tokens, the rows of the model's embedding",
            received=f"{tokenizer.get_vocab_size()} tokens",
            fix="take the tokenizer's files from the same place as the weights",
        )
    return tokenizer


def _from_huggingface(preset: Preset) -> Tokenizer:
    whole, saved = preset.file("tokenizer.json"), preset.read("tokenizer.json")
    if whole is not None and saved is not None:
        _check_servable(preset.name, saved)
        return read_tokenizer(whole)
    flags = preset.read("tokenizer_config.json") or {}
    words, pairs = preset.file("vocab.json"), preset.file("merges.txt")
    if words is not None and pairs is not None:
        return byte_level(words, pairs, prefix_space=flags.get("add_prefix_space", False))
    vocabulary = preset.file("vocab.txt")
    if vocabulary is not None:
        return _wordpiece(
            preset.name,
            vocabulary.read_text("utf-8"),
            lowercase=flags.get("do_lower_case", True),
            strip_accents=flags.get("strip_accents"),
            chinese=flags.get("tokenize_chinese_chars", True),
        )
    model = next(filter(None, map(preset.file, SENTENCEPIECE)), None)
    if model is None:
        names = ", ".join(("vocab.txt", "vocab.json", *SENTENCEPIECE))
        raise preset.lacks(f"tokenizer (tokenizer.json, or {names})")
    return _converted(preset, model)


def _converted(preset: Preset, model: Path) -> Tokenizer:
    """Returns what transformers makes of a model of SentencePiece; no code of the folder is run."""
    import tempfile

    from transformers import AutoTokenizer

    with tempfile.TemporaryDirectory() as folder:
        for name in (model.name, "config.json", "tokenizer_config.json", "special_tokens_map.json"):
            file = preset.file(name)
            if file is not None:
                shutil.copy(file, Path(folder) / name)
        try:
            made = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
            saved = made.backend_tokenizer.to_str()
        except Exception as error:  # files that a user gave can be wrong in any way
            raise UserError(
                f"{preset.name}: {model.name} can't be read",
                expected="a model of SentencePiece, and config.json to say which tokenizer it is",
                received=f"{type(error).__name__}: {error}".partition("\n")[0][:200],
                fix="pip install sentencepiece protobuf, or give the folder its tokenizer.json",
            ) from error
    _check_servable(preset.name, json.loads(saved))
    from tokenizers import Tokenizer

    return bare(Tokenizer.from_str(saved))


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
        raise _not_servable(preset.name, saved["class_name"])
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
    ids: dict[str, int], *, lowercase: bool, strip_accents: bool | None, chinese: bool
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


def _check_servable(name: str, saved: dict[str, Any]) -> None:
    """Refuses kinds of tokenizers for which there is no graph of TensorFlow ops that equals it.

    What else a graph can't do, `textmill.serving.graph_tokenizer` says of a file.
    """
    parts = ("model", "normalizer", "pre_tokenizer")
    kinds = [(saved.get(part) or {}).get("type") for part in parts]
    wordpiece = ["WordPiece", "BertNormalizer", "BertPreTokenizer"]
    if kinds != wordpiece and kinds[0] not in ("BPE", "Unigram"):
        raise _not_servable(name, " + ".join(str(k) for k in kinds))
    extra = [t["content"] for t in saved.get("added_tokens", []) if not t.get("special")]
    if extra:
        raise _not_servable(name, f"tokens that are matched in raw text: {json.dumps(extra[:5])}")


def _not_servable(name: str, kind: str) -> UserError:
    return UserError(
        f"{name}: a serving graph for {kind} is not there yet",
        expected="WordPiece as BERT has it, byte-level BPE, or SentencePiece's unigram model",
        received=kind,
        fix="take a model such as BERT, RoBERTa or ALBERT, or train one with model.scratch",
    )
