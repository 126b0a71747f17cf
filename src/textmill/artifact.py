"""Typed artifacts: folders that a step writes once, and that anyone can open without Textmill."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NotRequired, TypedDict

from textmill.errors import UserError

if TYPE_CHECKING:
    import pyarrow as pa

RECORD = "artifact.json"  # how the artifact was made; not part of its content
LINEAGE = "textmill/lineage.json"  # of a preset that is kept elsewhere; its ancestry, with times
LOGS = "logs"  # files with times in them, such as TensorBoard's; not part of the content either
REFUSED = "refused.json"  # in place of a SavedModel: why there is none
DRAFT = ".draft-"  # followed by the process that writes an artifact
UNFINISHED = ".unfinished"
Split = Literal["train", "validation", "test"]
# What a label is: one name, any number of names, a number, or spans of the text with a name each.
LabelKind = Literal["one", "many", "number", "spans"]
SPLITS: tuple[Split, ...] = ("train", "validation", "test")


@dataclass(frozen=True)
class Artifact:
    """A folder and the digest of what is in it.

    A step gets an artifact with an empty digest and writes into `path`; the run that called the
    step computes the digest when the step is done. A subclass names the files and reads them.

    Attributes:
        path: The folder.
        digest: SHA-256 of the content, 64 hexadecimal digits; "" while it is being written.
    """

    path: Path
    digest: str = ""

    @property
    def unfinished(self) -> Path:
        """A folder that outlives a step that was killed: its next attempt finds what it left here.

        It need not exist. `Run` removes it when the artifact is safe on the disk.
        """
        name = self.path.name.partition(DRAFT)[0]
        return self.path.with_name(name + UNFINISHED)

    def damage(self) -> str | None:
        """Returns what is wrong with the files since they were written, or None.

        It compares names and sizes with the record, which is enough to see a deleted or a
        truncated file without reading gigabytes.
        """
        files = read_json(self.path / RECORD)["files"]
        for name, size in files.items():
            file = self.path / name
            if not file.is_file():
                return f"{name} is missing"
            if file.stat().st_size != size:
                return f"{name} has {file.stat().st_size} bytes, not {size}"
        return None


class ExamplesSchema(TypedDict):
    """What `schema.json` of Examples says."""

    text: str  # name of the column with the text
    pair: str | None  # name of the column with the second text, where rows have two
    label: str | None  # name of the column with the label; None: the rows have none
    labels: LabelKind
    separator: str  # between the names of a label of kind "many"
    columns: dict[str, str]  # column -> Arrow type
    cleaning: dict[str, bool | str | None]
    rows: dict[str, int]  # split -> rows
    read: int  # rows that the source held
    rejected: dict[str, int]  # reason -> rows in quarantine.parquet
    duplicates: int  # rows that were collapsed into an equal one
    conflicts: int  # texts that came with more than one label
    merged_labels: dict[str, str]  # name of a label -> the name that it was taken for
    settled_by: str  # what they got: "majority", "mean", "union" or "reject"
    leaked: int  # rows taken out of a split because the text is in a later one
    left_out: int  # rows that `where` did not select


class Examples(Artifact):
    """Rows of text in Parquet: `<split>/part-*.parquet`, `schema.json`, `quarantine.parquet`.

    Columns: the text, a second one if there is, and the label under the names in `schema.json`
    (string; several names of one row are sorted, with a separator between; spans are JSON, a list
    of [start, end, name] in characters), `file` (string) and
    `line` (int64, from 1) that tell where the row came from, and every other column of the source.
    """

    def schema(self) -> ExamplesSchema:
        """Returns `schema.json`."""
        found: ExamplesSchema = read_json(self.path / "schema.json")
        return found

    def label(self) -> str:
        """Returns the name of the column with the label.

        Raises:
            UserError: The rows have none.
        """
        found = self.schema()["label"]
        if found is None:
            raise UserError(
                "the rows have no label",
                expected="rows with a text and a label",
                received="rows with a text",
                fix="name the column with the label, or take the texts for pretraining",
            )
        return found

    def table(self, split: Split, columns: list[str] | None = None) -> pa.Table:
        """Returns all rows of a split, in a fixed order, as an Arrow table."""
        import pyarrow.parquet as pq

        return pq.read_table(self.path / split, columns=columns)

    def texts(self, split: Split) -> pa.Table:
        """Returns the texts of a split as columns `text` and, where rows have two, `pair`."""
        schema = self.schema()
        names = {"text": schema["text"]} | ({"pair": schema["pair"]} if schema["pair"] else {})
        return self.table(split, list(names.values())).rename_columns(list(names))

    def batches(self, split: Split, columns: list[str] | None = None) -> Iterator[pa.RecordBatch]:
        """Yields the rows of a split in a fixed order, some thousands at a time."""
        import pyarrow.parquet as pq

        for file in sorted((self.path / split).glob("*.parquet")):
            yield from pq.ParquetFile(file).iter_batches(batch_size=8192, columns=columns)


class Statistics(Artifact):
    """`statistics.json`, and `schema.pbtxt` as tensorflow-metadata writes it."""

    def read(self) -> dict[str, Any]:
        """Returns `statistics.json`."""
        found: dict[str, Any] = read_json(self.path / "statistics.json")
        return found


class SpanCounts(TypedDict):
    """How many spans the texts of a split have, and what a model can't learn of them."""

    spans: int
    behind: int  # those that begin behind what a model reads of a text
    across: int  # those that begin in what it reads, and end behind
    inside_words: int  # those that do not begin and end with words


