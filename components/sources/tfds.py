"""TensorFlow Datasets: `tfds:NAME`, `tfds:NAME/CONFIG`, `tfds:NAME/CONFIG:VERSION`."""

from __future__ import annotations

import importlib.util
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from textmill.artifact import digest_files
from textmill.components.columns import float_text
from textmill.components.sources.paths import visible
from textmill.components.sources.source import Batch, Rejected, Row, batched
from textmill.errors import UserError
from textmill.quiet import import_tensorflow


@dataclass(frozen=True)
class TensorFlowDataset:
    """A data set prepared by tensorflow-datasets; it is downloaded where it isn't there yet.

    Every feature that is one string, number, truth value or class becomes a string column; a class
    becomes its name. The column `split` holds the name of the row's own split, for `split_column`
    or `where`; `file` is "NAME/split" and `line` the row's place in that split, from 1.

    Attributes:
        name: "imdb_reviews", "glue/sst2" or "imdb_reviews/plain_text:1.0.0".
        data_dir: Folder of the prepared data sets; None for tensorflow-datasets' own default.
    """

    name: str
    data_dir: str | None = None

    def __str__(self) -> str:
        return f"tfds:{self.name}"

    def digest(self) -> str:
        """Returns a digest of the prepared files."""
        # By hand, because a run whose steps are all cached must not import tensorflow-datasets.
        folder = self._folder()
        files = (f for f in visible(folder) if f.is_file())
        return digest_files({f"{self.name}/{f.name}": f for f in files})

    def batches(self) -> Iterator[Batch]:
        """Yields string columns: the plain features and `split`."""
        tfds = _tfds()
        import_tensorflow()
        builder = tfds.builder_from_directory(str(self._folder()))
        columns = [name for name, feature in builder.info.features.items() if _plain(feature)]
        yield from batched(self._rows(builder, columns), [*columns, "split"])

    def _rows(self, builder: Any, columns: list[str]) -> Iterator[Row | Rejected]:
        features = builder.info.features
        for split in builder.info.splits:
            data = builder.as_dataset(split=split, shuffle_files=False)
            file = f"{self.name.partition(':')[0]}/{split}"
            for line, example in enumerate(data.as_numpy_iterator(), 1):
                try:
                    values = [_text(example[name], features[name]) for name in columns]
                except UnicodeDecodeError:
                    yield Rejected(file, line, "invalid encoding", None)
                else:
                    yield Row(file, line, [*values, split])

    def _folder(self) -> Path:
        """Returns the folder of the newest prepared version, or of the one that is asked for."""
        root = self.data_dir or os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets"
        name, _, version = self.name.partition(":")
        base = Path(root).expanduser() / name
        found = [f.parent for f in base.glob(f"{version or '*'}/dataset_info.json")]
        if not found:  # without a config in the name, the data set may have one all the same
            found = [f.parent for f in base.glob(f"*/{version or '*'}/dataset_info.json")]
            if len({folder.parent for folder in found}) > 1:
                raise UserError(
                    f"tfds:{self.name}: is there in several configurations",
                    expected=f"tfds:{name}/CONFIG",
                    received=", ".join(sorted({folder.parent.name for folder in found})),
                    fix=f'set source = "tfds:{name}/{min(found).parent.name}"',
                )
        return max(found, key=_version) if found else self._prepare(root)

    def _prepare(self, root: str) -> Path:
        tfds = _tfds()
        try:
            builder = tfds.builder(self.name, data_dir=root)
            builder.download_and_prepare()
        except Exception as error:  # anything, from a misspelt name to a network that is down
            raise UserError(
                f"tfds:{self.name}: can't be prepared",
                expected=f"a data set that is prepared under {root}, or can be downloaded",
                received=f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}",
                fix="correct the name, set data_dir to the folder it is in, or see to the network",
            ) from error
        return Path(builder.data_dir)


def _tfds() -> Any:
    if importlib.util.find_spec("tensorflow_datasets") is None:
        raise UserError(
            "tfds: sources need the package tensorflow-datasets",
            expected="tensorflow-datasets in this environment",
            received="it is not installed",
            fix="pip install 'textmill[tfds]'",
        )
    import tensorflow_datasets

    return tensorflow_datasets


def _version(folder: Path) -> list[int]:
    return [int(part) if part.isdecimal() else 0 for part in folder.name.split(".")]


def _plain(feature: Any) -> bool:
    return getattr(feature, "shape", None) == () and not hasattr(feature, "feature")


def _text(value: Any, feature: Any) -> str | None:
    if hasattr(feature, "int2str"):
        return feature.int2str(int(value)) if value >= 0 else None  # -1 is "no label"
    if isinstance(value, bytes):
        return value.decode()
    if value.dtype.kind == "f":
        return float_text(value)
    return json.dumps(value.item())
