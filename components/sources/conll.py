"""Tagged words, one a line, as the shared tasks of CoNLL have them: .conll and .bio files."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from textmill.components.sources.layout import Layout, Tagged, layout_of, shape_of
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
from textmill.components.sources.text_file import open_text, without_end
from textmill.progress import warn

_BEGIN, _INSIDE = "BSU", "IEML"  # of BIO, and of BIOES, BMES and BILOU


@dataclass(frozen=True)
class Conll:
    r"""A word and its tag on each line, an empty line behind each sentence.

    A row has a sentence as `text`, its words with a space between, and as `label` the spans that
    the tags mark, JSON of [start, end, name] in characters. The word stands first on a line, behind
    its number if there is one, and the tag last; between them there may be more, and where the last
    column holds no tags, `layout_of` says which does. Tags are BIO (of either kind), BIOES, BMES or
    BILOU, in capitals or not. Lines that begin with -DOCSTART- part sentences.

    Comments are passed over: lines that begin with "#" where words are numbered; where they aren't,
    such lines before a sentence, but for those that have as many columns as others and a tag. So
    are, in CoNLL-U, the ranges of contractions (3-4) and empty nodes (8.1): the words that a
    contraction stands for are there by themselves, with their tags.

    Attributes:
        files: Names of the files.
        encoding: Name of the encoding; a sentence that is not valid in it is rejected.
        columns: Names of the columns, "text" and "label" among them; (): they are looked for.

    Source: https://aclanthology.org/W03-0419 (CoNLL-2003), https://universaldependencies.org/format,
    https://universaldependencies.org/ext-format (CoNLL-U Plus), https://aclanthology.org/W12-4501
    (CoNLL-2012).

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
    columns: tuple[str, ...] = ()

    def __str__(self) -> str:
        return listing(self.files)

    def digest(self) -> str:
        """Returns a digest of the files."""
        return digest(self.files)

    def batches(self) -> Iterator[Batch]:
        """Yields the columns text and label."""
        return batched(self._rows(), ["text", "label"])

    def _rows(self) -> Iterator[Row | Rejected]:
        layouts = self._layouts()
        for file in self.files:
            with open_text(file, self.encoding) as lines:
                for number, sentence in _sentences(lines, layouts[file]):
                    yield _row(file, number, sentence, layouts[file])

    def _layouts(self) -> dict[str, Layout]:
        """Returns what stands where in each file, alike in files of one shape."""
        shapes: dict[tuple[int, bool], list[str]] = {}
        for file in self.files:
            shapes.setdefault(shape_of(self._lines([file])), []).append(file)
        layouts: dict[str, Layout] = {}
        for files in shapes.values():
            layout, remark = layout_of(self._lines(files), self.columns)
            if remark:
                warn(f"{listing(files)}: {remark}")
            layouts |= dict.fromkeys(files, layout)
        return layouts

    def _lines(self, files: Iterable[str]) -> Iterator[str]:
        for file in files:
            with open_text(file, self.encoding) as lines:
                yield from lines
            yield ""


def _sentences(lines: Iterable[str], layout: Layout) -> Iterator[tuple[int, list[str]]]:
    """Yields the lines of each sentence, and the number of the first."""
    held: list[str] = []
    began = 0
    for number, line in enumerate(lines, 1):
        if layout.parts(line):
            if held:
                yield began, held
            held = []
        elif not layout.passed_over(line, inside=bool(held)):
            began = began if held else number
            held.append(line)
    if held:
        yield began, held


def _row(file: str, number: int, sentence: list[str], layout: Layout) -> Row | Rejected:
    whole = " ".join(without_end(line).strip(" \t") for line in sentence)
    if not encodable(whole):
        return Rejected(file, number, "invalid encoding", readable(whole))
    spans: list[tuple[int, int, str]] = []
    words: list[str] = []
    place, open_name = 0, ""
    tagged: Iterable[Tagged] = map(layout.tagged, sentence)
    tagged = _bracketed(tagged) if layout.brackets else tagged
    for line, (word, tag) in zip(sentence, tagged, strict=True):
        part, _, name = tag.partition("-")
        part = part.upper()
        if not word or not tag:
            found = without_end(line).strip(" \t")
            return Rejected(file, number, f"invalid line: {layout.fault(line)} {found!r}", whole)
        outside = part == "O" and not name
        if not outside and (part not in (*_BEGIN, *_INSIDE) or not name):
            return Rejected(file, number, f"invalid tag: {tag}", whole)
        end = place + len(word)
        if part in (*_INSIDE,) and name == open_name:
            spans[-1] = (spans[-1][0], end, name)
        elif not outside:
            spans.append((place, end, name))
        # What ends a span, or stands alone, leaves none open.
        open_name = "" if part in ("E", "L", "S", "U") else name
        words.append(word)
        place = end + 1
    return Row(file, number, [" ".join(words), json.dumps(spans, ensure_ascii=False)])


def _bracketed(words: Iterable[Tagged]) -> Iterator[Tagged]:
    """Makes BIO of brackets around names: "(ORG*", "*", "*)" and "(ORG)"."""
    name = ""
    for word, cell in words:
        if cell.startswith("("):
            name = cell.strip("()*")
            yield Tagged(word, f"B-{name}")
        else:
            yield Tagged(word, cell and (f"I-{name}" if name else "O"))
        if cell.endswith(")"):
            name = ""
