"""Which source a name stands for."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from textmill.components.sources.aligned import AlignedLines
from textmill.components.sources.arrow import ArrowFiles, saved_dataset
from textmill.components.sources.conll import Conll
from textmill.components.sources.csv import Delimited
from textmill.components.sources.dialect import Quoting
from textmill.components.sources.documents import Documents, Separation
from textmill.components.sources.fasttext import FastText, is_fasttext
from textmill.components.sources.folders import ClassFolders, LabelledLines, is_labelled
from textmill.components.sources.jsonl import JsonLines
from textmill.components.sources.parquet import Parquet
from textmill.components.sources.paths import is_hidden, matching, visible
from textmill.components.sources.source import Source, opening
from textmill.components.sources.tfds import TensorFlowDataset
from textmill.errors import UserError

_DELIMITED = (".csv", ".tsv", ".tab")
_JSON = (".jsonl", ".ndjson", ".json")
_PARQUET = (".parquet",)
_ARROW = (".arrow", ".feather")
_FASTTEXT = (".ft", ".fasttext")
_LINES = (".txt",)
_TAGGED = (".conll", ".conllu", ".conllup", ".bio", ".iob", ".iob2", ".bmes")
TABLES = (*_DELIMITED, *_JSON, *_PARQUET, *_ARROW, *_FASTTEXT, *_TAGGED)  # rows, by their suffix


def open_source(
    source: str,
    *,
    encoding: str = "utf-8",
    delimiter: str | None = None,
    quote: str = '"',
    quoting: Quoting = "auto",
    columns: Sequence[str] = (),
    skip_rows_after_header: int = 0,
    data_dir: str | None = None,
    documents: Separation | None = None,
) -> Source:
    """Returns the source that a name stands for. Hardly more than the list of files is read yet.

    - `*.csv`, `*.tsv`, `*.tab`: delimited text
    - `*.jsonl`, `*.ndjson`, `*.json`: one JSON object a line
    - `*.parquet`: Parquet
    - `*.arrow`, `*.feather`: Arrow
    - `*.conll`, `*.conllu`, `*.conllup`, `*.bio`, `*.iob`, `*.iob2`, `*.bmes`: a word and its tag
      a line
    - a folder that `datasets` saved (`save_to_disk`): its rows, with a column `split` if it has any
    - a folder: `<label>/*.txt`, a file a row; or else `<label>.txt`, a line a row; with
      `documents` the other way round: `*.txt`, or else `*/*.txt`, a file a document
    - `*.ft`, `*.fasttext`, and `*.txt` with `__label__` on a tenth of the lines: labels and a text
    - `*.txt`: `<label>.txt`, a line a row; or with `documents`, plain text without labels
    - `tfds:NAME`: a data set of tensorflow-datasets

    Text may be compressed: `reviews.csv.gz`. A pattern such as "data/*.csv" stands for all files
    that match it, sorted by name; "**" for folders at any depth.

    Args:
        source: The name.
        encoding: Encoding of text files.
        delimiter: Between the fields of delimited text; None: what a first line such as "sep=;"
            says, else a comma in .csv and a tab in .tsv and .tab.
        quote: Around fields of delimited text.
        quoting: What a quote is there: "auto", "standard" or "none"; see `Delimited`.
        columns: Names of the columns, for delimited text without a header line and tagged words.
        skip_rows_after_header: Lines to pass over below the header of delimited text.
        data_dir: Folder of the data sets of tensorflow-datasets.
        documents: What parts the documents of plain text: a "blank line", or the end of a "line".

    Raises:
        UserError: Nothing has this name, or its kind is unknown.

    Example:
        >>> open_source("tfds:glue/sst2", data_dir="data")
        TensorFlowDataset(name='glue/sst2', data_dir='data')
        >>> open_source("reviews.docx")
        Traceback (most recent call last):
        textmill.errors.UserError: reviews.docx: no such file
          ...
    """
    if source.startswith("tfds:"):
        return TensorFlowDataset(source.removeprefix("tfds:"), data_dir)
    if Path(source).expanduser().is_dir():
        return _folder(str(Path(source).expanduser()), encoding, documents)
    files = _files(source)
    suffixes = {_suffix(file) for file in files}
    if suffixes <= {*_DELIMITED}:
        return Delimited(
            files, delimiter, quote, quoting, encoding, tuple(columns), skip_rows_after_header
        )
    if suffixes <= {*_JSON}:
        return JsonLines(files, encoding)
    if suffixes <= {*_PARQUET}:
        return Parquet(files)
    if suffixes <= {*_ARROW}:
        return ArrowFiles(files)
    if suffixes <= {*_TAGGED}:
        return Conll(files, encoding, tuple(columns))
    if suffixes <= {*_LINES} and documents is not None:
        return Documents(files, documents, encoding)
    if suffixes <= {*_LINES, *_FASTTEXT} and (
        suffixes & {*_FASTTEXT} or any(is_fasttext(file, encoding) for file in files)
    ):
        return FastText(files, encoding)
    if suffixes <= {*_LINES}:
        _refuse_class_folders(source, files)
        return LabelledLines(files, encoding=encoding)
    raise UserError(
        f"{source}: "
        + ("unknown kind of file" if len(suffixes) == 1 else "several kinds of files"),
        expected=f"files with one of the suffixes {', '.join((*TABLES, *_LINES))}",
        received=", ".join(sorted(suffix or "no suffix" for suffix in suffixes)),
        fix="convert them to one of these, or give ingest a source of your own",
    )


def open_aligned(source: str, target_source: str, *, encoding: str = "utf-8") -> AlignedLines:
    """Returns the source that two names of aligned text files, or patterns of them, stand for.

    Raises:
        UserError: Nothing has one of these names.
    """
    return AlignedLines(_files(source), _files(target_source), encoding)


def _suffix(file: str) -> str:
    return Path(file.lower().removesuffix(".gz")).suffix


def _files(source: str) -> tuple[str, ...]:
    path = str(Path(source).expanduser()) if source.startswith("~") else source
    if not any(sign in path for sign in "*?[") or Path(path).exists():
        with opening(source):
            Path(path).stat()
        return (path,)
    found = matching(path)
    if not found:
        raise UserError(
            f"{source}: no file matches",
            expected="a pattern that some files match",
            received=f"none, looked for in {Path.cwd()}",
            fix="correct the pattern; a relative one starts from the folder the command runs in",
        )
    return found


def _refuse_class_folders(source: str, files: Sequence[str]) -> None:
    """Refuses a pattern of files whose folders are their labels.

    `train/pos.txt` and `test/pos.txt` are files named by their labels; names that differ from
    folder to folder, or are numbers, are none.
    """
    names: dict[Path, set[str]] = {}
    for file in files:
        names.setdefault(Path(file).parent, set()).add(Path(file.lower()).name.partition(".")[0])
    first, *others = names.values()
    alike = all(each == first for each in others)
    if others and not (alike and not all(name.isdecimal() for name in first)):
        roots = {folder.parent for folder in names}
        raise UserError(
            f"{source}: text files of {len(names)} folders",
            expected="<label>.txt, with the same labels in each folder; or the folder of folders",
            received=", ".join(files[:2]) + ", …",
            fix=f'set source = "{roots.pop()}": folders in it are labels, and a file is a row'
            if len(roots) == 1
            else "name the folder whose subfolders are the labels",
        )


def _folder(root: str, encoding: str, documents: Separation | None) -> Source:
    saved = saved_dataset(root)
    if saved is not None:
        return saved
    with opening(root):
        inside = visible(Path(root)) or sorted(Path(root).iterdir())
    lines = tuple(f.name for f in inside if is_labelled(f) and not is_hidden(f.name))
    if lines and documents is not None:
        return Documents(lines, documents, encoding, root)
    for folder in inside:
        if folder.is_dir() and not is_hidden(folder.name):
            with opening(str(folder)):
                if any(f.suffix.lower() in _LINES for f in visible(folder)):
                    return ClassFolders(root, encoding)
    whole = tuple(str(Path(root, name)) for name in lines)
    if any(is_fasttext(file, encoding) for file in whole):
        return FastText(whole, encoding)
    if lines:
        return LabelledLines(lines, root, encoding)
    known = sorted({_suffix(f.name) for f in inside if _suffix(f.name) in (*TABLES, *_LINES)})
    raise UserError(
        f"{root}: holds no text files" if inside else f"{root}: is an empty folder",
        expected="<label>/*.txt, a file a row, or <label>.txt, a line a row",
        received=", ".join(f.name for f in inside[:5]) + (", …" if len(inside) > 5 else "")
        or "nothing",
        fix=f'set source = "{root}/*{known[0]}"' if known else _deeper(root, inside),
    )


def _deeper(root: str, inside: Sequence[Path]) -> str:
    """Returns what to do where a folder of folders has the texts, such as train and test."""
    holding = [each.name for each in inside if each.is_dir() and any(each.glob("*/*.[tT][xX][tT]"))]
    train = next((name for name in holding if name.lower().startswith("train")), None)
    test = next((name for name in holding if name.lower().startswith("test")), None)
    if train and test:
        return f'set source = "{root}/{train}" and test_source = "{root}/{test}"'
    if len(holding) == 1:
        return f'set source = "{root}/{holding[0]}"'
    return "name the folder with the texts in it"
