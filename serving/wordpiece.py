"""BERT tokenization as a graph of core TensorFlow operations, equal to the `tokenizers` library.

Every rule of the normalizer and of the pre-tokenizer looks at one code point, but for the canonical
order of combining marks, so the rules become one table that is made with the library itself.
Longest-match-first (Wu et al. 2016; Devlin et al. 2019, `tokenization.py`) is a loop over the
distinct words of a batch, all at once. No operation is outside core TensorFlow and nothing grows
with use, so any TensorFlow Serving can load it.
"""

from __future__ import annotations

import json
from functools import cache, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from textmill.errors import UserError

if TYPE_CHECKING:
    import tensorflow as tf

CODE_POINTS = 0x110000
SURROGATES = range(0xD800, 0xE000)  # no UTF-8 text decodes to one
PAGE = 64  # code points a page; the size that makes the table smallest

SPACE = 0x20
NOTHING = -1  # fills a row of `CodePoints.rows`
SELF = -2  # stands for the code point that was looked up
BREAK = -3  # a removed character that combining marks do not move across
RANK = 21  # a mark's place in canonical order stands above the 21 bits of its code point


class Rules(NamedTuple):
    """What a `tokenizer.json` says, in plain values."""

    vocabulary: dict[str, int]
    unknown: int
    prefix: str
    longest_word: int
    before: list[int]  # ids that the template puts before the text: [CLS]
    after: list[int]  # ids that it puts after the text: [SEP]
    normalizer: tuple[bool, bool, bool, bool]  # clean, isolate Chinese, strip accents, lowercase


class CodePoints(NamedTuple):
    """A map from a code point to what the normalizer and the pre-tokenizer make of it.

    `rows[pages[starts[c // PAGE], c % PAGE]]` are the code points that `c` becomes.
    """

    starts: npt.NDArray[np.uint16]  # [CODE_POINTS / PAGE]
    pages: npt.NDArray[np.uint16]  # [distinct pages, PAGE]
    rows: npt.NDArray[np.int32]  # [distinct outcomes, longest outcome]


