"""Which columns of tagged words hold the words, and which the tags."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from textmill.errors import UserError

_BLANKS = " \t\r\n"  # no others: words may hold no-break spaces, "10\u00a0000"
_TAG = re.compile("O|[BIEMLSU]-.+", re.IGNORECASE)
_NUMBER = re.compile(r"(\d+)([-.]\d+)?")  # of a word; 3-4 of a contraction, 8.1 of an empty node
_ASSIGNMENT = re.compile(r"# ?[\w.:-]+ = ")  # "# text = …"
_NAMES = "global.columns"  # of CoNLL-U Plus
_DOCUMENT = "-DOCSTART-"
_BEGIN, _END = "#begin document", "#end document"  # of CoNLL-2012
_WORD_2012, _NAME_2012 = 3, 10

_MOST = 0.5  # of the values of a column with tags are tags; the others are faults of the file
_NUMBERED = 0.95
_USUAL = 0.05  # of the lines have as many columns, where they differ
_CHUNKS = frozenset(  # of CoNLL-2000 and the German part of CoNLL-2003
    [
        "ADJP",
        "ADVP",
        "CONJP",
        "INTJ",
        "LST",
        "NC",
        "NP",
        "PC",
        "PP",
        "PRT",
        "SBAR",
        "UCP",
        "VC",
        "VP",
    ]
)


class Tagged(NamedTuple):
    """A word and its tag; the tag is "" where there is none."""

    word: str
    tag: str


@dataclass(frozen=True)
class Layout:
    """What stands where on a line.

    Attributes:
        word: Place of the word, from 0.
        tag: Place of the tag, -1 for the last.
        key: What stands before the tag and "=", where the column has more, as MISC of CoNLL-U; "".
        widths: How many columns lines have.
        numbered: Whether the first column counts words: then a line with "#" is a comment.
        brackets: Whether "tags" are brackets around names, as those of CoNLL-2012.
    """

    word: int = 0
    tag: int = -1
    key: str = ""
    widths: frozenset[int] = frozenset()
    numbered: bool = False
    brackets: bool = False

    def parts(self, line: str) -> bool:
        """Returns whether a line stands between sentences."""
        if not line.strip() or line.startswith(_DOCUMENT):
            return True
        return _DOCUMENT in line and split(line)[self.word : self.word + 1] == [_DOCUMENT]

    def passed_over(self, line: str, *, inside: bool) -> bool:
        """Returns whether a line holds no word of its own.

        Args:
            line: The line.
            inside: Whether words of its sentence stand before it.
        """
        cells = split(line)
        if not line.startswith("#"):
            number = _NUMBER.fullmatch(cells[0]) if self.numbered else None
            return number is not None and number[2] is not None
        if self.numbered or line.startswith((_BEGIN, _END)) or len(cells) not in self.widths:
            return True
        # Comments stand before a sentence. Within, "#" is a word, whatever its tag is.
        return not inside and not (_is_tag(cells[self.tag]) and not _ASSIGNMENT.match(line))

    def tagged(self, line: str) -> Tagged:
        """Returns the word and the tag of a line."""
        cells = split(line)
        last = self.tag == -1
        if len(cells) < 2 or (last and len(cells) not in self.widths):
            return Tagged(cells[0], "")
        if max(self.word, self.tag) >= len(cells):
            return Tagged("", "")
        tag = cells[self.tag]
        return Tagged(cells[self.word], _value(tag, self.key) or "O" if self.key else tag)

    def fault(self, line: str) -> str:
        """Returns what is wrong with a line that has no tag where tags are."""
        count = len(split(line))
        return "no tag behind" if count < 2 else f"{count} columns, others have more or fewer:"


def split(line: str) -> list[str]:
    """Returns the columns of a line: between tabs if it has any, else between spaces."""
    line = line.strip(_BLANKS)
    cells = line.split("\t") if "\t" in line else re.split(" +", line)
    return [cell.strip(_BLANKS) for cell in cells]


@dataclass
class _Column:
    values: int = 0
    tags: int = 0
    names: Counter[str] = field(default_factory=Counter)

    def add(self, value: str) -> None:
        self.values += 1
        if _is_tag(value):
            self.tags += 1
            if len(value) > 1:
                self.names[value[2:]] += 1


class _Seen:
    """What is in the columns of the lines so far."""

    def __init__(self) -> None:
        self.widths: Counter[int] = Counter()
        self.columns: dict[tuple[int, int], _Column] = defaultdict(_Column)  # by width and place
        self.keys: dict[tuple[int, str], _Column] = defaultdict(_Column)
        self.names: list[str] = []
        self.documents = False
        self.counted = self.continued = 0
        self.hashes: set[int] = set()  # widths of lines that begin with "#" and end with a tag
        self._number, self._inside = 0, False

    def add(self, line: str) -> None:
        if not line.strip() or line.startswith(_DOCUMENT):
            self._inside = False
            return
        cells = split(line)
        if line.startswith("#"):
            if _is_tag(cells[-1]):
                self.hashes.add(len(cells))
            key, _, value = line.lstrip("# ").partition("=")
            if key.strip() == _NAMES:
                self.names = value.split()
            self.documents = self.documents or line.startswith(_BEGIN)
            return
        number = _NUMBER.fullmatch(cells[0])
        if number and number[2]:
            return
        self.widths[len(cells)] += 1
        if number:
            place = int(number[1][:18])
            follows = place == self._number + 1
            self.counted += follows or (place < 2 and not self._inside)
            self.continued += follows and self._inside
            self._number = place
        self._inside = True
        for place, cell in enumerate(cells):
            self.columns[len(cells), place].add(cell)
            if "=" in cell:
                for part in cell.split("|"):
                    key, _, value = part.partition("=")
                    self.keys[place, key].add(value)

    def shape(self) -> tuple[int, bool]:
        """Returns how many columns most lines have, and whether the first counts words."""
        if not self.widths:
            return 0, False
        total = self.widths.total()
        width = max(self.widths, key=lambda each: (self.widths[each], each))
        counts = self.continued > 0 or 1 < total == self.counted  # 1, 1, 1: sentences of a word
        return width, width > 2 and counts and self.counted >= _NUMBERED * total

    def fits(self, width: int, tags: _Column, enough: float) -> bool:
        """Returns whether lines of a width are common, and end with the names of `tags`."""
        names = self.columns[width, width - 1].names
        return self.widths[width] >= enough and (
            not names or bool(names.keys() & tags.names.keys())
        )


def shape_of(lines: Iterable[str]) -> tuple[int, bool]:
    r"""Returns how many columns most lines have, and whether the first counts words.

    Example:
        >>> shape_of(["1\tAda\tB-PER\n", "2\tslept\tO\n"])
        (3, True)
    """
    seen = _Seen()
    for line in lines:
        seen.add(line)
    return seen.shape()


def layout_of(lines: Iterable[str], columns: Sequence[str] = ()) -> tuple[Layout, str]:
    r"""Looks at all lines of tagged words.

    A first column that counts the words of a sentence is no word: the second is. CoNLL-U Plus names
    its columns, and the word is `FORM`; in CoNLL-2012 it is the fourth. The tags are in the last
    column that holds tags: at least half of its values. Where it holds nothing but "O", or
    others hold the same names, as the layers of nested names do, the one with the most names is
    taken. Where no column is of that kind, a column of `key=value|key=value`, as MISC of CoNLL-U,
    may have a key whose values are tags.

    Args:
        lines: The lines.
        columns: Names of the columns, "text" and "label" among them, where they are known.

    Returns:
        What stands where; and a remark where that was not plain to see, or "".

    Raises:
        UserError: No column holds tags, or `columns` lacks one of the names.

    Example:
        >>> layout_of(["1\tAda\tB-PER\t-\n", "2\tslept\tO\t-\n"])[0].tag
        2
    """
    seen = _Seen()
    for line in lines:
        seen.add(line)
    if not seen.widths:
        return Layout(widths=frozenset(seen.hashes)), ""
    total = seen.widths.total()
    width, numbered = seen.shape()
    if columns:
        return Layout(*_named(columns), "", frozenset([len(columns)]), numbered), ""
    if seen.documents and width > _NAME_2012:
        return Layout(_WORD_2012, _NAME_2012, brackets=True), ""
    numbered = numbered or seen.names[:1] == ["ID"]
    word = seen.names.index("FORM") if "FORM" in seen.names else int(numbered)
    found = {place: seen.columns[width, place] for place in range(word + 1, width)}
    tags = [place for place, column in found.items() if column.tags >= _MOST * column.values]
    keys = [
        key
        for key, column in seen.keys.items()
        if key[0] > word and column.tags >= _NUMBERED * column.values
    ]
    if keys and not any(found[place].names for place in tags):
        place, key = max(keys, key=lambda key: seen.keys[key].names.total())
        remark = f"words are column {word + 1}, tags are {key}= in column {place + 1} of {width}"
        return Layout(word, place, key, numbered=numbered), remark
    if tags:
        tag, alike = _of_layers(found, tags)
        widths = frozenset(w for w in seen.widths if seen.fits(w, found[tag], _USUAL * total))
        remark = f"words are column {word + 1}, tags column {tag + 1} of {width}"
        if len(alike) > 1:
            remark += f"; columns {' and '.join(str(place + 1) for place in alike)} have tags alike"
        elif not numbered and tag == width - 1:
            remark = ""
        return Layout(word, -1 if tag == width - 1 else tag, "", widths, numbered), remark
    if any(column.tags for column in found.values()):
        return Layout(word, -1, "", frozenset(seen.widths), numbered), ""
    raise UserError(
        "no column holds tags",
        expected="tags in BIO, BIOES or BILOU, such as O, B-PER and I-PER",
        received=f"{width} column{'s' * (width > 1)}, and no values of that kind",
        fix='name the columns, those with words and tags "text" and "label": '
        'columns = ["id", "text", "label", "other"]',
    )


def _of_layers(found: Mapping[int, _Column], tags: Sequence[int]) -> tuple[int, list[int]]:
    """Returns which of the columns with tags is the one, and those that could be it as well."""
    last = found[tags[-1]]
    if last.names or last.tags < last.values:
        alike = [place for place in tags if found[place].names.keys() & last.names.keys()]
    else:  # nothing but "O"
        alike = [place for place in tags if found[place].names.keys() - _CHUNKS]
    best = max(alike or [tags[-1]], key=lambda place: (found[place].names.total(), -place))
    return best, alike


def _named(columns: Sequence[str]) -> tuple[int, int]:
    if "text" not in columns or "label" not in columns:
        raise UserError(
            "columns of tagged words",
            expected='names, "text" and "label" among them',
            received=", ".join(columns),
            fix='call the column with the words "text", and the one with the tags "label"',
        )
    return list(columns).index("text"), list(columns).index("label")


def _is_tag(value: str) -> bool:
    return _TAG.fullmatch(value) is not None


def _value(cell: str, key: str) -> str:
    """Returns the value of a key in "key=value|key=value"; "" if it isn't there."""
    pairs = (part.partition("=") for part in cell.split("|"))
    return next((value for name, _, value in pairs if name == key), "")
