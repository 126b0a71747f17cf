"""Masked words: which tokens of a row a model has to guess, and what stands in their place."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from textmill.errors import UserError

if TYPE_CHECKING:
    import numpy.typing as npt
    from tokenizers import Tokenizer

    from textmill.models.rows import Ints, Places

RATE = 0.15  # of the tokens are guessed
MASKED, REPLACED = 0.8, 0.1  # of these become [MASK], and another token; the rest stays

_MASKS = ("[MASK]", "<mask>")
_INSIDE = "##"  # WordPiece marks the pieces inside a word, the other kinds those that begin one
_BEGIN = ("Ġ", "▁")


class Masked(NamedTuple):
    """Rows with tokens to guess.

    Attributes:
        token_ids: int32 [rows, width], with [MASK] and other tokens put in.
        positions: int32 [rows, most]: where the tokens to guess are, ascending, 0 behind the last.
        labels: int32 [rows, most]: what they were, -1 behind the last.
    """

    token_ids: Ints
    positions: Ints
    labels: Ints


@dataclass(frozen=True)
class Vocabulary:
    """What masking must know of the tokens.

    Attributes:
        mask: The id of [MASK].
        first, last: The ids that stand before and behind a row: [CLS] and [SEP].
        words: int32 [words]: the ids of tokens that are not special.
        special: bool [tokens].
        begins: bool [tokens]: whether a token begins a word, whatever stands before it.
    """

    mask: int
    first: int
    last: int
    words: Ints
    special: npt.NDArray[np.bool_]
    begins: npt.NDArray[np.bool_]


def vocabulary_of(tokenizer: Tokenizer, name: str = "the tokenizer") -> Vocabulary:
    """Returns what masking must know of a tokenizer.

    WordPiece says which pieces are inside a word ("##ing"); byte-level BPE ("Ġthe") and Unigram
    ("▁the") say which begin one.

    Args:
        tokenizer: Any with one special token before a text, one behind it, and one for masks.
        name: What to call it in a message.

    Raises:
        UserError: It lacks one of these.
    """
    tokens = sorted(tokenizer.get_vocab(), key=tokenizer.get_vocab().__getitem__)
    mask = next((tokenizer.token_to_id(token) for token in _MASKS if token in tokens), None)
    around = tokenizer.encode("").ids
    if mask is None or len(around) != 2:
        raise UserError(
            f"{name} has no tokens for masked language modelling",
            expected="one before a text, one behind it, and [MASK] or <mask>",
            received=", ".join(filter(None, map(tokenizer.id_to_token, around)))
            + (" and no mask" if mask is None else ""),
            fix="take a BERT or RoBERTa kind of model, or train one with model.scratch",
        )
    size = max(tokenizer.get_vocab().values()) + 1
    special, begins = np.zeros(size, bool), np.zeros(size, bool)
    special[[i for i, token in tokenizer.get_added_tokens_decoder().items() if token.special]] = 1
    marked = any(token.startswith(_BEGIN) for token in tokens)
    for token, i in tokenizer.get_vocab().items():
        begins[i] = token.startswith(_BEGIN) if marked else not token.startswith(_INSIDE)
    words = np.flatnonzero(~special).astype(np.int32)
    return Vocabulary(mask, around[0], around[1], words, special, begins | special)


def masked(
    token_ids: Ints,
    lengths: Places,
    vocabulary: Vocabulary,
    *,
    seed: int,
    epoch: int,
    rows: Places,
    whole_word: bool = False,
    rate: float = RATE,
) -> Masked:
    """Returns rows with tokens to guess; seed, epoch and a row's number alone decide which.

    Special tokens stay. Words, or single tokens, are drawn at random until `rate` of the row's
    tokens are reached as nearly as the last one drawn allows, and at least one is. Of the tokens
    drawn, each by itself, 80 % become [MASK], 10 % any token that is not special, and 10 % stay.

    Args:
        token_ids: int32 [rows, width].
        lengths: int64 [rows]: tokens of each row; the rest is padding.
        vocabulary: Of the tokenizer.
        seed: The run's.
        epoch: From 0.
        rows: int64 [rows]: their numbers in the epoch.
        whole_word: Whether all pieces of a word are drawn together.
        rate: Share of the tokens to guess.

    Source: https://arxiv.org/abs/1810.04805, section 3.1; anew each epoch as in
    https://arxiv.org/abs/1907.11692; whole words as in https://github.com/google-research/bert.
    """
    out = token_ids.copy()
    found: list[Places] = []
    for i, row in enumerate(rows.tolist()):
        random = np.random.default_rng([seed, epoch, row])
        ids = token_ids[i, : lengths[i]]
        chosen = _drawn(ids, vocabulary, random, whole_word=whole_word, rate=rate)
        fate, other = random.random(len(chosen)), random.choice(vocabulary.words, len(chosen))
        replaced = np.where(fate < MASKED + REPLACED, other, ids[chosen])
        out[i, chosen] = np.where(fate < MASKED, vocabulary.mask, replaced)
        found.append(chosen)
    used = np.arange(max(map(len, found), default=0)) < np.array([[len(c)] for c in found])
    positions, labels = np.zeros(used.shape, np.int32), np.full(used.shape, -1, np.int32)
    if used.any():
        positions[used] = np.concatenate(found)
        labels[used] = token_ids[np.nonzero(used)[0], positions[used]]
    return Masked(out, positions, labels)


def _drawn(
    ids: Ints,
    vocabulary: Vocabulary,
    random: np.random.Generator,
    *,
    whole_word: bool,
    rate: float,
) -> Places:
    """Returns the places of the tokens to guess in a row, ascending."""
    open_places = np.flatnonzero(~vocabulary.special[ids])
    begins = np.ones(len(ids), bool)
    if whole_word:
        begins = vocabulary.begins[ids]
        # What comes behind a special token begins a word, even where it is a piece of one.
        begins[1:] |= vocabulary.special[ids[:-1]]
    word = np.cumsum(begins)[open_places]
    names, of_word = np.unique(word, return_inverse=True)
    sizes = np.bincount(of_word, minlength=len(names))
    order = random.permutation(len(names))
    # A word is taken where that brings the sum nearer to what is wanted.
    taken = np.cumsum(sizes[order]) - sizes[order] / 2 <= rate * len(open_places)
    taken[:1] = True
    return open_places[np.isin(of_word, order[taken])]
