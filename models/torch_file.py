"""`pytorch_model.bin` without PyTorch, and without running what a pickle may hold."""

from __future__ import annotations

import io
import math
import pickle
import struct
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import ml_dtypes
import numpy as np
import numpy.typing as npt

from textmill.errors import UserError

Array = npt.NDArray[Any]

# Of the format before zip files: torch/serialization.py, MAGIC_NUMBER and PROTOCOL_VERSION.
_MAGIC, _PROTOCOL = 0x1950A86A20F9469CFC6C, 1001
_DTYPES = {
    "DoubleStorage": np.dtype(np.float64),
    "FloatStorage": np.dtype(np.float32),
    "HalfStorage": np.dtype(np.float16),
    "BFloat16Storage": np.dtype(ml_dtypes.bfloat16),
    "LongStorage": np.dtype(np.int64),
    "IntStorage": np.dtype(np.int32),
    "ShortStorage": np.dtype(np.int16),
    "CharStorage": np.dtype(np.int8),
    "ByteStorage": np.dtype(np.uint8),
    "BoolStorage": np.dtype(np.bool_),
}


class TorchFile(Mapping[str, Array]):
    """The tensors of a state dict by name; each is read when it is asked for.

    A pickle can call any function that its reader finds by name. This one finds what makes
    tensors, and refuses the rest before anything is called.

    Args:
        file: What `torch.save(model.state_dict(), file)` wrote, today or before version 1.6.

    Raises:
        UserError: The file is damaged, or its pickle wants something other than tensors.

    Source: https://pytorch.org/docs/stable/notes/serialization.html#serialized-file-format.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        try:
            found = self._zipped() if zipfile.is_zipfile(file) else self._legacy()
        except UserError:
            raise
        except Exception as error:  # a damaged pickle raises whatever its opcodes run into
            raise self._damaged(f"{type(error).__name__}: {error}") from error
        if not isinstance(found, dict) or not all(isinstance(name, str) for name in found):
            raise self._damaged(f"a {type(found).__name__}")
        # Beside its tensors a checkpoint may hold numbers, such as a version.
        self._tensors = {n: t for n, t in found.items() if isinstance(t, _Tensor)}

    def __getitem__(self, name: str) -> Array:
        tensor = self._tensors[name]
        try:
            return tensor.array(self._read(tensor.storage))
        except (ValueError, TypeError, OSError, KeyError, zipfile.BadZipFile) as error:
            raise self._damaged(f"{name}: {error}") from error

    def __iter__(self) -> Iterator[str]:
        return iter(self._tensors)

    def __len__(self) -> int:
        return len(self._tensors)

    def _zipped(self) -> Any:
        with zipfile.ZipFile(self._file) as archive:
            (pickled,) = (n for n in archive.namelist() if n.endswith("/data.pkl"))
            root = pickled.removesuffix("data.pkl")
            order = f"{root}byteorder"
            if order in archive.namelist() and archive.read(order) != b"little":
                raise ValueError("its bytes are in big-endian order")
            found = _Unpickler(io.BytesIO(archive.read(pickled)), self._file).load()

        def read(storage: _Storage) -> bytes:
            with zipfile.ZipFile(self._file) as archive:
                return archive.read(f"{root}data/{storage.key}")

        self._read: Callable[[_Storage], bytes] = read
        return found

    def _legacy(self) -> Any:
        with self._file.open("rb") as file:
            magic, protocol, system = (_Unpickler(file, self._file).load() for _ in range(3))
            if magic != _MAGIC or protocol != _PROTOCOL or not system.get("little_endian", True):
                raise ValueError(f"it begins with {magic!r:.40}, {protocol!r:.40}")
            unpickler = _Unpickler(file, self._file)
            found = unpickler.load()
            places: dict[str, tuple[int, int]] = {}
            for key in _Unpickler(file, self._file).load():
                # The file says how long each storage is, in elements of its type.
                (elements,) = struct.unpack("<q", file.read(8))
                size = elements * unpickler.storages[str(key)].dtype.itemsize
                places[str(key)] = file.tell(), size
                file.seek(size, io.SEEK_CUR)

        def read(storage: _Storage) -> bytes:
            begin, size = places[storage.key]
            with self._file.open("rb") as file:
                file.seek(begin)
                return file.read(size)

        self._read = read
        return found

    def _damaged(self, received: str) -> UserError:
        return UserError(
            f"{self._file}: no PyTorch checkpoint can be read from it",
            expected="a state dict as torch.save writes it, whole",
            received=received.partition("\n")[0][:200],
            fix="take the file again from where it came, or save it as model.safetensors",
        )


@dataclass(frozen=True)
class _Storage:
    key: str
    dtype: np.dtype[Any]


@dataclass(frozen=True)
class _Tensor:
    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]  # in elements

    def array(self, data: bytes) -> Array:
        """Returns the values.

        Raises:
            ValueError: They would lie outside the storage.
        """
        flat = np.frombuffer(data, self.storage.dtype)
        if len(self.shape) != len(self.strides) or min((*self.shape, *self.strides, 0)) < 0:
            raise ValueError(f"shape {self.shape} with strides {self.strides}")
        if not math.prod(self.shape):
            return np.zeros(self.shape, flat.dtype)
        steps = sum((n - 1) * s for n, s in zip(self.shape, self.strides, strict=True))
        if not 0 <= self.offset <= self.offset + steps < len(flat):
            raise ValueError(f"shape {self.shape} at {self.offset}, of {len(flat)} stored values")
        strides = [step * flat.itemsize for step in self.strides]
        return np.lib.stride_tricks.as_strided(
            flat[self.offset :], self.shape, strides, writeable=False
        )


def _tensor(storage: Any, offset: Any, shape: Any, strides: Any, *rest: Any) -> _Tensor:
    """Stands in for `torch._utils._rebuild_tensor_v2`."""
    whole = [offset, *shape, *strides]
    if not isinstance(storage, _Storage) or not all(type(x) is int for x in whole):
        raise ValueError("a tensor of no storage")
    return _Tensor(storage, offset, tuple(shape), tuple(strides))


def _parameter(tensor: Any, *rest: Any) -> Any:
    """Stands in for `torch._utils._rebuild_parameter`."""
    return tensor


class _Unpickler(pickle.Unpickler):
    """Finds what makes tensors and nothing else."""

    def __init__(self, file: BinaryIO, name: Path) -> None:
        super().__init__(file, encoding="utf-8")
        self._name = name
        self.storages: dict[str, _Storage] = {}

    def find_class(self, module: str, name: str) -> Any:
        known: dict[tuple[str, str], Any] = {
            ("collections", "OrderedDict"): OrderedDict,
            ("torch._utils", "_rebuild_tensor_v2"): _tensor,
            ("torch._utils", "_rebuild_parameter"): _parameter,
        }
        if module == "torch" and name in _DTYPES:
            return name
        if (module, name) not in known:
            raise UserError(
                f"{self._name}: its pickle asks for {module}.{name}",
                expected="tensors and their names alone; code from a checkpoint is never run",
                received=f"{module}.{name}",
                fix="save the weights as model.safetensors, if you trust where the file came from",
            )
        return known[module, name]

    def persistent_load(self, pid: Any) -> _Storage:
        kind, name, key = pid[:3]
        if kind != "storage" or name not in _DTYPES:
            raise ValueError(f"{kind!r:.40} of type {name!r:.40}")
        if len(pid) > 5 and pid[5] is not None:  # a storage that is a part of another one
            raise ValueError("a view of a storage")
        return self.storages.setdefault(str(key), _Storage(str(key), _DTYPES[name]))
