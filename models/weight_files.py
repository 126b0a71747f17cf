"""The weights of a Hugging Face folder, whatever kind of file they are in."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from textmill.artifact import read_json
from textmill.errors import UserError, one_of
from textmill.models.gguf_file import GgufFile
from textmill.models.preset import Preset
from textmill.models.tf_file import TFFile
from textmill.models.torch_file import TorchFile

Array = npt.NDArray[Any]

# In the order in which transformers prefers them, the one that can't hold code first.
FILES = (
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
    "tf_model.h5",
)


def open_weights(preset: Preset) -> Mapping[str, Array]:
    """Returns the weights by the names that PyTorch's model gives them; read when asked for.

    Args:
        preset: A folder, or `hf://…`, with one of `FILES`; or a GGUF file.

    Raises:
        UserError: There is no such file, or it is damaged.
    """
    if preset.gguf:
        return GgufFile(Path(preset.name))
    for name in FILES:
        file = preset.file(name)
        if file is not None:
            return _Renamed(_open(preset, file))
    raise preset.lacks(f"weights ({one_of(FILES)})")


def _open(preset: Preset, file: Path) -> Mapping[str, Array]:
    if file.name.endswith(".index.json"):
        return _Shards(preset, file)
    if file.suffix == ".safetensors":
        return _SafeTensors(file)
    return TorchFile(file) if file.suffix == ".bin" else TFFile(file)


class _Renamed(Mapping[str, Array]):
    """Takes the names of 2018 for today's: a norm's gamma and beta are weight and bias."""

    def __init__(self, weights: Mapping[str, Array]) -> None:
        self._weights = weights
        self._old = {_today(name): name for name in weights}

    def __getitem__(self, name: str) -> Array:
        array = self._weights[self._old[name]]
        # What TensorFlow computes with; bfloat16 and float16 are stored to save room.
        small = array.dtype.kind == "V" or array.dtype.name in ("bfloat16", "float16")
        return array.astype(np.float32) if small else array

    def __iter__(self) -> Iterator[str]:
        return iter(self._old)

    def __len__(self) -> int:
        return len(self._old)


def _today(name: str) -> str:
    if name.endswith("LayerNorm.gamma"):
        return name.removesuffix("gamma") + "weight"
    return name.removesuffix("beta") + "bias" if name.endswith("LayerNorm.beta") else name


class _SafeTensors(Mapping[str, Array]):
    def __init__(self, file: Path) -> None:
        import safetensors

        self._file = file
        try:
            with safetensors.safe_open(file, framework="numpy") as stored:
                self._names = list(stored.keys())
        except (safetensors.SafetensorError, OSError) as error:
            raise UserError(
                f"{file}: no weights can be read from it",
                expected=f"a whole safetensors file; this one has {file.stat().st_size} bytes",
                received=str(error),
                fix="take the file again from where it came",
            ) from error

    def __getitem__(self, name: str) -> Array:
        import safetensors

        with safetensors.safe_open(self._file, framework="numpy") as stored:
            array: Array = stored.get_tensor(name)
        return array

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


class _Shards(Mapping[str, Array]):
    """Several files and an index, which says which of them has what."""

    def __init__(self, preset: Preset, index: Path) -> None:
        try:
            self._places: dict[str, str] = dict(read_json(index)["weight_map"])
        except (ValueError, KeyError, TypeError) as error:
            raise UserError(
                f"{index}: it is no index of weights",
                expected='a JSON object with "weight_map": name -> file',
                received=f"{type(error).__name__}: {error}"[:200],
                fix="take the file again from where it came",
            ) from error
        files: dict[str, Mapping[str, Array]] = {}
        for shard in sorted(set(self._places.values())):
            # A name with a folder in it could lead out of the preset.
            file = preset.file(shard) if "/" not in shard else None
            if file is None:
                raise preset.lacks(f"{shard}, which {index.name} names")
            files[shard] = _open(preset, file)
        missing = [name for name, shard in self._places.items() if name not in files[shard]]
        if missing:
            raise preset.lacks(f"weight {missing[0]} in {self._places[missing[0]]}")
        self._files = files

    def __getitem__(self, name: str) -> Array:
        return self._files[self._places[name]][name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)
