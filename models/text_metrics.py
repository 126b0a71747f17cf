"""Figures that say how near texts come to what was to be written, and how they differ."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, cast

import numpy as np

from textmill.errors import UserError
from textmill.progress import warn

if TYPE_CHECKING:
    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]

# How sacrebleu takes texts apart. Those of Japanese and Korean need packages of their own.
Words = Literal["13a", "intl", "zh", "ja-mecab", "ko-mecab", "char", "none"]
# Characters of scripts whose words no spaces part, each with its marks.
_ALONE = r"([\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}\p{Tibetan}]\p{M}*)"
ROUGES = {"rouge1": "rouge1", "rouge2": "rouge2", "rougeL": "rouge_l"}


class Sums(NamedTuple):
    """A figure that comes of numbers added up over texts, so that they can be drawn anew.

    Attributes:
        each: Of every text, float64 [texts, numbers].
        figure: Returns the figure of sums of the numbers.
    """

    each: Floats
    figure: Callable[[Floats], float]


def text_figures(
    references: Sequence[str],
    generated: Sequence[str],
    *,
    words: Words = "13a",
    shares: Mapping[str, npt.NDArray[np.bool_]] | None = None,
    resamples: int = 1000,
    seed: int = 0,
) -> dict[str, Any]:
    """Returns how near generated texts come to references, with 95 % confidence intervals.

    Args:
        references: What was to be written.
        generated: What was written in its place, one each.
        words: How texts are taken apart, by sacrebleu's names: "13a" for languages that space
            their words, "zh", "ja-mecab" or "ko-mecab" for theirs, "intl" for any script with
            spaces, "char" for single characters.
        shares: More figures: name -> whether something holds for each text, such as `copied`.
        resamples: Draws of as many texts, with replacement, for the intervals.
        seed: Decides these draws.

    Returns:
        `bleu` and `chrf` (0 to 100, of all texts together, as sacrebleu's command line gives them;
        `signatures` says with what settings), `rouge1`, `rouge2` and `rouge_l` (0 to 1, the mean F1
        of rouge-score without stemming; with "13a" its words are those of `unicode_words`, which on
        ASCII are rouge-score's own), `exact_match` (share of texts that are the same but for
        white space around them), `length_ratio` (words generated to words of the references),
        `distinct_1` and `distinct_2` (share of different ones among all words, or pairs of words
        that stand together, of what was generated), the share of each of `shares`, `texts`, and
        `intervals`: by bootstrap, but of distinct ones by the jackknife, as a text that is drawn
        twice brings nothing different.

    Raises:
        UserError: There is no text, or a package for `words` is missing.

    Source: https://aclanthology.org/W18-6319 (BLEU as sacrebleu has it), https://aclanthology.org/W15-3049
    (chrF), https://aclanthology.org/W04-1013 (ROUGE), https://arxiv.org/abs/1510.03055 (distinct),
    https://doi.org/10.1214/aos/1176344552 (bootstrap).

    Example:
        >>> found = text_figures(["a cat sat here"], ["a cat sat there"], resamples=10)
        >>> found["rouge1"], found["exact_match"], found["length_ratio"], found["distinct_1"]
        (0.75, 0.0, 1.0, 1.0)
    """
    if not generated:
        raise UserError(
            "no text to compare",
            expected="one generated text at least",
            received="0 texts",
            fix="give the test split a share of the rows",
        )
    signatures: dict[str, str] = {}
    split = _splitter(words)
    sums = _corpus_sums(references, generated, words, signatures)
    sums |= _rouges(references, generated, words, signatures)
    same = [a.strip() == b.strip() for a, b in zip(references, generated, strict=True)]
    sums["exact_match"] = _mean(same)
    sums["length_ratio"] = Sums(sums["bleu"].each[:, :2], lambda n: n[0] / max(n[1], 1.0))
    sums |= {name: _mean(each) for name, each in (shares or {}).items()}
    intervals = _drawn(sums, resamples, seed)
    figures = {name: each.figure(each.each.sum(0)) for name, each in sums.items()}
    for size in (1, 2):
        name = f"distinct_{size}"
        figures[name], intervals[name] = distinct([split(text) for text in generated], size)
    return {
        **{name: float(value) for name, value in figures.items()},
        "texts": len(generated),
        "intervals": intervals,
        "signatures": signatures,
    }


def distinct(texts: Sequence[Sequence[str]], size: int) -> tuple[float, list[float]]:
    """Returns the share of different n-grams among all, and its 95 % confidence interval.

    Args:
        texts: The words of each text.
        size: Words of an n-gram.

    Source: https://arxiv.org/abs/1510.03055, section 5.2; https://doi.org/10.1214/aos/1176344552
    (jackknife).

    Example:
        >>> distinct([["a", "b"], ["a", "b", "c"]], 1)[0]
        0.6
    """
    grams = [Counter(zip(*(t[i:] for i in range(size)), strict=False)) for t in texts]
    behind: Counter[tuple[str, ...]] = Counter()
    for each in grams:
        behind.update(each.keys())
    total, different = sum(map(Counter.total, grams)), len(behind)
    whole = different / max(total, 1)
    without = []
    for each in grams:
        own = sum(behind[gram] == 1 for gram in each)
        without.append((different - own) / max(total - each.total(), 1))
    count = len(grams)
    spread = math.sqrt((count - 1) * float(np.var(without)))
    return whole, [max(whole - 1.96 * spread, 0.0), min(whole + 1.96 * spread, 1.0)]


def _corpus_sums(
    references: Sequence[str], generated: Sequence[str], words: Words, signatures: dict[str, str]
) -> dict[str, Sums]:
    """Returns BLEU and chrF, whose numbers sacrebleu adds up over texts."""
    from sacrebleu.metrics.bleu import BLEU
    from sacrebleu.metrics.chrf import CHRF

    found = {}
    for name, metric in (("bleu", BLEU(tokenize=words, force=True)), ("chrf", CHRF())):
        each = metric._extract_corpus_statistics(list(generated), [list(references)])

        def figure(sums: Floats, metric: Any = metric) -> float:
            return float(metric._compute_score_from_stats([round(n) for n in sums]).score)

        found[name] = Sums(np.array(each, np.float64), figure)
        signatures[name] = str(metric.get_signature())
    return found


def _rouges(
    references: Sequence[str], generated: Sequence[str], words: Words, signatures: dict[str, str]
) -> dict[str, Sums]:
    from rouge_score.rouge_scorer import RougeScorer
    from rouge_score.tokenize import tokenize

    sides = [[text.lower() for text in texts] for texts in (references, generated)]
    name: str = words
    if words == "13a":
        taken, name = [unicode_words(texts) for texts in sides], "a-z0-9"
        pairs = zip((*sides[0], *sides[1]), (*taken[0], *taken[1]), strict=True)
        strange = sum(tokenize(text, None) != found for text, found in pairs)
        if strange:
            name = "unicode"
            warn(
                f"ROUGE: {strange} of {2 * len(generated)} texts have letters or digits beside a-z"
                " and 0-9, or nothing but signs, which rouge-score leaves out: words are Unicode's,"
                " and single characters where no spaces part them (evaluate.words names other ways)"
            )
    else:
        split = _splitter(words)
        taken = [[split(text) for text in texts] for texts in sides]
    signatures["rouge"] = f"tok:{name}|version:{version('rouge-score')}"
    scorer = RougeScorer(list(ROUGES), tokenizer=_Parted())
    lines = [[_Parted.SIGN.join(found) for found in side] for side in taken]
    scores = [scorer.score(a, b) for a, b in zip(*lines, strict=True)]
    return {
        name: _mean([score[theirs].fmeasure for score in scores]) for theirs, name in ROUGES.items()
    }


def unicode_words(texts: Sequence[str]) -> list[list[str]]:
    """Returns the words of each text that ROUGE counts: runs of letters, digits and marks.

    Of scripts that put no spaces between words each character is one; and so is each character but
    spaces of a text that has no word at all. On ASCII these are the words that rouge-score 0.1.2
    takes itself, but of texts of which it leaves nothing; it gives them 0, even if they are equal.

    Args:
        texts: In lower case.

    Example:
        >>> unicode_words(["it's der bär_1", "дом 7", "小猫 ok", "?!"])
        [['it', 's', 'der', 'bär', '1'], ['дом', '7'], ['小', '猫', 'ok'], ['?', '!']]

    Source: `rouge_score/tokenize.py`; https://www.unicode.org/reports/tr24 (scripts).
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    alone = pc.replace_substring_regex(pa.array(texts, pa.string()), _ALONE, r" \1 ")
    bare = pc.replace_substring_regex(alone, r"[^\p{L}\p{N}\p{M}]+", " ").to_pylist()
    return [
        words.split() or [sign for sign in text if not sign.isspace()]
        for words, text in zip(bare, texts, strict=True)
    ]


