"""What a model writes where it is known what was to be written."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from textmill.artifact import Model, Tokens
from textmill.errors import UserError
from textmill.models.chat import Chat, Message, messages_of
from textmill.models.memorization import copied
from textmill.models.text_metrics import Words, text_figures
from textmill.progress import warn
from textmill.serving.defaults import Defaults

if TYPE_CHECKING:
    import pyarrow as pa
    from tokenizers import Tokenizer

    from textmill.components.writer import Writer
    from textmill.models.rows import Rows


class Written(NamedTuple):
    """What was written of some rows.

    Attributes:
        rows: Which of them.
        prompts: What the model was given.
        references: What was to be written.
        generated: What it wrote.
    """

    rows: list[int]
    prompts: list[str]
    references: list[str]
    generated: list[str]


def written(
    writer: Writer, texts: Sequence[str], places: Sequence[int], *, how: Defaults
) -> Written:
    """Returns what a model writes behind the first half of documents, or as a last response.

    A document is parted at the space behind its middle, or where it has none in its middle; of what
    comes behind, the reference is as long in tokens as what is generated may be. A response is a
    reference whole, however long it is.

    Args:
        writer: The model.
        texts: Documents, or conversations as `Conversations` gives them.
        places: What each text is called in `rows` of what is returned.
        how: How texts are decoded.
    """
    about, tokenizer, most = writer.about, writer.tokenizer, how.max_new_tokens
    kept, prompts, references = list(places), [], []
    if "chat_template" not in about:
        halves = [_halves(text) for text in texts]
        # A document of a character or two has no halves.
        known = [i for i, half in enumerate(halves) if all(half)]
        kept = [kept[i] for i in known]
        prompts = [halves[i][0] for i in known]
        references = [_first(halves[i][1], tokenizer, most) for i in known]
        generated = writer.answers(prompts, how)
    else:
        begin = about.get("bos_token", about["begin"])
        chat = Chat(about["chat_template"], tokenizer, begin, about["end"])
        said = [messages_of(text) for text in texts]
        prompts = [_shown(messages[:-1]) for messages in said]
        references = [messages[-1][1] for messages in said]
        generated = writer.continued([chat.prompt_ids(each[:-1]) for each in said], how)
    return Written(kept, prompts, references, generated)


def figures_of_texts(
    found: Written,
    tokenizer: Tokenizer,
    learned: Rows,
    *,
    words: Words,
    resamples: int,
    seed: int,
) -> dict[str, Any]:
    """Returns the figures of `text_figures`, and what of the texts stands in the training data.

    Args:
        found: What was written.
        tokenizer: Of the model.
        learned: What the model was trained on.
        words: As `text_figures` takes it.
        resamples: Likewise.
        seed: Likewise.

    Returns:
        Also `copied`, the share of generated texts with 50 tokens one behind the other that stand
        in the training data, or all of them where they are fewer; and `copied_reference`, the same
        of the references: how much is found there without being learned by heart.
    """

    def known(texts: list[str]) -> Any:
        ids = [each.ids for each in tokenizer.encode_batch(texts, add_special_tokens=False)]
        return copied(ids, learned.token_ids, int(learned.starts[-1]))

    shares = {"copied": known(found.generated), "copied_reference": known(found.references)}
    return text_figures(
        found.references,
        found.generated,
        words=words,
        shares=shares,
        resamples=resamples,
        seed=seed,
    )


def writer_of(model: Model, stop: tuple[str, ...]) -> Writer | None:
    """Returns what writes texts as they are served; None where the model can't be served."""
    from textmill.components.writer import writer

    try:
        return writer(model, stop=stop)
    except UserError as error:
        warn(f"no text was written: {error.what}")
        return None


def judged(
    figures: dict[str, Any],
    table: pa.Table,
    found: Written,
    tokenizer: Tokenizer,
    tokens: Tokens,
    *,
    words: Words,
    resamples: int,
    seed: int,
) -> tuple[dict[str, Any], pa.Table]:
    """Returns figures and the table of a test split with what was written of it.

    Args:
        figures: Of the likelihood; "intervals" is among them.
        table: With a row for each of the test split.
        found: What was written.
        tokenizer: Of the model.
        tokens: What the model was trained on.
        words: As `text_figures` takes it.
        resamples: Likewise.
        seed: Likewise.
    """
    from textmill.models.rows import read_rows

    if not found.rows:
        return figures, table
    learned = read_rows(tokens, "train")
    more = figures_of_texts(found, tokenizer, learned, words=words, resamples=resamples, seed=seed)
    intervals = figures["intervals"] | more["intervals"]
    return {**figures, **more, "intervals": intervals}, _with_texts(table, found)


def _with_texts(table: pa.Table, found: Written) -> pa.Table:
    """Returns a table with columns prompt, reference and generated, null where none was written."""
    import pyarrow as pa

    columns = {"prompt": found.prompts, "reference": found.references, "generated": found.generated}
    for name, texts in columns.items():
        values: list[str | None] = [None] * len(table)
        for row, text in zip(found.rows, texts, strict=True):
            values[row] = text
        table = table.append_column(name, pa.array(values, pa.string()))
    return table


def sampled(count: int, size: int, seed: int) -> list[int]:
    """Returns which rows of a split are taken, in order.

    Args:
        count: Rows of it.
        size: How many to take.
        seed: Decides which.

    Example:
        >>> sampled(4, 9, 0)
        [0, 1, 2, 3]
    """
    found = np.random.default_rng(seed).permutation(count)[:size]
    return [int(place) for place in np.sort(found)]


def _halves(text: str) -> tuple[str, str]:
    """Returns a document's halves, the second with the space between them.

    Example:
        >>> _halves("one two three"), _halves("一二三四")
        (('one two', ' three'), ('一二', '三四'))
    """
    middle = len(text) // 2
    at = next((i for i in range(middle, len(text)) if text[i].isspace()), 0)
    if not text[at:].strip():
        at = 0
    at = at or next((i for i in range(middle, 0, -1) if text[i].isspace()), middle)
    return text[:at], text[at:]


def _shown(messages: Sequence[Message]) -> str:
    """Returns what was said so far: of one message what it says, of more with the roles."""
    if len(messages) == 1:
        return messages[0][1]
    return "\n".join(f"{role}: {content}" for role, content in messages)


def _first(text: str, tokenizer: Tokenizer, most: int) -> str:
    """Returns as much of a text as so many tokens hold."""
    ids = tokenizer.encode(text, add_special_tokens=False).ids
    if len(ids) <= most:
        return text
    return str(tokenizer.decode(ids[:most])).rstrip("\ufffd")