class TokensInfo(TypedDict):
    """What `tokens.json` says."""

    kind: LabelKind
    labels: list[str]  # label names; a label's id is its place
    separator: str  # between the names of a label of kind "many", as in the examples
    pair: bool  # whether a row is of two texts
    max_length: int  # tokens a row, [CLS] and [SEP] counted
    overlap: int | None  # tokens that windows over a long text share; None: it is cut
    windows: int  # how many a text has at most
    cleaning: dict[str, Any]  # what was done to the texts, as the schema of the examples says it
    rows: dict[str, int]  # split -> rows
    tokens: dict[str, int]  # split -> tokens in all
    truncated: dict[str, int]  # split -> rows that were longer than max_length
    lengths: dict[str, list[int]]  # split -> rows of each length, 0 to max_length
    bytes: NotRequired[dict[str, int]]  # split -> UTF-8 of what a language model is to write
    spans: NotRequired[dict[str, SpanCounts]]  # split -> spans, where labels are spans of a text


class Tokens(Artifact):
    """Token ids: `<split>/part-*.tfrecord`, `tokens.json`, `tokenizer.json`.

    A record is a `tf.train.Example` with `token_ids` (int64, variable length, [CLS] and [SEP]
    included, unpadded), `label` and `row` (int64, the row's place in the split). A long text has
    several records where windows slide over it, each with `first` (int64), the place of its first
    token in the text. `label` is, by kind: "one": an id; "many": ids, perhaps none; "number": a
    float; "spans": for each token 1 more than the tag's id where a word begins, else 0; and
    `unread`, in the last record of a text, has the tags' ids of the words that no record holds.
    `tokenizer.json` is the tokenizer as the `tokenizers` library reads it.
    """

    def info(self) -> TokensInfo:
        """Returns `tokens.json`."""
        found: TokensInfo = read_json(self.path / "tokens.json")
        return found

    def shards(self, split: Split) -> list[str]:
        """Returns the TFRecord files of a split, in order."""
        return [str(f) for f in sorted((self.path / split).glob("*.tfrecord"))]

    @property
    def tokenizer_file(self) -> Path:
        """The tokenizer that made the ids."""
        return self.path / "tokenizer.json"