class _Parted:
    """What rouge-score takes for a tokenizer: the words of its texts are parted by a sign."""

    SIGN = "\x1f"

    def tokenize(self, text: str) -> list[str]:
        """Returns the words of a text."""
        return text.split(self.SIGN) if text else []


def _splitter(words: Words) -> Callable[[str], list[str]]:
    """Returns what takes a text apart as sacrebleu does.

    Raises:
        UserError: A package that it needs is missing.
    """
    from sacrebleu.metrics.bleu import BLEU

    try:
        tokenizer = BLEU(tokenize=words).tokenizer
    except (ImportError, RuntimeError) as error:
        language = words.partition("-")[0]
        raise UserError(
            f'evaluate.words = "{words}" needs a package that is missing',
            expected=f"the packages with which sacrebleu takes {language} apart",
            received=str(error).strip().partition("\n")[0],
            fix=f'pip install "sacrebleu[{language}]", or take words = "char"',
        ) from error
    return lambda text: cast("str", tokenizer(text.rstrip())).split()


def _mean(values: Any) -> Sums:
    each = np.stack([np.asarray(values, np.float64), np.ones(len(values))], 1)
    return Sums(each, lambda sums: float(sums[0] / sums[1]))


def _drawn(sums: dict[str, Sums], resamples: int, seed: int) -> dict[str, list[float]]:
    """Returns intervals; all figures see the same draws."""
    count = len(next(iter(sums.values())).each)
    random = np.random.default_rng(seed)
    found: dict[str, list[float]] = {name: [] for name in sums}
    for _ in range(resamples):
        often = np.bincount(random.integers(0, count, count), minlength=count)
        for name, each in sums.items():
            found[name].append(each.figure(often @ each.each))
    return {name: np.percentile(all_, [2.5, 97.5]).tolist() for name, all_ in found.items()}
