"""Each key of the configs of models that write: read, without effect, or refused by name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from checkpoint_keys import asked, known, row
from decoder_walk import KINDS, given, make
from textmill.errors import UserError
from textmill.models import causal_lm, seq2seq
from textmill.models.checkpoint_config import check_config, defaults, read_config
from textmill.models.decoder_keys import BART, DECODER_KEYS
from textmill.models.decoders import load_decoder
from textmill.models.encoder_decoders import load_encoder_decoder
from textmill.models.preset import Preset

# Keys that are not walked.
UNCHANGED = {
    "architectures": "it names the class",
    "dtype": "weights would be rounded",
    "model_type": "another kind of model",
    "transformers_version": "it is not read",
}
# Those with which transformers itself makes no model, or computes nothing.
IMPOSSIBLE = {
    **dict.fromkeys(KINDS, ("return_dict",)),
    "gemma2": ("return_dict", "sliding_window"),  # none
    "qwen2": ("return_dict", "layer_types"),  # sliding ones, and no window
}

Walks = dict[str, list[dict[str, Any]]]


@pytest.fixture(scope="module")
def walks(tmp_path_factory: pytest.TempPathFactory) -> Walks:
    return make(tmp_path_factory.mktemp("walks"))


ALL = {**DECODER_KEYS, "bart": BART}
DOCS = Path(__file__).parents[1] / "docs" / "checkpoints.md"
# What the class makes of other keys, or knows under another name.
MADE = {
    "_attn_implementation",
    "hidden_size",
    "max_position_embeddings",
    "num_attention_heads",
    "num_hidden_layers",
    "num_labels",
}


@pytest.mark.parametrize("kind", ALL)
def test_each_key_that_transformers_knows_has_its_place(kind: str) -> None:
    """What the config class has, and what its modelling code asks a config for."""
    assert {*defaults(kind), *asked(kind)} - MADE <= known(ALL[kind])
    whole = ALL[kind].whole()
    every = [*whole.read, *whole.allowed, *sum(whole.without_effect.values(), ())]
    assert sorted(every) == sorted(set(every))


@pytest.mark.parametrize("kind", ALL)
def test_the_documentation_has_the_table(kind: str) -> None:
    assert row(kind, ALL[kind]) in DOCS.read_text("utf-8").splitlines()


def logits(kind: str, preset: Preset) -> Any:
    """Returns what KerasHub's layers say of `given`, [tokens, vocabulary]."""
    load = load_encoder_decoder if kind == "bart" else load_decoder
    backbone = load(preset, vocabulary_size=0, dropout=0.0)
    ids = [np.array(row, np.int32) for row in given(kind).values()]
    if kind != "bart":
        model = causal_lm.task_class(backbone)(backbone=backbone)
        return model({"token_ids": ids[0], "padding_mask": np.ones_like(ids[0])})[0]
    tokens = dict(zip(("encoder_token_ids", "decoder_token_ids"), ids, strict=True))
    masks = dict(zip(("encoder_padding_mask", "decoder_padding_mask"), ids, strict=True))
    model = seq2seq.task_class(backbone)(backbone=backbone)
    return model({**tokens, **{name: np.ones_like(row) for name, row in masks.items()}})[0]


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_a_changed_key_gives_the_logits_of_transformers_or_is_refused(
    kind: str, walks: Walks
) -> None:
    keys = ALL[kind].whole()
    without_effect = {key for some in keys.without_effect.values() for key in some}
    usual, *walk = walks[kind]
    wrong, refused = [], set()
    for each in walk:
        changed = each["changed"]
        if changed.keys() & UNCHANGED.keys():
            continue
        if "folder" not in each:
            if not changed.keys() & set(IMPOSSIBLE[kind]):
                wrong.append(f"{changed}: transformers says {each['failed']}")
            continue
        wanted = np.load(f"{each['folder']}/logits.npy")
        preset = Preset(each["folder"])
        try:
            if changed.keys() <= without_effect:
                check_config(preset, read_config(preset), keys)
                found = np.load(f"{usual['folder']}/logits.npy")
            else:
                found = logits(kind, preset)
        except UserError as error:
            refused |= changed.keys()
            if not any(key in str(error) for key in changed):
                wrong.append(f"{changed}: refused as {error}")
            continue
        apart = np.abs(found - wanted).max()
        if not apart < 1e-3:
            wrong.append(f"{changed}: {apart:.3g} apart")
    assert not wrong, "\n".join(wrong)
    assert keys.allowed.keys() & refused
    assert not without_effect & refused
