"""Models in GGUF files, as llama.cpp reads them, under Hugging Face's names."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from textmill.artifact import write_json
from textmill.errors import UserError, one_of

Array = npt.NDArray[Any]

# Of the architectures that are read: their names in `config.json`.
KINDS = {"llama": "llama", "qwen2": "qwen2"}
# `tokenizer.ggml.pre` -> whose rule parts a text into words.
SPLITS = {
    "default": "gpt2",
    "gpt-2": "gpt2",
    "smollm": "smollm",
    "llama-bpe": "llama3",
    "llama3": "llama3",
    "qwen2": "qwen2",
}
SPECIAL = (2, 3)  # kinds of tokens that stand for no text: unknown, control
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
        self._file, self._reader = file, _reader(file)
        self.kind = str(self.value("general.architecture"))
        if self.kind not in KINDS:
            raise UserError(
                f"{file}: its architecture is not read",
                expected=one_of(KINDS),
                received=self.kind,
                fix="name the model's Hugging Face folder instead",
            )
        self._tensors = {_named(tensor.name): tensor for tensor in self._reader.tensors}
        scaled = [name for name in self._tensors if name.startswith("rope_")]
        if scaled or self.value("rope.scaling.type", "none") != "none":
            raise UserError(
                f"{file}: its places are scaled",
                expected="a model without rope scaling",
                received=", ".join(scaled) or str(self.value("rope.scaling.type")),
                fix="name the model's Hugging Face folder instead",
            )

    def value(self, key: str, default: Any = None) -> Any:
        """Returns what the file says under a key, with or without its architecture before it."""
        fields = self._reader.fields
        for name in (key, f"{getattr(self, 'kind', '')}.{key}"):
            if name in fields:
                return fields[name].contents()
        return default

    def __getitem__(self, name: str) -> Array:
        from gguf import dequantize

        tensor = self._tensors[name]
        shape = [int(size) for size in tensor.shape][::-1]
        found: Array = dequantize(tensor.data, tensor.tensor_type).astype(np.float32).reshape(shape)
        heads = {"q_proj": "attention.head_count", "k_proj": "attention.head_count_kv"}
        part = name.split(".")[-2]
        if self.kind == "llama" and part in heads:
            found = _in_halves(found, int(self.value(heads[part])))
        return found

    def __iter__(self) -> Iterator[str]:
        return iter(self._tensors)

    def __len__(self) -> int:
        return len(self._tensors)

    def config(self) -> dict[str, Any]:
        """Returns what Hugging Face's `config.json` says."""
        heads = int(self.value("attention.head_count"))
        return {
            "model_type": KINDS[self.kind],
            "hidden_size": int(self.value("embedding_length")),
            "intermediate_size": int(self.value("feed_forward_length")),
            "num_hidden_layers": int(self.value("block_count")),
            "num_attention_heads": heads,
            "num_key_value_heads": int(self.value("attention.head_count_kv", heads)),
            "head_dim": self.value("attention.key_length"),
            "vocab_size": len(self.value("tokenizer.ggml.tokens")),
            "rms_norm_eps": float(f"{self.value('attention.layer_norm_rms_epsilon'):.6g}"),
            "rope_theta": float(self.value("rope.freq_base", 10000.0)),
            "max_position_embeddings": int(self.value("context_length")),
            "tie_word_embeddings": "lm_head.weight" not in self._tensors,
            "hidden_act": "silu",
        }

    def tokenizer(self) -> tuple[Any, dict[str, Any]]:
        """Returns its tokenizer, of the `tokenizers` library, and `tokenizer_config.json`.

        Raises:
            UserError: It is no byte-level BPE, or parts texts by another rule than those known.
        """
        from textmill.models.causal_tokenizer import byte_level

        model, rule = self.value("tokenizer.ggml.model"), self.value("tokenizer.ggml.pre")
        if model != "gpt2" or (rule or "default") not in SPLITS:
            raise UserError(
                f"{self._file}: a serving graph for its tokenizer is not there yet",
                expected=f"model gpt2, with the rule {one_of(SPLITS)}",
                received=f"model {model}, with the rule {rule}",
                fix="take another model",
            )
        tokens: list[str] = self.value("tokenizer.ggml.tokens")
        kinds: list[int] = self.value("tokenizer.ggml.token_type")
        merges = [tuple(pair.split(" ")) for pair in self.value("tokenizer.ggml.merges", [])]
        special = tuple(t for t, kind in zip(tokens, kinds, strict=True) if kind in SPECIAL)
        made = byte_level(
            {token: i for i, token in enumerate(tokens)},
            merges,
            special,
            split=SPLITS[rule or "default"],  # type: ignore[arg-type]
        )
        about = {
            f"{name}_token": tokens[number]
            for name in ("bos", "eos")
            if (number := self.value(f"tokenizer.ggml.{name}_token_id")) is not None
        }
        return made, {**about, "chat_template": self.value("tokenizer.chat_template")}


@cache
def described(file: str, changed: float) -> Path:
    """Returns a folder with `config.json`, `tokenizer.json` and `tokenizer_config.json` of a file.

    It goes with the process.

    Args:
        file: A GGUF file.
        changed: When it was, so that another file of the name is read anew.
    """
    folder = Path(tempfile.mkdtemp(prefix="textmill-gguf-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    opened = GgufFile(Path(file))
    write_json(folder / "config.json", opened.config())
    tokenizer, about = opened.tokenizer()
    tokenizer.save(str(folder / "tokenizer.json"))
    write_json(folder / "tokenizer_config.json", about)
    return folder


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
    parts = name.split(".")
    if parts[0] == "blk" and parts[2] in _NAMES:
        return f"model.layers.{parts[1]}.{_NAMES[parts[2]]}.{parts[3]}"
    return f"{_NAMES[parts[0]]}.{parts[1]}" if parts[0] in _NAMES else name


def _in_halves(rows: Array, heads: int) -> Array:
    """Returns a matrix whose pairs of rows turn together as first and second halves of a head.

    llama.cpp has them side by side, and so permutes the rows of Llama's queries and keys.

    Example:
        >>> _in_halves(np.arange(4)[:, None], 1)[:, 0].tolist()
        [0, 2, 1, 3]
    """
    half = rows.shape[0] // heads // 2
    return rows.reshape(heads, half, 2, *rows.shape[1:]).swapaxes(1, 2).reshape(rows.shape)
