"""Text files of fastText: labels that begin with `__label__`, and a text, on each line."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

from textmill.components.name_lists import FASTTEXT
from textmill.components.sources.source import (
    Batch,
    Json,
    Rejected,
    Row,
    batched,
    digest,
    encodable,
    listing,
    readable,
)
from textmill.components.sources.text_file import open_text, without_end

# fastText parts words at these alone, and a label may stand anywhere among them.
_LABEL = re.compile(rf"(?:^|(?<=[ \t\v\f\r\0])){FASTTEXT}([^ \t\v\f\r\n\0]*)[ \t\v\f\r\0]*")

_LOOKED_AT, _SOME = 1000, 0.1  # lines, and the share of them that has labels


@dataclass(frozen=True)
class FastText:
    r"""A text on each line, with its labels before it or among its words.

    The columns are `text` and `label`, a list of names. Empty lines are passed over.

    Attributes:
        files: Names of the files.
        encoding: Name of the encoding; a line that is not valid in it is rejected.

    Source: fastText 0.9.3, `Dictionary::getLine` in src/dictionary.cc.

    Example:
        >>> import pathlib, tempfile
        >>> file = pathlib.Path(tempfile.mkdtemp(), "a.txt")
        >>> _ = file.write_text("__label__a __label__b One text.\nNo label.\n")
        >>> [batch] = FastText((str(file),)).batches()
        >>> batch.rows.to_pylist()
        [{'text': 'One text.', 'label': '["a", "b"]'}, {'text': 'No label.', 'label': '[]'}]
    """

    files: tuple[str, ...]
    encoding: str = "utf-8"

    def __str__(self) -> str:
        return listing(self.files)

    def digest(self) -> str:
        """Returns a digest of the files."""
        return digest(self.files)

    def batches(self) -> Iterator[Batch]:
        """Yields the columns `text` and `label`."""
        yield from batched(self._rows(), ["text", "label"])

    def _rows(self) -> Iterator[Row | Rejected]:
        for file in self.files:
            with open_text(file, self.encoding) as lines:
                for number, line in enumerate(lines, 1):
                    if not encodable(line):
                        yield Rejected(file, number, "invalid encoding", readable(line.strip()))
                    elif line.strip():
                        names = json.dumps(_LABEL.findall(line), ensure_ascii=False)
                        yield Row(file, number, (without_end(_LABEL.sub("", line)), Json(names)))


def is_fasttext(file: str, encoding: str) -> bool:
    """Returns whether a tenth or more of the first lines of a file have labels.

    The first of all may have none, and a text about fastText may name the prefix.
    """
    with open_text(file, encoding) as lines:
        found = [bool(_LABEL.search(line)) for line in islice(lines, _LOOKED_AT) if line.strip()]
    return any(found) and sum(found) >= _SOME * len(found)
