"""Figures that say how near texts come to what was to be written, and how they differ."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, cast

import numpy as np

from textmill.errors import UserError

if TYPE_CHECKING:
    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]

# How sacrebleu takes texts apart. Those of Japanese and Korean need packages of their own.
Words = Literal["13a", "intl", "zh", "ja-mecab", "ko-mecab", "char", "none"]
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
        of rouge-score without stemming), `exact_match` (share of texts that are the same but for
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
    sums |= _rouges(references, generated, words)
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


def _rouges(references: Sequence[str], generated: Sequence[str], words: Words) -> dict[str, Sums]:
    from rouge_score.rouge_scorer import RougeScorer

    # Its own way with words knows a to z and digits alone.
    own = None if words == "13a" else _Lowered(_splitter(words))
    scorer = RougeScorer(list(ROUGES), tokenizer=own)
    scores = [scorer.score(a, b) for a, b in zip(references, generated, strict=True)]
    return {
        name: _mean([score[theirs].fmeasure for score in scores]) for theirs, name in ROUGES.items()
    }


class _Lowered(NamedTuple):
    """What rouge-score takes for a tokenizer."""

    split: Callable[[str], list[str]]

    def tokenize(self, text: str) -> list[str]:
        """Returns the words of a text in lower case."""
        return self.split(text.lower())


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
