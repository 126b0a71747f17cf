"""Which task a table is for, and which of its columns are what."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from textmill.errors import UserError
from textmill.pipelines.kinds import KINDS, Column, Table, number_of
from textmill.toml import one_line

# Words of names, the surest first.
LABELS = (
    "label", "labels", "class", "category", "categories", "sentiment", "target", "topic", "topics",
    "intent", "y", "tag", "tags", "genre", "genres", "emotion", "emotions", "stance", "polarity",
    "spam", "stars", "rating", "score", "gold", "annotation", "entities", "spans",
)  # fmt: skip
TEXTS = {
    "text", "texts", "review", "sentence", "content", "body", "message", "comment", "document",
    "tweet", "post", "utterance", "question", "query", "headline", "title", "abstract", "article",
    "description", "passage", "transcript", "email", "sms",
}  # fmt: skip
PEOPLE = {"author", "user", "username", "name", "by", "from", "to", "email", "reviewer", "speaker"}
BESIDE = PEOPLE | {  # what few texts are to be told apart by
    "lang", "language", "locale", "source", "country", "city", "location", "device", "platform",
    "verified", "gender", "year", "month", "day", "domain",
}  # fmt: skip
PARTS = {"split", "fold", "set", "subset", "partition", "usage"}  # never a label
# Two texts of a row: which names go together, and what they are for.
COMPARED = (
    ("premise", "hypothesis"), ("sentence1", "sentence2"), ("question1", "question2"),
    ("text1", "text2"), ("text_a", "text_b"), ("sentence_a", "sentence_b"), ("query", "passage"),
    ("query", "document"), ("question", "answer"), ("question", "sentence"), ("anchor", "positive"),
)  # fmt: skip
QUESTIONS = (  # whatever else there is
    ("prompt", "response"), ("prompt", "completion"), ("instruction", "output"),
    ("instruction", "response"),
)  # fmt: skip
ASKED = (("question", "answer"), ("question", "response"))
WRITTEN = (
    ("source", "target"), ("src", "tgt"), ("src", "trg"), ("text", "target"), ("input", "target"),
    ("text", "summary"), ("article", "summary"), ("article", "highlights"), ("document", "summary"),
    ("dialogue", "summary"), ("source", "translation"), ("text", "translation"),
    ("original", "simplified"), ("source", "reference"), ("input", "output"),
    ("input_text", "target_text"), ("source_text", "target_text"),
)  # fmt: skip
# https://www.loc.gov/standards/iso639-2/php/code_list.php, the most translated, and their names
LANGUAGES = {
    "ar", "bg", "bn", "ca", "cs", "da", "de", "el", "en", "es", "et", "fa", "fi", "fr",
    "ga", "he", "hi", "hr", "hu", "id", "is", "it", "ja", "ka", "ko", "lt", "lv", "mk",
    "ms", "mt", "nl", "no", "pl", "pt", "ro", "ru", "sk", "sl", "sq", "sr", "sv", "sw",
    "ta", "te", "th", "tr", "uk", "ur", "vi", "zh",
    "arabic", "chinese", "czech", "danish", "dutch", "english", "finnish", "french", "german",
    "greek", "hebrew", "hindi", "hungarian", "italian", "japanese", "korean", "norwegian",
    "polish", "portuguese", "romanian", "russian", "spanish", "swedish", "turkish", "ukrainian",
    "vietnamese",
}  # fmt: skip
SEPARATORS = "|;,"  # between several labels in one field


@dataclass(frozen=True)
class Guess:
    """What a config says of the data.

    Attributes:
        pipeline: The pipeline.
        data: Key of `[data]` -> value.
        why: Key of `[data]` -> what speaks for it.
        text: The column that is read.
        label: The column with the label, None where models write.
        left_out: Column -> why it is no part of it.
    """

    pipeline: str
    data: dict[str, Any]
    why: dict[str, str]
    text: Column
    label: Column | None = None
    left_out: dict[str, str] = field(default_factory=dict)


def guess(table: Table, source: str) -> Guess:
    """Returns the task that a table is for.

    Raises:
        UserError: It has no rows, or no column can be a text or a label.
    """
    if table.rejected > table.rows:
        raise UserError(
            f"{source}: {table.rejected} of {table.rejected + table.rows} rows can't be read",
            expected="a table whose rows have as many fields as its header, in UTF-8",
            received=one_line(table.fault, 200),
            fix="correct the file; or write a config with data.encoding or data.delimiter by hand",
        )
    found = _guess(list(table.columns.values()), source)
    used: set[str] = set()
    for value in found.data.values():
        if isinstance(value, list | dict):
            used |= set(value)
        elif isinstance(value, str):
            used.add(value)
    for column in table.columns.values():
        if column.name not in used:
            found.left_out[column.name] = _why_not(column, found)
    return found


def _guess(columns: Sequence[Column], source: str) -> Guess:
    usable = [column for column in columns if not column.absent]
    conversations = [column for column in usable if column.kind == "messages"]
    if conversations:
        why = {"messages": "lists of role and content"}
        first = conversations[0]
        return Guess("text_generation", {"messages": first.name}, why, first)
    label = _label(usable, columns)
    labelled = label is not None and _named(label)
    for prompt, response in _pairs(usable, QUESTIONS if labelled else (*QUESTIONS, *ASKED)):
        why = {"prompt": _lengths(prompt), "response": _lengths(response)}
        data = {"prompt": prompt.name, "response": response.name}
        return Guess("text_generation", data, why, prompt)
    if not labelled:
        for text, target in [*_pairs(usable, WRITTEN), *_translated(usable)]:
            data = {"text": text.name, "target": target.name}
            why = {"text": _lengths(text), "target": _lengths(target)}
            return Guess("seq2seq", *_taken(usable, data, why), text)
    if label is None:
        raise _no_label(columns, source)
    return _supervised(usable, label, source, columns)


def _supervised(
    usable: Sequence[Column], label: Column, source: str, columns: Sequence[Column]
) -> Guess:
    """Returns a task that learns from labels."""
    text = _text([column for column in usable if column is not label], columns, source)
    data: dict[str, Any] = {"text": text.name, "label": label.name}
    why = {"text": _lengths(text)}
    pipeline = "text_classification"
    shown = [one_line(value, 30) for value in label.distinct]
    why["label"] = f"{len(shown)} values such as {', '.join(shown[:4])}"
    if label.kind == "spans":
        pipeline, why["label"] = "token_classification", "places in the text with a name"
    elif label.kind == "number":
        pipeline = "text_regression"
        numbers = [float(value) for value in label.texts]
        why["label"] = f"numbers from {min(numbers):g} to {max(numbers):g}"
    else:
        data |= _several(label, why)
    if pipeline != "token_classification":
        for pair in _pairs(usable, COMPARED):
            data["text"] = [column.name for column in pair]
            why["text"] = "two texts, which are compared"
            break
    return Guess(pipeline, *_taken(usable, data, why), text, label)


def _taken(
    usable: Sequence[Column], data: dict[str, Any], why: dict[str, str]
) -> tuple[dict[str, Any], dict[str, str]]:
    """Adds what says which rows are taken, and for which split."""
    split = next((column for column in usable if column.kind == "split"), None)
    if split is not None:
        data["split_column"] = split.name
        why["split_column"] = ", ".join(sorted(one_line(value, 20) for value in split.seen))
    answer = next((column for column in usable if column.kind == "answer"), None)
    if answer is not None and len(answer.seen) > 1:
        accepted = min(value for value in answer.seen if value.strip().lower() == "accept")
        data["where"] = {answer.name: accepted}
        why["where"] = "what an annotator rejected or ignored is left out"
    return data, why


def _several(label: Column, why: dict[str, str]) -> dict[str, Any]:
    """Returns the keys that say how several labels stand in a field, {} where there is one."""
    if label.kind == "names":
        lists = [[str(name) for name in value] for value in label.values if isinstance(value, list)]
        every = {name for names in lists for name in names}
        free = (sign for sign in "|;~^¦" if not any(sign in name for name in every))
        return _multi_label(next(free, "|"), every, why)
    for sign in SEPARATORS:
        parts = {part.strip() for value in label.distinct for part in value.split(sign)} - {""}
        joined = sum(sign in value for value in label.distinct)
        if joined > 1 and len(parts) < len(label.distinct):
            return _multi_label(sign, parts, why)
    return {}


def _multi_label(separator: str, names: set[str], why: dict[str, str]) -> dict[str, Any]:
    shown = ", ".join(one_line(name, 30) for name in sorted(names)[:4])
    why["multi_label"] = f"any number of {len(names)} names such as {shown}"
    return {
        "multi_label": True,
        **({"label_separator": separator} if separator != "|" else {}),
    }


def _label(usable: Sequence[Column], columns: Sequence[Column]) -> Column | None:
    """Returns the column with the label: one with a usual name, or one with few values."""
    fitting = [c for c in usable if c.kind in ("class", "number", "names", "spans")]
    # A value may be rare in a long tail of classes, but not each in every row.
    fitting += [
        c for c in usable if c.kind == "text" and 2 * len(c.distinct) <= len(c.texts) and _named(c)
    ]
    fitting = [c for c in fitting if not c.words & PARTS]
    named = [column for column in fitting if _named(column)]
    missing = [column for column in columns if column.absent and column.name.lower() in LABELS[:4]]
    if named:
        return min(named, key=lambda column: (_rank(column), len(column.distinct)))
    if missing:
        return None
    for kinds in (("spans",), ("class", "names"), ("number",)):
        of_kind = [column for column in fitting if column.kind in kinds]
        if of_kind:
            return min(of_kind, key=lambda c: (bool(c.words & BESIDE), len(c.distinct)))
    return None


def _usual(column: Column) -> list[str]:
    """Returns the usual names of labels that a column has, whole or as a word; y is no word."""
    whole = column.name.strip().lower()
    return [name for name in LABELS if name == whole or (len(name) > 1 and name in column.words)]


def _named(column: Column) -> bool:
    return bool(_usual(column))


def _rank(column: Column) -> tuple[bool, int]:
    usual = _usual(column)
    return column.name.strip().lower() not in usual, LABELS.index(usual[0])


def _text(others: Sequence[Column], columns: Sequence[Column], source: str) -> Column:
    """Returns the column with the text: of those with a usual name the longest, or of all."""
    texts = [column for column in others if column.kind == "text"]
    named = [column for column in texts if column.words & TEXTS]
    strangers = [column for column in texts if not column.words & PEOPLE]
    # Names and words that come once are texts where there are no others.
    single = [c for c in others if c.kind in ("id", "class") and number_of(c.texts[0]) is None]
    single = [c for c in single if c.words & TEXTS or (c.kind == "id" and "id" not in c.words)]
    for found in (named, strangers, texts, single):
        if found:
            return max(found, key=lambda column: column.length)
    raise UserError(
        f"{source}: no column with text",
        expected="a column of strings that differ from row to row, which every file has",
        received=_seen(columns),
        fix="check the file, its delimiter and its header line",
    )


def _pairs(usable: Sequence[Column], names: Iterable[tuple[str, str]]) -> list[tuple[Column, ...]]:
    """Returns the texts whose names go together."""
    texts = {column.name.lower(): column for column in usable if column.kind in ("text", "id")}
    return [(texts[a], texts[b]) for a, b in names if a in texts and b in texts]


def _translated(usable: Sequence[Column]) -> list[tuple[Column, ...]]:
    """Returns two texts whose names differ in a language: en and de, text_en and text_de."""
    found: dict[frozenset[str], list[Column]] = {}
    for column in usable:
        if column.kind in ("text", "class", "id") and number_of(column.texts[0]) is None:
            rest = frozenset(column.words - LANGUAGES)
            if len(column.words & LANGUAGES) == 1:
                found.setdefault(rest, []).append(column)
    return [(pair[0], pair[1]) for pair in found.values() if len(pair) > 1]


def _why_not(column: Column, found: Guess) -> str:
    if column.absent:
        return f"not in {one_line(column.absent)}"
    if column.kind == "parts" or (column.words & PARTS and column.kind in ("class", "text")):
        shown = ", ".join(one_line(value, 20) for value in column.distinct[:3])
        return f"says {shown}: not train, validation and test"
    if column.kind == "class":
        return f"could be a label: {len(column.distinct)} values"
    if column.kind == "split":
        return "other splits" if "split_column" in found.data else "conversations take none"
    return KINDS[column.kind]


def _lengths(column: Column) -> str:
    return f"{column.length:.0f} characters on average"


def _seen(columns: Sequence[Column]) -> str:
    about = (
        f"not in {one_line(column.absent)}" if column.absent else KINDS[column.kind]
        for column in columns
    )
    names = (one_line(column.name, 40) for column in columns)
    return "; ".join(map(": ".join, zip(names, about, strict=True))) or "no rows"


def _no_label(columns: Sequence[Column], source: str) -> UserError:
    absent = [column for column in columns if column.absent and _named(column)]
    fix = "add a column with labels"
    if absent:
        fix = f"name the files that have {one_line(absent[0].name)}"
    elif len(columns) == 1:
        fix += ", or set data.delimiter to the character that parts them"
    if not absent:
        fix += (
            '; to learn to write such texts, set pipeline = "text_generation" in a config by hand'
        )
    return UserError(
        f"{source}: no column looks like a label",
        expected="a column with at least two values that come again and again, in every file",
        received=_seen(columns),
        fix=fix,
    )
