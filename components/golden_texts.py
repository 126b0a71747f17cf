"""Golden rows of a model that writes: prompts, and what the trained model puts behind them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from textmill.progress import advance

if TYPE_CHECKING:
    import numpy.typing as npt

    from textmill.serving.generation import Endings

NEW = 16  # tokens of an answer at most


class Trained(NamedTuple):
    """A trained model, in which nothing of the served graph is.

    Attributes:
        read: The tokens of a prompt as the model reads them where so many are to come behind it.
        logits: Of the token behind a prompt and behind each of the tokens that follow it: float
            [1 + following, vocabulary].
        encode: The tokens of a text by itself.
        decode: The text of tokens.
    """

    read: Callable[[str, int], list[int]]
    logits: Callable[[list[int], list[int]], npt.NDArray[Any]]
    encode: Callable[[str], list[int]]
    decode: Callable[[list[int]], str]


def golden_texts(
    trained: Trained,
    prompts: Sequence[str],
    drafts: Sequence[Sequence[int]],
    *,
    endings: Endings,
    certain: float,
) -> list[dict[str, Any]]:
    """Returns prompts with the likeliest tokens behind them, one after the other.

    The trained model is asked once a prompt: it reads a draft, and each of its tokens stands for as
    long as the model finds no other one likelier; that one then ends the answer. So an answer is
    the model's own whatever the draft is, and a good draft makes a long one.

    Args:
        trained: The model.
        prompts: Raw texts.
        drafts: Of each prompt tokens that may come, `NEW` at most; those that end a text too.
        endings: With what a text ends.
        certain: An answer is cut off before a token that is likelier than the next one by less than
            this, in nats: there, rounding may decide.

    Returns:
        Each prompt with `answer`, the text; `max_new_tokens`, with which a greedy answer is it; and
        `log_probability`, in nats, of the answer as a continuation, its tokens made by themselves.
    """
    found = []
    for i, (prompt, draft) in enumerate(zip(prompts, drafts, strict=True)):
        advance(i, len(prompts), "golden rows")
        read = trained.read(prompt, NEW)
        likely = _log_softmax(trained.logits(read, list(draft)))
        answer, count = _greedy(likely, list(draft), endings, certain)
        text = trained.decode(answer)
        again = trained.encode(text)
        if again != list(draft)[: len(again)]:
            likely = _log_softmax(trained.logits(trained.read(prompt, len(again)), again))
        total = float(sum(likely[n, token] for n, token in enumerate(again)))
        found.append(
            {
                "prompt": prompt,
                "answer": text,
                "max_new_tokens": count,
                "log_probability": total,
            }
        )
    return found


def _greedy(
    likely: npt.NDArray[Any], draft: list[int], endings: Endings, certain: float
) -> tuple[list[int], int]:
    """Returns the tokens of an answer, and how many must be drawn for them.

    Args:
        likely: float [1 + draft, vocabulary].
        draft: As in `golden_texts`.
        endings: Likewise.
        certain: Likewise.
    """
    answer: list[int] = []
    for step, row in enumerate(likely[: max(len(draft), 1)]):
        second, best = np.sort(row)[-2:]
        if best - second < certain:
            return answer, step
        token = int(row.argmax())
        if token in endings.tokens:
            return answer, step + 1
        answer.append(token)
        if step >= len(draft) or token != draft[step]:
            break
    return answer, len(answer)


def _log_softmax(logits: npt.NDArray[Any]) -> npt.NDArray[Any]:
    logits = logits.astype(np.float64)
    logits -= logits.max(-1, keepdims=True)
    return logits - np.log(np.exp(logits).sum(-1, keepdims=True))
