"""`tf_model.h5`, as TensorFlow's classes of transformers wrote it, under PyTorch's names."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from textmill.errors import UserError

if TYPE_CHECKING:
    import h5py

Array = npt.NDArray[Any]

_LAST = {"kernel": "weight", "embeddings": "weight", "gamma": "weight", "beta": "bias"}


class TFFile(Mapping[str, Array]):
    """The weights by their names in PyTorch; each is read when it is asked for.

    Args:
        file: An HDF5 file of Keras 2's `save_weights`.

    Raises:
        UserError: The file is damaged, or holds no weights.
    """

    def __init__(self, file: Path) -> None:
        import h5py

        self._file = file
        try:
            with h5py.File(file) as stored:
                found = list(_weights(stored))
        except (OSError, KeyError, RuntimeError) as error:
            raise self._damaged(str(error)) from error
        if not found:
            raise self._damaged("a file without weights")
        self._places = {torch_name(path): path for path in found}

    def __getitem__(self, name: str) -> Array:
        import h5py

        path = self._places[name]
        try:
            with h5py.File(self._file) as stored:
                array: Array = stored[path][()]
        except (OSError, KeyError) as error:
            raise self._damaged(f"{path}: {error}") from error
        # A kernel is [inputs, outputs] in Keras, [outputs, inputs] in PyTorch.
        return np.ascontiguousarray(array.T) if _last(path) == "kernel" else array

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)

    def _damaged(self, received: str) -> UserError:
        return UserError(
            f"{self._file}: no TensorFlow checkpoint can be read from it",
            expected="weights as save_pretrained() of a TF model wrote them, whole",
            received=received.partition("\n")[0][:200],
            fix="take the file again from where it came",
        )


def torch_name(path: str) -> str:
    """Returns PyTorch's name for a weight of a TensorFlow model.

    Args:
        path: Where it is in the file: the layer, the model, and the name in it.

    Example:
        >>> torch_name("bert/tf_bert_model/bert/encoder/layer_._0/output/dense/kernel:0")
        'bert.encoder.layer.0.output.dense.weight'

    Source: `convert_tf_weight_name_to_pt_weight_name` in transformers 4.57,
    `modeling_tf_pytorch_utils.py`.
    """
    name = path.partition("/")[2].removesuffix(":0")
    name = re.sub(r"/[^/]*___([^/]*)/", r"/\1/", name)  # a shared layer is saved as user___layer
    parts = [part for part in name.replace("_._", "/").split("/") if part]
    parts = parts[1:] if len(parts) > 1 else parts  # the model's own name
    return ".".join([*parts[:-1], _LAST.get(parts[-1], parts[-1])])


def _weights(stored: h5py.File) -> Iterator[str]:
    """Yields the paths of the weights, a layer after the other."""
    for layer in stored.attrs["layer_names"]:
        group = _text(layer)
        for name in stored[group].attrs["weight_names"]:
            yield f"{group}/{_text(name)}"


def _last(path: str) -> str:
    return path.rpartition("/")[2].removesuffix(":0")


def _text(name: Any) -> str:
    return name.decode() if isinstance(name, bytes) else str(name)
