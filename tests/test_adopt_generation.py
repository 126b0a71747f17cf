"""A checkpoint that writes, exported: begun, decoded and ended as its own files say."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from exported import asked
from hearing import warnings_heard
from textmill.artifact import Model, Saved
from textmill.components.adopt_generation import adopt_generation
from textmill.components.export_generation import export_generation
from textmill.models.causal_tokenizer import byte_level
from textmill.models.preset import Preset
from textmill.models.tokenizer_training import train_gpt2_tokenizer
from textmill.serving.defaults import GREEDY

WIDTH, VOCABULARY, POSITIONS = 16, 300, 48
HOW: dict[str, Any] = {
    "eos_token_id": [0, 40],
    "no_repeat_ngram_size": 2,
    "min_length": 6,
    "suppress_tokens": [50, 51],
    "begin_suppress_tokens": [60, 61],
    "bad_words_ids": [[70], [71, 72]],
    "forced_eos_token_id": 40,
    "do_sample": True,
    "temperature": 0.7,
    "min_p": 0.1,
}


def gpt2(folder: Path, **how: Any) -> Preset:
    """Writes a random GPT-2 of one layer whose tokenizer puts nothing around a text."""
    from safetensors.numpy import save_file

    random = np.random.default_rng(0)
    shapes = {
        "wte.weight": (VOCABULARY, WIDTH),
        "wpe.weight": (POSITIONS, WIDTH),
        "h.0.attn.c_attn.weight": (WIDTH, 3 * WIDTH),
        "h.0.attn.c_attn.bias": (3 * WIDTH,),
        "h.0.attn.c_proj.weight": (WIDTH, WIDTH),
        "h.0.mlp.c_fc.weight": (WIDTH, 4 * WIDTH),
        "h.0.mlp.c_fc.bias": (4 * WIDTH,),
        "h.0.mlp.c_proj.weight": (4 * WIDTH, WIDTH),
    }
    norms = ("h.0.ln_1", "h.0.ln_2", "ln_f")
    one_each = [*(f"{n}.bias" for n in norms), *(f"{n}.weight" for n in norms)]
    one_each += ["h.0.attn.c_proj.bias", "h.0.mlp.c_proj.bias"]
    made = {name: random.normal(0, 1, shape) for name, shape in shapes.items()}
    made |= {name: random.normal(1, 0.1, WIDTH) for name in one_each}
    tensors = {f"transformer.{name}": x.astype(np.float32) for name, x in made.items()}
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    config = {
        "architectures": ["GPT2LMHeadModel"], "model_type": "gpt2", "vocab_size": VOCABULARY,
        "n_embd": WIDTH, "n_head": 2, "n_layer": 1, "n_positions": POSITIONS,
    }  # fmt: skip
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "generation_config.json").write_text(json.dumps(how))
    trained = json.loads(train_gpt2_tokenizer(["The sea, the rain."] * 9, VOCABULARY).to_str())
    merges = [tuple(pair) for pair in trained["model"]["merges"]]
    tokenizer = byte_level(trained["model"]["vocab"], merges, ("<|endoftext|>",))
    tokenizer.save(str(folder / "tokenizer.json"))
    about = {"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": "<|endoftext|>"}
    (folder / "tokenizer_config.json").write_text(json.dumps(about))
    return Preset(str(folder))


def exported(preset: Preset, folder: Path) -> tuple[Path, dict[str, Any]]:
    model, saved = Model(folder / "model", "d" * 64), Saved(folder / "saved")
    adopt_generation(model, checkpoint=preset)
    export_generation(saved, model)
    return saved.path, saved.manifest()


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any], list[str]]:
    folder = tmp_path_factory.mktemp("gpt2")
    with warnings_heard() as heard:
        found = exported(gpt2(folder, bos_token_id=90, **HOW), folder)
    return *found, heard


def test_the_manifest_says_how_it_decodes(made: tuple[Path, dict[str, Any], list[str]]) -> None:
    _, manifest, heard = made
    assert (manifest["stop"], manifest["start"]) == ([0, 40], 90)
    assert manifest["framing"]["before"] == []
    wanted = {"temperature": 0.7, "top_k": 50, "max_new_tokens": POSITIONS // 2}
    assert manifest["defaults"] == GREEDY._replace(**wanted)._asdict()  # type: ignore[arg-type]
    assert manifest["processors"] == {
        "no_repeat_ngram_size": 2,
        "min_length": 6,
        "forced_eos": [40],
        "suppressed": [50, 51],
        "suppressed_first": [60, 61],
        "bad_words": [[70], [71, 72]],
    }
    assert [line for line in heard if "generation_config" in line] == [
        "generation_config.json: min_p = 0.1 is left out: the graph does not do that"
    ]


def test_golden_rows_are_answered(made: tuple[Path, dict[str, Any], list[str]]) -> None:
    """Those of Keras, to which the same was done a text at a time; an empty one is among them."""
    folder, manifest, _ = made
    rows = manifest["golden"]
    assert "" in [row["prompt"] for row in rows]
    assert sum(row["max_new_tokens"] > 4 for row in rows) > 4
    wishes = {name: [value] * len(rows) for name, value in GREEDY.wishes().items()}
    wishes["max_new_tokens"] = [row["max_new_tokens"] for row in rows]
    prompts = [row["prompt"].encode() for row in rows]
    found = asked(folder, "generate", prompt=prompts, **wishes)
    assert [text.decode() for text in found["text"]] == [row["answer"] for row in rows]
    answers = [row["answer"].encode() for row in rows]
    likely = asked(folder, "score", prompt=prompts, continuation=answers)["log_probability"]
    np.testing.assert_allclose(likely, [row["log_probability"] for row in rows], rtol=1e-4)


def test_where_no_file_says_how_an_empty_prompt_begins(tmp_path: Path) -> None:
    model = Model(tmp_path / "model", "d" * 64)
    with warnings_heard() as heard:
        adopt_generation(model, checkpoint=gpt2(tmp_path))
    about = model.task()
    assert (about["start"], about["stop"]) == (0, [])
    assert [line.partition(": ")[0] for line in heard] == [
        str(tmp_path),  # its tokenizer's token ends no text, for generate() does not know it
        "no file says bos_token_id",
    ]
