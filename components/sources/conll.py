"""Tagged words, one a line, as the shared tasks of CoNLL have them: .conll and .bio files."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass

from textmill.components.sources.source import (
    Batch,
    Rejected,
    Row,
    batched,
    digest,
    encodable,
    listing,
    readable,
)
from textmill.components.sources.text_file import open_text

_BEGIN, _INSIDE = "BSU", "IEL"  # of BIO, and of BIOES and BILOU
_BLANKS = " \t\r\n"  # no others: words may hold no-break spaces, "10\u00a0000"


@dataclass(frozen=True)
class Conll:
    r"""A word and its tag on each line, an empty line behind each sentence.

    A row has a sentence as `text`, its words with a space between, and as `label` the spans that
    the tags mark, JSON of [start, end, name] in characters. The word stands first on a line, the
    tag last; between them there may be more. Tags are BIO (of either kind), BIOES or BILOU; lines
    that begin with -DOCSTART- are passed over.

    Attributes:
        files: Names of the files.
        encoding: Name of the encoding; a sentence that is not valid in it is rejected.

    Source: https://aclanthology.org/W03-0419 (CoNLL-2003).

    Example:
        >>> import pathlib, tempfile
        >>> file = pathlib.Path(tempfile.mkdtemp(), "a.conll")
        >>> _ = file.write_text("Ada NNP B-PER\nLovelace NNP I-PER\nslept VBD O\n\nWho? WP\n")
        >>> [batch] = Conll((str(file),)).batches()
        >>> batch.rows.to_pylist()
        [{'text': 'Ada Lovelace slept', 'label': '[[0, 12, "PER"]]'}]
        >>> batch.rejected[0].reason
        'invalid tag: WP'
    """

    files: tuple[str, ...]
    encoding: str = "utf-8"

    def __str__(self) -> str:
        return listing(self.files)

    def digest(self) -> str:
        """Returns a digest of the files."""
        return digest(self.files)

    def batches(self) -> Iterator[Batch]:
        """Yields the columns text and label."""
        return batched(self._rows(), ["text", "label"])

    def _rows(self) -> Iterator[Row | Rejected]:
        for file in self.files:
            with open_text(file, self.encoding) as lines:
                for number, sentence in _sentences(lines):
                    yield _row(file, number, sentence)


def _sentences(lines: Iterator[str]) -> Iterator[tuple[int, list[str]]]:
    """Yields the lines of each sentence, and the number of the first."""
    held: list[str] = []
    number = 0
    for number, line in enumerate(lines, 1):
        if line.strip() and not line.startswith("-DOCSTART-"):
            held.append(line.strip(_BLANKS))
        elif held:
            yield number - len(held), held
            held = []
    if held:
        yield number - len(held) + 1, held


def _row(file: str, number: int, sentence: list[str]) -> Row | Rejected:
    whole = " ".join(sentence)
    if not encodable(whole):
        return Rejected(file, number, "invalid encoding", readable(whole))
    spans: list[tuple[int, int, str]] = []
    words: list[str] = []
    place, open_name = 0, ""
    for line in sentence:
        columns = line.split("\t") if "\t" in line else re.split(" +", line)
        word, tag = columns[0].strip(_BLANKS), columns[-1].strip(_BLANKS)
        part, _, name = tag.partition("-")
        if len(columns) < 2 or not word:
            return Rejected(file, number, f"invalid line: no tag behind {line!r}", whole)
        if tag != "O" and (part not in (*_BEGIN, *_INSIDE) or not name):
            return Rejected(file, number, f"invalid tag: {tag}", whole)
        end = place + len(word)
        if part in (*_INSIDE,) and name == open_name:
            spans[-1] = (spans[-1][0], end, name)
        elif tag != "O":
            spans.append((place, end, name))
        # What ends a span, or stands alone, leaves none open.
        open_name = "" if part in ("E", "L", "S", "U") else name
        words.append(word)
        place = end + 1
    return Row(file, number, [" ".join(words), json.dumps(spans, ensure_ascii=False)])