class Model(Artifact):
    """A trained model: a KerasHub preset folder, with ours beside it in `textmill/`.

    `keras_hub.models.TextClassifier.from_preset(path)` loads it. `textmill/task.json` holds the
    task's name, the labels, the maximum length and how texts are cleaned, `textmill/tokenizer.json`
    the exact tokenizer,
    `textmill/training.json` what was chosen for the machine. `history.csv` holds the figures of
    every epoch, `learning_curve.png` draws them, and `logs/` is for TensorBoard.
    """

    def task(self) -> dict[str, Any]:
        """Returns `textmill/task.json`."""
        found: dict[str, Any] = read_json(self.path / "textmill" / "task.json")
        return found

    @property
    def tokenizer_file(self) -> Path:
        """The tokenizer that the model was trained with."""
        return self.path / "textmill" / "tokenizer.json"


class Pretrained(Artifact):
    """A language model: a KerasHub preset folder, with ours beside it in `textmill/`.

    `model.preset` of a config takes its path, `keras_hub.models.MaskedLM.from_preset` too.
    `textmill/pretraining.json` holds the length of its rows, how texts were cleaned and tokens
    masked; the rest is as `Model` has it.
    """

    @property
    def tokenizer_file(self) -> Path:
        """The tokenizer that the model was trained with."""
        return self.path / "textmill" / "tokenizer.json"


class Tuned(Artifact):
    """A search for parameters: `best.json`, `trials.csv`, two pictures, and `logs/` with times.

    `trials.csv` has a row a trial: trial (from 1), status ("completed", "stopped" or "failed"), a
    column for each parameter (empty where it did not count), the objective, direction ("min" or
    "max", what of it is better), best_epoch, epochs and reason. `objective.png` shows the trials in
    their order, `parallel_coordinates.png` their values. `tensorboard --logdir` reads `logs/`;
    `logs/times.csv` has the seconds of each trial.
    """

    def best(self) -> dict[str, Any]:
        """Returns `best.json`: parameters, objective, direction, value, trial and best_epoch."""
        found: dict[str, Any] = read_json(self.path / "best.json")
        return found


class Parameters(Artifact):
    """`parameters.json`: what a search found best, for `tokenize` and `train`."""

    def values(self) -> dict[str, Any]:
        """Returns the values by their keys in `[model]` and `[train]`."""
        found: dict[str, Any] = read_json(self.path / "parameters.json")["parameters"]
        return found


class Evaluation(Artifact):
    """How good a model is: `metrics.json`, `predictions.parquet`, `report.html`.

    Columns of the predictions: row, text, label, predicted, scores.
    """

    def metrics(self) -> dict[str, Any]:
        """Returns `metrics.json`."""
        found: dict[str, Any] = read_json(self.path / "metrics.json")
        return found

    def figures(self) -> dict[str, float]:
        """Returns those of the metrics that are one number."""
        return {name: each for name, each in self.metrics().items() if isinstance(each, float)}


class Saved(Artifact):
    """A SavedModel that takes raw text, with `assets.extra/manifest.json`.

    Of a variant that can't be exported there is `refused.json` alone.
    """

    def manifest(self) -> dict[str, Any]:
        """Returns `assets.extra/manifest.json`."""
        return read_manifest(self.path)

    def refusal(self) -> str:
        """Returns why there is no SavedModel; "" if there is one."""
        file = self.path / REFUSED
        return str(read_json(file)["why"]) if file.is_file() else ""


class Measured(Artifact):
    """`measured.json`: what candidates for serving take, and how good they are."""

    def read(self) -> dict[str, Any]:
        """Returns `measured.json`; see `textmill.components.measure`."""
        found: dict[str, Any] = read_json(self.path / "measured.json")
        return found


class Blessing(Artifact):
    """`blessing.json`: what `check` found, a row per rule; `logs/measured.json`."""

    def rows(self) -> list[dict[str, str]]:
        """Returns the rows: rule, status ("passed", "failed" or "skipped"), found, fix."""
        found: list[dict[str, str]] = read_json(self.path / "blessing.json")
        return found

    def measured(self) -> dict[str, Any]:
        """Returns what the model took where it was checked; see `serving.contract.Contract`."""
        file = self.path / LOGS / "measured.json"
        found: dict[str, Any] = read_json(file) if file.is_file() else {}
        return found


