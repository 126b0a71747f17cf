"""Writes a Llama checkpoint as GGUF files, which llama.cpp reads.

    python benchmarks/gguf_files.py CHECKPOINT OUT_DIR [--kinds F32 Q8_0] [--tokenizer smollm]

CHECKPOINT is a Hugging Face folder with a byte-level BPE tokenizer. The tokenizer's name tells
llama.cpp how texts are split: https://github.com/ggml-org/llama.cpp/blob/master/docs/development.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np

NAMES = {
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}
OUTER = {"model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output"}
NORMAL, CONTROL = 1, 3  # types of tokens


def write_gguf(checkpoint: Path, file: Path, kind: str, tokenizer: str = "smollm") -> None:
    """Writes a checkpoint, its matrices as numbers of a kind: F32 or Q8_0, say."""
    from gguf import GGMLQuantizationType, GGUFWriter
    from gguf.quants import quantize
    from safetensors.numpy import load_file

    config = json.loads((checkpoint / "config.json").read_text())
    heads, width = config["num_attention_heads"], config["hidden_size"]
    key_heads = config["num_key_value_heads"]
    writer = GGUFWriter(str(file), "llama")
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(width)
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(heads)
    writer.add_head_count_kv(key_heads)
    writer.add_rope_dimension_count(width // heads)
    rope = config.get("rope_parameters") or config  # as transformers writes it since version 5
    writer.add_rope_freq_base(rope["rope_theta"])
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_vocab_size(config["vocab_size"])
    _add_tokenizer(writer, checkpoint, config, tokenizer)
    matrix = GGMLQuantizationType[kind]
    for name, value in load_file(checkpoint / "model.safetensors").items():
        value = value.astype(np.float32)
        name = name.removesuffix(".weight")
        if name in OUTER:
            name = OUTER[name]
        else:
            _, _, layer, part = name.split(".", 3)
            if part.endswith(("q_proj", "k_proj")):
                value = _side_by_side(value, heads if part.endswith("q_proj") else key_heads)
            name = f"blk.{layer}.{NAMES[part]}"
        type_ = matrix if value.ndim == 2 else GGMLQuantizationType.F32
        writer.add_tensor(f"{name}.weight", quantize(value, type_), raw_dtype=type_)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _add_tokenizer(writer: Any, checkpoint: Path, config: dict[str, Any], name: str) -> None:
    spec = json.loads((checkpoint / "tokenizer.json").read_text())
    ids: dict[str, int] = dict(spec["model"]["vocab"])
    special = {each["content"] for each in spec["added_tokens"] if each["special"]}
    ids |= {each["content"]: each["id"] for each in spec["added_tokens"]}
    tokens = sorted(ids, key=lambda token: ids[token])
    merges = [m if isinstance(m, str) else " ".join(m) for m in spec["model"]["merges"]]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(name)
    writer.add_token_list(tokens)
    writer.add_token_types([CONTROL if token in special else NORMAL for token in tokens])
    writer.add_token_merges(merges)
    writer.add_bos_token_id(config["bos_token_id"])
    writer.add_eos_token_id(config["eos_token_id"])


def _side_by_side(rows: Any, heads: int) -> Any:
    """Returns a matrix whose rows that turn together stand side by side, half a head apart before.

    Example:
        >>> _side_by_side(np.arange(4)[:, None], 1)[:, 0].tolist()
        [0, 2, 1, 3]
    """
    half = len(rows) // heads // 2
    return rows.reshape(heads, 2, half, -1).swapaxes(1, 2).reshape(rows.shape)


def main() -> None:
    """Writes the files."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--kinds", nargs="*", default=["F32", "Q8_0"])
    parser.add_argument("--tokenizer", default="smollm")
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    for kind in given.kinds:
        write_gguf(given.checkpoint, given.out / f"{kind}.gguf", kind, given.tokenizer)


if __name__ == "__main__":
    main()
