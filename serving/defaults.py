"""How texts are decoded where a request says nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from textmill.errors import UserError
from textmill.serving.beams import search
from textmill.serving.endings import Endings
from textmill.serving.generation import generate
from textmill.serving.processors import NONE, Processors
from textmill.serving.sampling import Wishes

if TYPE_CHECKING:
    import tensorflow as tf

    from textmill.serving.read import Reader

OF_MODEL = ("num_beams", "length_penalty")  # of `Defaults`, those that no `Wishes` have


class Defaults(NamedTuple):
    """How a row is decoded whose request says nothing; see `textmill.serving.sampling.Wishes`.

    Attributes:
        num_beams: 1 for a token after the other; more for beam search, which draws nothing.
        length_penalty: See `textmill.serving.beams.search`.
    """

    temperature: float = 0.0
    top_k: int = 0
    top_p: float = 1.0
    repetition_penalty: float = 1.0
    min_new_tokens: int = 0
    max_new_tokens: int = 128
    seed: int = -1
    num_beams: int = 1
    length_penalty: float = 1.0

    def wishes(self) -> dict[str, Any]:
        """Returns the numbers that a row of a request may have of its own.

        Example:
            >>> list(GREEDY.wishes())[:3]
            ['temperature', 'top_k', 'top_p']
        """
        return {k: value for k, value in self._asdict().items() if k not in OF_MODEL}

    def seeded(self, seed: int) -> Defaults:
        """Returns these with a seed, if they have none of their own.

        Example:
            >>> GREEDY.seeded(7).seed, GREEDY._replace(seed=0).seeded(7).seed
            (7, 0)
        """
        return self if self.seed >= 0 else self._replace(seed=seed)

    def rows(self, count: tf.Tensor) -> Wishes:
        """Returns these wishes for so many rows."""
        import tensorflow as tf

        numbers = self.wishes().items()
        return Wishes(**{k: tf.fill([count], tf.constant(v, kind_of(v))) for k, v in numbers})


GREEDY = Defaults()


def most_new(longest: int, *, alone: bool) -> int:
    """Returns with how many tokens a text ends where nobody says it.

    Args:
        longest: Tokens that the model, or its decoder, reads at a time.
        alone: Whether what is written has all of them, and shares them with no prompt.

    Example:
        >>> most_new(1024, alone=False), most_new(64, alone=False), most_new(64, alone=True)
        (128, 32, 63)
    """
    return longest - 1 if alone else min(GREEDY.max_new_tokens, max(1, longest // 2))


def decoded(
    network: Reader,
    prompts: tf.RaggedTensor,
    defaults: Defaults,
    endings: Endings,
    processors: Processors = NONE,
) -> tuple[tf.RaggedTensor, tf.Tensor]:
    """Returns what comes behind prompts where requests say nothing; see `generate`."""
    import tensorflow as tf

    rows = tf.cast(prompts.nrows(), tf.int32)
    wishes = defaults.rows(rows)
    if defaults.num_beams == 1:
        return generate(network, prompts, wishes, endings, processors)
    penalty = tf.fill([rows], defaults.length_penalty)
    return search(
        network,
        prompts,
        wishes,
        endings,
        beams=defaults.num_beams,
        length_penalty=penalty,
        processors=processors,
    )


def check_defaults(defaults: Defaults, *, longest: int) -> None:
    """Refuses numbers that no text can be decoded with.

    Args:
        defaults: What is asked for.
        longest: How many tokens a row may hold.

    Raises:
        UserError: One of them lies outside of its range.
    """
    most = defaults.max_new_tokens
    searched = defaults.num_beams == 1 or defaults.temperature == 0
    for name, holds, expected in (
        ("temperature", defaults.temperature >= 0, "0 for the likeliest tokens, or more"),
        ("top_k", defaults.top_k >= 0, "0 for all tokens, or more"),
        ("top_p", 0 < defaults.top_p <= 1, "more than 0, and 1 at most"),
        ("repetition_penalty", defaults.repetition_penalty > 0, "more than 0; 1 for none"),
        ("num_beams", defaults.num_beams > 0, "1 for a token after the other, or more"),
        ("num_beams", searched, "1 where a text is drawn, that is at a temperature above 0"),
        ("max_new_tokens", 0 < most < longest, f"1 to {longest - 1}"),
        ("min_new_tokens", 0 <= defaults.min_new_tokens <= most, f"0 to {most}"),
    ):
        if not holds:
            value = getattr(defaults, name)
            raise UserError(
                f"{name} = {value} can't be",
                expected=expected,
                received=str(value),
                fix=f"set {name} to a number of that range",
            )


def kind_of(value: float) -> str:
    """Returns the type of a number in a request.

    Example:
        >>> kind_of(1.0), kind_of(1)
        ('float32', 'int32')
    """
    return "float32" if isinstance(value, float) else "int32"