class Pushed(Artifact):
    """`pushed.json`: the folder `<base>/<version>` that a server now loads."""

    @property
    def model_path(self) -> Path:
        """The folder of the pushed version."""
        return Path(read_json(self.path / "pushed.json")["path"])

    def damage(self) -> str | None:
        """Returns why this push no longer holds: the version is gone, or a newer one is there."""
        model = self.model_path
        if not (model / "saved_model.pb").is_file():
            return f"{model} is gone"
        newest = versions(model.parent)[-1]
        if newest != int(model.name):
            return f"version {newest} was pushed to {model.parent} since"
        return super().damage()


class Kept(Artifact):
    """`kept.json`: the folder that now holds a preset, and the digest of what is in it."""

    @property
    def model_path(self) -> Path:
        """The folder with the preset."""
        return Path(read_json(self.path / "kept.json")["path"])

    @staticmethod
    def digest_of(folder: Path) -> str:
        """Returns the digest of a preset's content, its lineage left out."""
        return digest_files({n: file for n, file in content(folder).items() if n != LINEAGE})

    def damage(self) -> str | None:
        """Returns why this no longer holds: the folder is gone, or is another than it was."""
        folder = self.model_path
        if not folder.is_dir():
            return f"{folder} is gone"
        if self.digest_of(folder) != read_json(self.path / "kept.json")["digest"]:
            return f"{folder} was changed since"
        return super().damage()


def versions(base: Path) -> list[int]:
    """Returns the versions that TensorFlow Serving would see under `base`, in order.

    Example:
        >>> versions(Path("/nowhere"))
        []
    """
    if not base.is_dir():
        return []
    # A canonical integer: TensorFlow Serving skips "01" and "+1".
    return sorted(int(d.name) for d in base.iterdir() if d.is_dir() and _canonical(d.name))


def _canonical(name: str) -> bool:
    return name.isascii() and name.isdecimal() and str(int(name)) == name


def read_manifest(model: Path) -> dict[str, Any]:
    """Returns the manifest of a SavedModel folder, {} where it has none."""
    file = model / "assets.extra" / "manifest.json"
    return read_json(file) if file.is_file() else {}


def ancestry(folder: Path) -> dict[str, Any]:
    """Returns how an artifact was made, and, under `inputs`, how each of its inputs was.

    It reads the records beside the artifacts, so it needs no database. An input that is no
    artifact, or whose folder is gone, has no `made_by`.

    Args:
        folder: An artifact's folder in a workspace.

    Returns:
        The record: type, step, fingerprint, digest, parameters, modules, packages, environment,
        started, seconds, and inputs.
    """
    record: dict[str, Any] = read_json(folder / RECORD)
    del record["files"]
    workspace = folder.parent.parent
    for given in record["inputs"].values():
        made_in = workspace / given.get("path", "-")
        if (made_in / RECORD).is_file():
            given["made_by"] = ancestry(made_in)
    return record


def content(folder: Path) -> dict[str, Path]:
    """Returns relative name -> file of all that belongs to an artifact's content, sorted."""
    files = (f for f in folder.rglob("*") if f.is_file() and f != folder / RECORD)
    own = (f for f in files if f.relative_to(folder).parts[0] != LOGS)
    return {f.relative_to(folder).as_posix(): f for f in sorted(own)}


def digest_files(files: dict[str, Path]) -> str:
    """Returns SHA-256 over the names and the bytes of `files`, whatever their order.

    Example:
        >>> digest_files({})[:8]
        'e3b0c442'
    """
    total = hashlib.sha256()
    for name in sorted(files):
        with files[name].open("rb") as f:
            inner = hashlib.file_digest(f, "sha256").hexdigest()
        total.update(f"{len(name)}:{name}{inner}".encode())
    return total.hexdigest()


def read_json(file: Path) -> Any:
    """Returns what a JSON file holds."""
    return json.loads(file.read_text("utf-8"))


def write_json(file: Path, value: object) -> None:
    """Writes a value as JSON that a person can read."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", "utf-8")