class WordPiece:
    """Turns text into token ids inside a TensorFlow graph.

    The ids are those of `Tokenizer.from_file(tokenizer_file)` with `encode_special_tokens = True`
    (so "[SEP]" in a text is three characters and a word, never a separator), without padding and
    truncated to `max_length`. A byte sequence that is not UTF-8 is read as U+FFFD, which a
    normalizer with `clean_text` drops.

    Args:
        tokenizer_file: A `tokenizer.json` with a WordPiece model, a BertNormalizer, a
            BertPreTokenizer and a template of special tokens around the text. Its own truncation
            and padding are not read.
        max_length: Most ids of a text, special tokens included.

    Attributes:
        vocabulary_size: One more than the largest id.
        max_length: As given.
        table: The vocabulary as a `tf.lookup.StaticHashTable`; whoever saves the graph tracks it.

    Raises:
        UserError: If the file can't be read, or holds something that can't be done exactly.
    """

    def __init__(self, tokenizer_file: Path, max_length: int) -> None:
        import tensorflow as tf

        rules = read_rules(tokenizer_file)
        special = len(rules.before) + len(rules.after)
        if max_length < special + 1:
            raise UserError(
                f"max_length = {max_length} leaves no room for text",
                expected=f"at least {special + 1}: {special} special tokens and one of the text",
                received=str(max_length),
                fix="set model.max_length to the tokens that a text may have, 256 for example",
            )
        self.max_length = max_length
        self.vocabulary_size = 1 + max(rules.vocabulary.values())
        self._rules = rules
        self._codes = code_points(*rules.normalizer)
        tokens = sorted(rules.vocabulary, key=rules.vocabulary.__getitem__)
        self._longest = min(max(map(len, tokens)), rules.longest_word)
        ids = tf.constant([rules.vocabulary[t] for t in tokens], tf.int32)
        pairs = tf.lookup.KeyValueTensorInitializer(tokens, ids)
        self.table = tf.lookup.StaticHashTable(pairs, default_value=-1)

    def __call__(self, text: tf.Tensor) -> tf.RaggedTensor:
        """Returns the token ids of each text.

        Args:
            text: [batch] string, UTF-8. The batch may be empty, and so may a text.

        Returns:
            [batch, (tokens)] int32, special tokens included, at most `max_length` a row.
        """
        import tensorflow as tf

        room = self.max_length - len(self._rules.before) - len(self._rules.after)
        words = tf.strings.split(tf.strings.unicode_encode(self._characters(text), "UTF-8"))
        words = words[:, :room]  # a word has a token at least, so later ones can't matter
        distinct, place = tf.unique(words.flat_values)
        pieces = tf.gather(self._pieces(distinct), place)
        ids = words.with_flat_values(pieces).merge_dims(1, 2)[:, :room]
        rows = tf.shape(text)[0]
        before = tf.tile(tf.constant(self._rules.before, tf.int32, [1, len(self._rules.before)]), [rows, 1])
        after = tf.tile(tf.constant(self._rules.after, tf.int32, [1, len(self._rules.after)]), [rows, 1])
        return tf.concat([before, ids, after], 1)

    def _characters(self, text: tf.Tensor) -> tf.RaggedTensor:
        """Returns the normalized code points, [batch, (characters)] int32, words between spaces."""
        import tensorflow as tf

        decoded = tf.strings.unicode_decode(text, "UTF-8")
        code = decoded.flat_values
        page = tf.gather(tf.constant(self._codes.starts), code // PAGE)
        row = tf.gather_nd(
            tf.constant(self._codes.pages), tf.stack([tf.cast(page, tf.int32), code % PAGE], 1)
        )
        became = tf.gather(tf.constant(self._codes.rows), tf.cast(row, tf.int32))
        became = tf.where(became == SELF, code[:, None], became)
        characters = decoded.with_flat_values(
            tf.ragged.boolean_mask(became, became != NOTHING)
        ).merge_dims(1, 2)
        flat, of_row = characters.flat_values, characters.value_rowids()
        if (self._codes.rows >= 1 << RANK).any():
            flat = tf.cond(
                tf.reduce_any(flat >= 1 << RANK), lambda: _canonical_order(flat, of_row), lambda: flat
            )
        kept = characters.with_values(flat % (1 << RANK))
        return tf.ragged.boolean_mask(kept, characters.with_values(flat != BREAK))

    def _pieces(self, words: tf.Tensor) -> tf.RaggedTensor:
        """Returns the ids of distinct words: [words] string -> [words, (pieces)] int32."""
        import tensorflow as tf

        rules, count = self._rules, tf.size(words)
        size = tf.strings.length(words, unit="UTF8_CHAR")
        whole = self.table.lookup(words)
        short = size <= rules.longest_word
        lengths = tf.range(1, self._longest + 1)[None]

        def step(ids: tf.Tensor, todo: tf.Tensor, start: tf.Tensor) -> tuple[tf.Tensor, ...]:
            """Finds the longest next piece of every word in `todo`, which begins at `start`."""
            left = (tf.gather(size, todo) - start)[:, None]
            take = tf.minimum(lengths, left)
            texts = tf.strings.substr(
                tf.broadcast_to(tf.gather(words, todo)[:, None], tf.shape(take)),
                tf.broadcast_to(start[:, None], tf.shape(take)),
                take,
                unit="UTF8_CHAR",
            )
            found = self.table.lookup(
                tf.add(tf.where(start > 0, rules.prefix, "")[:, None], texts)
            )
            best = tf.reduce_max(tf.where((found >= 0) & (lengths <= left), lengths, 0), 1)
            hit = best > 0
            piece = tf.gather(found, tf.maximum(best - 1, 0), batch_dims=1)
            # A word with a part that no piece fits is one unknown token, whatever came before.
            lost = tf.scatter_nd(todo[:, None], ~hit, tf.cast(count, tf.int64)[None])
            ids = tf.where(lost[:, None], -1, ids)
            column = tf.tensor_scatter_nd_update(
                tf.fill([count], -1), todo[:, None], tf.where(hit, piece, rules.unknown)
            )
            start += best
            more = hit & (start < tf.gather(size, todo))
            return (
                tf.concat([ids, column[:, None]], 1),
                tf.boolean_mask(todo, more),
                tf.boolean_mask(start, more),
            )

        todo = tf.where((whole < 0) & short)[:, 0]
        ids, _, _ = tf.while_loop(
            lambda ids, todo, start: tf.size(todo) > 0,
            step,
            (tf.where(short, whole, rules.unknown)[:, None], todo, tf.zeros_like(todo, tf.int32)),
            shape_invariants=(
                tf.TensorShape([None, None]),
                tf.TensorShape([None]),
                tf.TensorShape([None]),
            ),
        )
        return tf.ragged.boolean_mask(ids, ids >= 0)


def _canonical_order(flat: tf.Tensor, of_row: tf.Tensor) -> tf.Tensor:
    """Sorts each run of combining marks by rank (Unicode Standard, D109), [characters] int32."""
    import tensorflow as tf

    rank = tf.maximum(flat, 0) // (1 << RANK)
    new_row = tf.concat([[True], of_row[1:] != of_row[:-1]], 0)
    run = tf.cumsum(tf.cast((rank == 0) | new_row, tf.int32))
    key = tf.cast(run, tf.int64) * (1 << (31 - RANK)) + tf.cast(rank, tf.int64)
    return tf.gather(flat, tf.argsort(key, stable=True))


@lru_cache(maxsize=4)
def code_points(clean: bool, isolate: bool, strip: bool, lowercase: bool) -> CodePoints:
    """Returns what BertNormalizer and BertPreTokenizer make of each code point.

    It asks the library, because what counts as punctuation, as a mark or as unassigned differs
    from one version of Unicode to the next. The arguments are those of BertNormalizer.
    """
    from tokenizers import normalizers, pre_tokenizers

    def bert(*settings: bool) -> Any:
        return normalizers.BertNormalizer(*settings).normalize_str

    cleaned, unmarked = bert(clean, isolate, False, False), bert(False, False, True, False)
    lowered, everything = bert(False, False, False, True), bert(clean, isolate, strip, lowercase)
    decomposed = normalizers.NFD().normalize_str if strip else str
    split = pre_tokenizers.BertPreTokenizer().pre_tokenize_str

    def probe(text: str) -> str:
        # Between marks of the highest and of the lowest class, only a starter keeps its place.
        return "".join(f"a\u0345{c}\u0334" for c in text)

    def is_mark(char: str) -> bool:
        return strip and bool(decomposed(probe(char)) != probe(char))

    @cache
    def outcome(part: str) -> list[tuple[int, str]]:
        """The code points that a decomposed character becomes, each with its mark or ''."""
        mark = part if is_mark(part) else ""
        if strip and not unmarked(part):
            return [] if mark else [(BREAK, "")]
        out = []
        for c in lowered(part):
            pieces = len(split(f"a{c}a"))  # a letter joins, a space parts, a symbol stands alone
            alone = [(SPACE, "")] if pieces == 3 else []
            out += [(SPACE, "")] if pieces == 2 else [*alone, (ord(c), mark), *alone]
        return out

    outcomes: dict[int, list[tuple[int, str]]] = {}
    for first in range(0, CODE_POINTS, PAGE):
        if first in SURROGATES:
            continue
        page = "".join(map(chr, range(first, first + PAGE)))
        if everything(page) == page and len(split(page)) == 1 and not is_mark(page):
            continue  # most of Unicode stays as it is
        for c in page:
            outcomes[ord(c)] = [o for part in decomposed(cleaned(c)) for o in outcome(part)]

    marks = sorted({mark for out in outcomes.values() for _, mark in out if mark})
    rank = {m: 1 + sum(decomposed(m + other) == other + m for other in marks) for m in marks}
    width = max(map(len, outcomes.values()))
    numbers = {(SELF, *[NOTHING] * (width - 1)): 0}  # outcome -> its place in rows
    index = np.zeros(CODE_POINTS, np.uint16)
    for code, out in outcomes.items():
        row = [SELF if c == code and not m else c + (rank[m] << RANK if m else 0) for c, m in out]
        key = tuple(row + [NOTHING] * (width - len(row)))
        index[code] = numbers.setdefault(key, len(numbers))
    pages, starts = np.unique(index.reshape(-1, PAGE), axis=0, return_inverse=True)
    return CodePoints(starts.reshape(-1).astype(np.uint16), pages, np.array(list(numbers), np.int32))


def read_rules(tokenizer_file: Path) -> Rules:
    """Returns what a `tokenizer.json` says.

    Raises:
        UserError: If it can't be read, or the graph could not follow it exactly.
    """
    from tokenizers import Tokenizer

    def inexact(what: str, expected: str, received: object) -> UserError:
        return UserError(
            f"{tokenizer_file}: this {what} can't be put into a serving graph exactly",
            expected=expected,
            received=json.dumps(received, ensure_ascii=False)[:200],
            fix="use the tokenizer of a BERT checkpoint, or train one with model.scratch",
        )

    try:
        # As the library understands the file, defaults filled in.
        spec = json.loads(Tokenizer.from_file(str(tokenizer_file)).to_str())
    except Exception as error:  # the library raises nothing narrower
        raise UserError(
            f"{tokenizer_file}: not a tokenizer",
            expected="a tokenizer.json as the tokenizers library writes it",
            received=str(error)[:200],
            fix="save it with tokenizers.Tokenizer.save, or name a folder that holds one",
        ) from error
    model, normalizer, splitter = spec["model"], spec["normalizer"], spec["pre_tokenizer"]
    for what, part, wanted in (
        ("model", model, "WordPiece"),
        ("normalizer", normalizer, "BertNormalizer"),
        ("pre-tokenizer", splitter, "BertPreTokenizer"),
    ):
        if part is None or part["type"] != wanted:
            raise inexact(what, wanted, part and part["type"])
    added = [t["content"] for t in spec["added_tokens"] if not t["special"]]
    if added:
        raise inexact("list of added tokens", "special tokens only", added)
    if model["unk_token"] not in model["vocab"]:
        raise inexact("model", "an unknown token that is in the vocabulary", model["unk_token"])
    strip, lowercase = normalizer["strip_accents"], normalizer["lowercase"]
    template = _template(spec["post_processor"])
    if template is None:
        raise inexact("post-processor", "special tokens around one text", spec["post_processor"])
    return Rules(
        vocabulary=model["vocab"],
        unknown=model["vocab"][model["unk_token"]],
        prefix=model["continuing_subword_prefix"],
        longest_word=model["max_input_chars_per_word"],
        before=template[0],
        after=template[1],
        normalizer=(
            normalizer["clean_text"],
            normalizer["handle_chinese_chars"],
            lowercase if strip is None else strip,
            lowercase,
        ),
    )


def _template(spec: Any) -> tuple[list[int], list[int]] | None:
    """Returns the ids before and after a single text, None where it is not of that form."""
    if spec is None:
        return [], []
    if spec["type"] == "BertProcessing":
        return [spec["cls"][1]], [spec["sep"][1]]
    if spec["type"] != "TemplateProcessing":
        return None
    around: tuple[list[int], list[int]] = ([], [])
    texts = 0
    for part in spec["single"]:
        if "Sequence" in part:
            texts += 1
        else:
            around[min(texts, 1)].extend(spec["special_tokens"][part["SpecialToken"]["id"]]["ids"])
    return around if texts == 1 else None
