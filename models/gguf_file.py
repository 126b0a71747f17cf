"""Models in GGUF files, as llama.cpp reads them, under Hugging Face's names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from textmill.errors import UserError, one_of
from textmill.models.gguf_metadata import check_metadata, one_value

Array = npt.NDArray[Any]

# Of the architectures that are read: their names in `config.json`.
KINDS = {"llama": "llama", "qwen2": "qwen2"}
_NAMES = {
    "token_embd": "model.embed_tokens",
    "output_norm": "model.norm",
    "output": "lm_head",
    "attn_norm": "input_layernorm",
    "ffn_norm": "post_attention_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
_FEED = ("ffn_gate", "ffn_up", "ffn_down")
_BIASED = {
    "llama": ("attn_q", "attn_k", "attn_v", "attn_output", *_FEED),
    "qwen2": ("attn_q", "attn_k", "attn_v"),
}


class GgufFile(Mapping[str, Array]):
    """The weights of a GGUF file by Hugging Face's names, float32; dequantized when asked for.

    Args:
        file: Of architecture llama or qwen2, in any of the quantizations that the `gguf` library
            knows.

    Raises:
        UserError: It is no GGUF file, or of another architecture; or the library is missing.

    Source: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md.
    """

    def __init__(self, file: Path) -> None:
        self.file, self._reader = file, _reader(file)
        self.kind = str(self.value("general.architecture"))
        if self.kind not in KINDS:
            raise UserError(
                f"{file}: its architecture is not read",
                expected=one_of(KINDS),
                received=self.kind,
                fix="name the model's Hugging Face folder instead",
            )
        if self._reader.byte_order == "S":
            raise UserError(
                f"{file}: its bytes are in the order of another kind of processor",
                expected="a file with the lowest byte of a number first",
                received="one with the highest byte first",
                fix="turn it: gguf-convert-endian FILE little",
            )
        self._tensors = {_named(tensor.name): tensor for tensor in self._reader.tensors}
        if "rope_freqs.weight" in self._tensors:
            raise UserError(
                f"{file}: its places are scaled",
                expected="a model without rope scaling",
                received="rope_freqs.weight",
                fix="name the model's Hugging Face folder instead",
            )
        fields = self._reader.fields.items()
        # Lists of tokens are long, and of no concern here.
        told = {key: f.contents() for key, f in fields if not key.startswith("tokenizer.")}
        check_metadata(str(file), told, self.kind)
        self._check_tensors()

    def _check_tensors(self) -> None:
        """Refuses tensors that the layers have no place for, and numbers that can't be read."""
        from gguf import GGMLQuantizationType, dequantize

        layers = self._number("block_count")
        known = set(_known_tensors(self.kind, layers))
        strange = sorted(each.name for each in self._reader.tensors if each.name not in known)
        if strange:
            raise UserError(
                f"{self.file}: tensor {strange[0]} is not computed here",
                expected=f"the tensors of a {KINDS[self.kind]} model of {layers} layers alone",
                received=", ".join(strange[:3]) + ", …" * (len(strange) > 3),
                fix="name the model's Hugging Face folder instead, or take another model",
            )
        for tensor in self._reader.tensors:
            if tensor.data.dtype.kind == "f":
                continue
            try:  # with a row, for most types can't be tried with none
                dequantize(tensor.data.reshape(-1, tensor.data.shape[-1])[:1], tensor.tensor_type)
            except (NotImplementedError, KeyError) as error:
                raise UserError(
                    f"{self.file}: tensor {tensor.name} is of type "
                    f"{GGMLQuantizationType(tensor.tensor_type).name}, which can't be read",
                    expected="numbers that the library gguf turns into float32",
                    received=str(error)[:200],
                    fix="take the model in another quantization, such as Q8_0",
                ) from error

    def value(self, key: str, default: Any = None) -> Any:
        """Returns what the file says under a key, with or without its architecture before it."""
        fields = self._reader.fields
        for name in (key, f"{getattr(self, 'kind', '')}.{key}"):
            if name in fields:
                return fields[name].contents()
        return default

    def keys_under(self, name: str) -> list[str]:
        """Returns the keys that begin so."""
        return [key for key in self._reader.fields if key.startswith(name)]

    def _has_bias(self, part: str) -> bool:
        return any(f".{part}." in name and name.endswith(".bias") for name in self._tensors)

    def _number(self, key: str, default: int | None = None) -> int:
        return int(one_value(self.value(key, default)))

    def __getitem__(self, name: str) -> Array:
        from gguf import dequantize

        tensor = self._tensors[name]
        shape = [int(size) for size in tensor.shape][::-1]
        stored: Array = tensor.data
        if stored.dtype.kind != "f":
            stored = dequantize(stored, tensor.tensor_type)
        found: Array = stored.astype(np.float32).reshape(shape)
        heads = self._number("attention.head_count")
        counts = {"q_proj": heads, "k_proj": self._number("attention.head_count_kv", heads)}
        part = name.split(".")[-2]
        return _in_halves(found, counts[part]) if self.kind == "llama" and part in counts else found

    def __iter__(self) -> Iterator[str]:
        return iter(self._tensors)

    def __len__(self) -> int:
        return len(self._tensors)

    def config(self) -> dict[str, Any]:
        """Returns what Hugging Face's `config.json` says."""
        heads = self._number("attention.head_count")
        width = self._number("embedding_length")
        return {
            "model_type": KINDS[self.kind],
            "hidden_size": width,
            "intermediate_size": self._number("feed_forward_length"),
            "num_hidden_layers": self._number("block_count"),
            "num_attention_heads": heads,
            "num_key_value_heads": self._number("attention.head_count_kv", heads),
            "head_dim": self._number("attention.key_length", width // heads),
            "vocab_size": len(self.value("tokenizer.ggml.tokens", [])),
            "rms_norm_eps": float(f"{self.value('attention.layer_norm_rms_epsilon'):.6g}"),
            "rope_theta": float(self.value("rope.freq_base", 10000.0)),
            "max_position_embeddings": self._number("context_length"),
            "tie_word_embeddings": "lm_head.weight" not in self._tensors,
            "attention_bias": self._has_bias("self_attn") and self.kind == "llama",
            "mlp_bias": self._has_bias("mlp"),
            "hidden_act": "silu",
            **self._ends(),
        }

    def _ends(self) -> dict[str, Any]:
        """Returns the tokens that begin and end a text: one that ends a turn ends it as well."""
        begin = self.value("tokenizer.ggml.bos_token_id")
        names = ("eos", "eot", "eom")
        found = [self.value(f"tokenizer.ggml.{name}_token_id") for name in names]
        ends = list(dict.fromkeys(int(each) for each in found if each is not None))
        return {"bos_token_id": begin, "eos_token_id": ends or None}


def _reader(file: Path) -> Any:
    try:
        from gguf import GGUFReader
    except ImportError as error:
        raise UserError(
            f"{file}: GGUF files need the library gguf",
            expected="gguf, installed",
            received="no such package",
            fix="pip install 'textmill[gguf]'",
        ) from error
    try:
        return GGUFReader(str(file))
    except (ValueError, OSError, IndexError, KeyError) as error:
        raise UserError(
            f"{file}: no model can be read from it",
            expected="a whole GGUF file",
            received=f"{type(error).__name__}: {error}"[:200],
            fix="take the file again from where it came",
        ) from error


def _named(name: str) -> str:
    """Returns Hugging Face's name of a tensor.

    Example:
        >>> _named("blk.3.attn_q.weight"), _named("output_norm.weight")
        ('model.layers.3.self_attn.q_proj.weight', 'model.norm.weight')
    """
    match name.split("."):
        case ["blk", layer, part, end] if part in _NAMES:
            return f"model.layers.{layer}.{_NAMES[part]}.{end}"
        case [part, end] if part in _NAMES:
            return f"{_NAMES[part]}.{end}"
    return name


def _known_tensors(kind: str, layers: int) -> Iterator[str]:
    """Gives GGUF's names of the tensors that an architecture may have.

    Example:
        >>> "blk.0.attn_q.bias" in _known_tensors("qwen2", 1)
        True
    """
    once = ("token_embd", "output_norm", "output")
    yield from (f"{part}.weight" for part in once)
    for layer in range(layers):
        yield from (f"blk.{layer}.{part}.weight" for part in _NAMES if part not in once)
        yield from (f"blk.{layer}.{part}.bias" for part in _BIASED[kind])


def _in_halves(rows: Array, heads: int) -> Array:
    """Returns a matrix whose pairs of rows turn together as first and second halves of a head.

    llama.cpp has them side by side, and so permutes the rows of Llama's queries and keys.

    Example:
        >>> _in_halves(np.arange(4)[:, None], 1)[:, 0].tolist()
        [0, 2, 1, 3]
    """
    half = rows.shape[0] // heads // 2
    return rows.reshape(heads, half, 2, *rows.shape[1:]).swapaxes(1, 2).reshape(rows.shape)
