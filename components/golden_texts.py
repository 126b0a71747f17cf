"""Golden rows of a model that writes: prompts, and what the trained model puts behind them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from textmill.components.processed import processed
from textmill.progress import advance
from textmill.serving.processors import NONE, Processors

if TYPE_CHECKING:
    import numpy.typing as npt

    from textmill.serving.endings import Endings

NEW = 16  # tokens of an answer at most


class Trained(NamedTuple):
    """A trained model, in which nothing of the served graph is.

    Attributes:
        room: How many tokens may come behind those of a prompt, as it is read.
        read: The tokens of a prompt as the model reads them where so many are to come behind it.
        logits: Of the token behind a prompt and behind each of the tokens that follow it: float
            [1 + following, vocabulary].
        begin: The tokens that what is written begins with; of a decoder none, for its prompt is
            what it goes on with.
        encode: The tokens of a text by itself.
        decode: The text of tokens.
    """

    room: Callable[[list[int]], int]
    read: Callable[[str, int], list[int]]
    logits: Callable[[list[int], list[int]], npt.NDArray[Any]]
    begin: list[int] | None
    encode: Callable[[str], list[int]]
    decode: Callable[[list[int]], str]


def golden_texts(
    trained: Trained,
    prompts: Sequence[str],
    draft: Callable[[Sequence[str], Sequence[int]], list[list[int]]],
    *,
    endings: Endings,
    certain: float,
    processors: Processors = NONE,
) -> list[dict[str, Any]]:
    """Returns prompts with the likeliest tokens behind them, one after the other.

    The trained model is asked once a prompt: it reads a draft, and each of its tokens stands for as
    long as the model finds no other one likelier; that one then ends the answer. So an answer is
    the model's own whatever the draft is, and a good draft makes a long one.

    Args:
        trained: The model.
        prompts: Raw texts.
        draft: Gives of each prompt tokens that may come, so many at most.
        endings: With what a text ends.
        certain: An answer is cut off before a token that is likelier than the next one by less than
            this, in nats: there, rounding may decide.
        processors: What is done to logits before a token is taken.

    Returns:
        Each prompt with `answer`, the text; `max_new_tokens`, with which a greedy answer is it; and
        `log_probability`, in nats, of the answer as a continuation, its tokens made by themselves.
    """
    found = []
    # Of tokens that a text begins with, all but the first count to it.
    begun = [] if trained.begin is None else trained.begin[1:]
    # Of a prompt that is cut, more is read where fewer tokens are to come: so it gets one.
    # Where the last token is a forced one, it is asked for beside them.
    forced = 1 if processors.forced_eos else 0
    reads = [trained.read(prompt, 1 + forced) for prompt in prompts]
    room = [max(1, min(NEW, trained.room(ids) - forced)) for ids in reads]
    drafts = draft(prompts, [len(begun) + most + forced for most in room])
    for i, (prompt, read, most) in enumerate(zip(prompts, reads, room, strict=True)):
        advance(i, len(prompts), "golden rows")
        tokens = drafts[i][len(begun) :] if most > 1 else []
        likely = _log_softmax(trained.logits(read, tokens))
        text_before = read if trained.begin is None else trained.begin
        answer, count = _greedy(likely, tokens, text_before, endings, certain, processors)
        text = _until(trained.decode([*begun, *answer]), endings.strings)
        again = trained.encode(text)
        # Bytes that are no UTF-8 become text of more tokens than they were. Where these take more
        # than half a row, less of the prompt is left before them than `score` and this would read.
        while answer and len(again) > trained.room([]) // 2:
            answer = answer[:-1]
            count = len(answer)
            text = _until(trained.decode([*begun, *answer]), endings.strings)
            again = trained.encode(text)
        if again != tokens[: len(again)]:
            before = trained.read(prompt, len(again))
            if trained.begin is None:  # as `score`, of both the end is read
                whole = [*before, *again][-trained.room([]) :]
                again = whole[max(1, len(whole) - len(again)) :]
                before = whole[: len(whole) - len(again)]
            likely = _log_softmax(trained.logits(before, again))
        found.append(
            {
                "prompt": prompt,
                "answer": text,
                "max_new_tokens": len(begun) + count + forced,
                "log_probability": float(sum(likely[n, token] for n, token in enumerate(again))),
            }
        )
    return found


def _until(text: str, strings: Sequence[str]) -> str:
    """Returns a text up to the first string that ends it."""
    return text[: min((at for each in strings if (at := text.find(each)) >= 0), default=len(text))]


def _greedy(
    likely: npt.NDArray[Any],
    draft: list[int],
    before: list[int],
    endings: Endings,
    certain: float,
    processors: Processors,
) -> tuple[list[int], int]:
    """Returns the tokens of an answer, and how many must be drawn for them.

    Args:
        likely: Log-probabilities, float64 [1 + draft, vocabulary].
        draft: As in `golden_texts`.
        before: The tokens that the answer is written behind.
        endings: As in `golden_texts`.
        certain: Likewise.
        processors: Likewise.
    """
    answer: list[int] = []
    for step, raw in enumerate(likely[: max(len(draft), 1)]):
        text = [*before, *answer]
        row = processed(raw, text, step=step, endings=endings, processors=processors)
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
    exact: npt.NDArray[np.float64] = logits.astype(np.float64)
    exact -= exact.max(-1, keepdims=True)
    exact -= np.log(np.exp(exact).sum(-1, keepdims=True))
    return exact
