"""Small tokenizers of every kind, made with the libraries that made the published ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import tensorflow as tf
from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, processors, trainers

from textmill.serving.graph_tokenizer import graph_tokenizer
from tiny_models import SCRIPTS, load_tokenizer

Ids = Callable[[Sequence[str | bytes]], list[list[int]]]
ROBERTA = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
LLAMA3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}|"
    r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def bpe(
    file: Path,
    *,
    prefix_space: bool = False,
    digits: bool = False,
    expression: str | None = None,
    composed: bool = False,
    texts: Sequence[str] = SCRIPTS,
    vocabulary_size: int = 500,
    **settings: Any,
) -> Tokenizer:
    """Trains a byte-level BPE tokenizer as RoBERTa's, saves it and returns it as we use it."""
    made = Tokenizer(models.BPE(**settings))
    parts: list[Any] = [pre_tokenizers.ByteLevel(add_prefix_space=prefix_space)]
    if expression:
        parts = [
            pre_tokenizers.Split(Regex(expression), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    if digits:
        parts.insert(0, pre_tokenizers.Digits(individual_digits=True))
    if composed:
        made.normalizer = normalizers.NFC()
    made.pre_tokenizer = pre_tokenizers.Sequence(parts) if len(parts) > 1 else parts[0]
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary_size,
        special_tokens=ROBERTA,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    made.train_from_iterator(texts, trainer)
    made.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0))
    file.parent.mkdir(parents=True, exist_ok=True)
    made.save(str(file))
    return load_tokenizer(file)


def graph(file: Path, most: int | None = None) -> Ids:
    """Returns what a graph makes of texts."""
    made = graph_tokenizer(file)
    traced = tf.function(
        lambda text: made.pieces(text, most),
        input_signature=[tf.TensorSpec([None], tf.string)],
        autograph=False,
    )

    def ids(texts: Sequence[str | bytes]) -> list[list[int]]:
        found: list[list[int]] = traced(tf.constant(list(texts), tf.string)).to_list()
        return found

    return ids


def library(made: Tokenizer, texts: Sequence[str]) -> list[list[int]]:
    """Returns what the `tokenizers` library makes of texts, special tokens left out."""
    return [e.ids for e in made.encode_batch(list(texts), add_special_tokens=False)]


# The name of the model in a published folder, and its special tokens.
SENTENCEPIECE: dict[str, tuple[str, dict[str, Any]]] = {
    "albert": (
        "spiece.model",
        {"bos_id": -1, "eos_id": -1, "pad_id": 0, "unk_id": 1}
        | {"control_symbols": "[CLS],[SEP],[MASK]"},
    ),
    "xlm-roberta": ("sentencepiece.bpe.model", {}),
    "deberta-v2": (
        "spm.model",
        {"pad_id": 0, "pad_piece": "[PAD]", "bos_id": 1, "bos_piece": "[CLS]"}
        | {"eos_id": 2, "eos_piece": "[SEP]", "unk_id": 3, "unk_piece": "[UNK]"},
    ),
    "t5": ("spiece.model", {"pad_id": 0, "eos_id": 1, "unk_id": 2, "bos_id": -1}),
}


def sentencepiece(
    folder: Path,
    kind: str,
    vocabulary_size: int = 600,
    texts: Sequence[str] = SCRIPTS * 3,
    **settings: Any,
) -> Path:
    """Trains a unigram model of SentencePiece as a kind of model has it; returns its file."""
    import sentencepiece as library

    name, more = SENTENCEPIECE[kind]
    folder.mkdir(parents=True, exist_ok=True)
    library.SentencePieceTrainer.train(
        sentence_iterator=iter(texts),
        model_prefix=str(folder / "trained"),
        vocab_size=vocabulary_size,
        hard_vocab_limit=False,
        minloglevel=2,
        **more,
        **settings,
    )
    (folder / "trained.vocab").unlink()
    return (folder / "trained.model").rename(folder / name)


def unigram(
    folder: Path,
    kind: str,
    vocabulary_size: int = 600,
    texts: Sequence[str] = SCRIPTS * 3,
    **settings: Any,
) -> Path:
    """Makes a folder with a `tokenizer.json` that transformers converts from SentencePiece."""
    import transformers

    sentencepiece(folder, kind, vocabulary_size, texts)
    classes = {
        "albert": "AlbertTokenizer",
        "xlm-roberta": "XLMRobertaTokenizer",
        "deberta-v2": "DebertaV2Tokenizer",
        "t5": "T5Tokenizer",
    }
    made = getattr(transformers, classes[kind]).from_pretrained(str(folder), **settings)
    made.save_pretrained(str(folder))
    return folder / "tokenizer.json"
