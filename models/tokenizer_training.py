"""New tokenizers, trained on texts: WordPiece, byte-level BPE, or SentencePiece's unigram model."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING
from zlib import crc32

from textmill.models.causal_tokenizer import END
from textmill.models.preset import TokenizerKind
from textmill.models.tokenizer import SPECIAL, bare, bert, roberta

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from tokenizers.trainers import BpeTrainer

SENTENCEPIECE = ("<s>", "<pad>", "</s>", "<unk>", "<mask>")  # of RoBERTa and XLM-RoBERTa
# Of text that no space parts, so many characters are read: every clause of it is new, and a word.
MOST_UNSPACED = 4_000_000
LONGEST = 64  # characters of a word; a longer one is read in parts
# Thai to Tibetan, Burmese, Khmer, Chinese and Japanese; and what is long without a space.
_UNSPACED = re.compile(
    r"[\u0e00-\u0fff\u1000-\u109f\u1780-\u17ff\u2e80-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]+"
    rf"|\S{{{LONGEST + 1},}}"
)
_LONG = re.compile(rf"(\S{{{LONGEST}}})(?=\S)")
STEP = 1e-4  # between scores that the trainer gives to characters which it would have dropped
DIGITS = 4  # of a score: what is behind them is another one each time the trainer runs


def train_tokenizer(
    texts: Iterable[str],
    vocabulary_size: int,
    *,
    kind: TokenizerKind = "wordpiece",
    lowercase: bool = True,
) -> Tokenizer:
    """Trains a tokenizer; equal texts in equal order give an equal one.

    The memory it takes grows with the number of different words, not of texts. Where no spaces part
    words, "bpe" and "unigram" are trained on a share of the texts, if they are many.

    Args:
        texts: The texts; they are gone through twice.
        vocabulary_size: Tokens at most; the five special ones count.
        kind: "wordpiece" as BERT has it, "bpe" on bytes as RoBERTa, or "unigram" as XLM-RoBERTa.
        lowercase: Whether to lower the case; "wordpiece" strips accents then too, as BERT's
            uncased models do.

    Example:
        >>> tokenizer = train_tokenizer(["red fish", "blue fish"] * 9, 60)
        >>> tokenizer.encode("Red fish").tokens
        ['[CLS]', 'red', 'fish', '[SEP]']

    Source: WordPiece, BPE and Unigram of the `tokenizers` library; https://arxiv.org/abs/1810.04805,
    https://arxiv.org/abs/1907.11692, https://arxiv.org/abs/1804.10959.
    """
    if iter(texts) is texts:
        raise TypeError("texts are gone through twice: pass a list, or an object with __iter__")
    train = {"wordpiece": _wordpiece, "bpe": _bpe, "unigram": _unigram}[kind]
    return train(texts, vocabulary_size, lowercase)


def train_gpt2_tokenizer(texts: Iterable[str], vocabulary_size: int) -> Tokenizer:
    """Trains a byte-level BPE as GPT-2 has it; equal texts in equal order give an equal one.

    Args:
        texts: The texts; they are gone through twice.
        vocabulary_size: Tokens at most; the one that ends a text, and one for each byte count.

    Example:
        >>> tokenizer = train_gpt2_tokenizer(["red fish", "blue fish"] * 9, 270)
        >>> tokenizer.encode("Red fish").tokens, tokenizer.token_to_id("<|endoftext|>")
        (['R', 'ed', 'Ġfish'], 0)

    Source: section 2.2 of
    https://cdn.openai.com/better-language-models/language_models_are_unsupervised_multitask_learners.pdf.
    """
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    if iter(texts) is texts:
        raise TypeError("texts are gone through twice: pass a list, or an object with __iter__")
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(
        _share(texts, _unspaced(texts)), _bpe_trainer(vocabulary_size, [END])
    )
    return bare(tokenizer)


def _wordpiece(texts: Iterable[str], vocabulary_size: int, lowercase: bool) -> Tokenizer:
    from tokenizers.trainers import WordPieceTrainer

    tokenizer = bert({}, lowercase=lowercase, strip_accents=None, chinese=True)
    counts = _characters(map(tokenizer.normalizer.normalize_str, texts))
    # Every character takes two tokens, one at a word's start and one inside. A quarter of the
    # room for each leaves half for words; the rarest characters become [UNK].
    alphabet = _commonest(counts, max(vocabulary_size // 4, 1))
    trainer = WordPieceTrainer(
        vocab_size=vocabulary_size,
        # The trainer numbers what it meets in the order of a hash map, another one each time, and
        # breaks ties by those numbers. Given beforehand, they are fixed.
        special_tokens=[*SPECIAL, *alphabet, *(f"##{character}" for character in alphabet)],
        initial_alphabet=alphabet,
        limit_alphabet=len(alphabet),
        show_progress=False,
    )
    tokenizer.train_from_iterator(iter(texts), trainer)
    ids = tokenizer.get_vocab()
    return bert(ids, lowercase=lowercase, strip_accents=None, chinese=True)


def _bpe(texts: Iterable[str], vocabulary_size: int, lowercase: bool) -> Tokenizer:
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

    tokenizer = Tokenizer(models.BPE())
    if lowercase:
        tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = _bpe_trainer(vocabulary_size, list(SENTENCEPIECE))
    tokenizer.train_from_iterator(_share(texts, _unspaced(texts)), trainer)
    return roberta(tokenizer, prefix_space=False)


def _bpe_trainer(vocabulary_size: int, special: list[str]) -> BpeTrainer:
    from tokenizers import pre_tokenizers
    from tokenizers.trainers import BpeTrainer

    return BpeTrainer(
        vocab_size=vocabulary_size,
        special_tokens=special,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )


def _unigram(texts: Iterable[str], vocabulary_size: int, lowercase: bool) -> Tokenizer:
    from tokenizers import Regex, Tokenizer, models, pre_tokenizers
    from tokenizers.trainers import UnigramTrainer

    empty = _sentencepiece([], lowercase)
    normalize = empty.normalizer.normalize_str
    characters: Counter[str] = Counter()
    unspaced = 0
    for text in texts:
        characters.update(normalize(text))
        unspaced += _length(text)
    # The trainer takes every character for a piece. A quarter of the room leaves the rest for
    # longer ones; the rarest characters become <unk>.
    alphabet = set(_commonest(characters, max(vocabulary_size // 4, 1)))
    if not alphabet:
        return empty
    rare = {ord(character): " " for character in characters if character not in alphabet}
    tokenizer = Tokenizer(models.Unigram())
    # No piece goes over a punctuation mark: as in SentencePiece, which parts scripts so.
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [empty.pre_tokenizer, pre_tokenizers.Split(Regex(r"\p{P}+"), "isolated")]
    )
    trainer = UnigramTrainer(
        vocab_size=vocabulary_size,
        special_tokens=list(SENTENCEPIECE),
        unk_token="<unk>",
        show_progress=False,
    )
    tokenizer.train_from_iterator(
        (normalize(text).translate(rare) for text in _share(texts, unspaced)), trainer
    )
    pieces = json.loads(tokenizer.to_str())["model"]["vocab"][len(SENTENCEPIECE) :]
    # Characters that were no good pieces follow each other from the lowest score upwards, in the
    # order of a hash map.
    lowest = min(score for _, score in pieces)
    most = lowest + STEP * len(alphabet)
    found = [
        (piece, round(lowest if len(piece) == 1 and score <= most else score, DIGITS))
        for piece, score in pieces
    ]
    return _sentencepiece(sorted(found, key=lambda each: (-each[1], each[0])), lowercase)


def _sentencepiece(pieces: list[tuple[str, float]], lowercase: bool) -> Tokenizer:
    """Puts together what XLM-RoBERTa has, with normalizers in place of a table of them."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers
    from tokenizers.processors import RobertaProcessing

    special = [(token, 0.0) for token in SENTENCEPIECE]
    unknown = SENTENCEPIECE.index("<unk>")
    tokenizer = Tokenizer(models.Unigram([*special, *pieces], unk_id=unknown, byte_fallback=False))
    steps = [normalizers.Nmt(), normalizers.NFKC(), *([normalizers.Lowercase()] * lowercase)]
    tokenizer.normalizer = normalizers.Sequence(steps)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace()]
    )
    tokenizer.decoder = decoders.Metaspace()
    tokenizer.post_processor = RobertaProcessing(
        ("</s>", SENTENCEPIECE.index("</s>")),
        ("<s>", SENTENCEPIECE.index("<s>")),
        trim_offsets=False,
        add_prefix_space=False,
    )
    tokenizer.add_special_tokens([AddedToken(t, lstrip=t == "<mask>") for t in SENTENCEPIECE])
    return bare(tokenizer)


def _characters(texts: Iterable[str]) -> Counter[str]:
    counts: Counter[str] = Counter()
    for text in texts:
        counts.update(text)
    return counts


def _commonest(counts: Counter[str], limit: int) -> list[str]:
    """Returns the most frequent characters, sorted."""
    by_frequency = sorted(counts, key=lambda character: (-counts[character], character))
    return sorted(c for c in by_frequency[:limit] if not c.isspace())


def _length(text: str) -> int:
    """Returns how many characters of a text are in words that no spaces part."""
    return sum(map(len, _UNSPACED.findall(text)))


def _unspaced(texts: Iterable[str]) -> int:
    return sum(map(_length, texts))


def _share(texts: Iterable[str], unspaced: int) -> Iterator[str]:
    """Yields texts with long words in parts: all, or a share drawn by what is in them.

    Args:
        texts: The texts.
        unspaced: Characters of all of them that no spaces part.
    """
    every = -(-unspaced // MOST_UNSPACED)
    for text in texts:
        if every < 2 or crc32(text.encode()) % every == 0:
            yield _LONG.sub(r"\1 ", text)
