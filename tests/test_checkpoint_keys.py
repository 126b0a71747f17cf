"""Each key of an encoder's config: computed with as in transformers, or refused by name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from checkpoint_keys import asked, changes, known, make, row
from huggingface_models import KINDS, rows
from textmill.artifact import read_json, write_json
from textmill.errors import UserError
from textmill.models.checkpoint import load_backbone
from textmill.models.checkpoint_config import Keys, check_config, defaults, read_config
from textmill.models.encoder_keys import ENCODER_KEYS, check_encoder
from textmill.models.heads import load_head, served_labels, task_of
from textmill.models.preset import Preset
from textmill.models.task import logits_of

DOCS = Path(__file__).parents[1] / "docs" / "checkpoints.md"


@pytest.mark.parametrize("kind", KINDS)
def test_each_key_that_transformers_knows_has_its_place(kind: str) -> None:
    """What the config class has, and what its modelling code asks a config for."""
    found = asked(kind)
    assert "vocab_size" in found
    # The class itself makes these of others.
    made = {"_attn_implementation", "num_labels"}
    if kind == "distilbert":
        made.add("hidden_size")  # another name of "dim"
    assert {*defaults(kind), *found} - made <= known(ENCODER_KEYS[kind])


def test_no_key_has_two_places() -> None:
    for kind, keys in ENCODER_KEYS.items():
        whole = keys.whole()
        every = [*whole.read, *whole.allowed, *sum(whole.without_effect.values(), ())]
        assert sorted(every) == sorted(set(every)), kind


def config(folder: Path, kind: str, **values: Any) -> Preset:
    write_json(folder / "config.json", {"model_type": kind, **values})
    return Preset(str(folder))


V3 = {
    "relative_attention": True,
    "position_biased_input": False,
    "pos_att_type": "p2c|c2p",
    "share_att_key": True,
    "norm_rel_ebd": "layer_norm",
    "position_buckets": 256,
}


@pytest.mark.parametrize(
    ("kind", "values", "key"),
    [
        ("bert", {"is_decoder": True}, "is_decoder True"),
        ("bert", {"add_cross_attention": True}, "add_cross_attention True"),
        ("bert", {"position_embedding_type": "relative_key"}, "position_embedding_type"),
        ("bert", {"quantization_config": {"quant_method": "gptq"}}, "quantization_config"),
        ("bert", {"per_layer_config": {"0": {"hidden_act": "relu"}}}, "per_layer_config"),
        ("bert", {"max_position_embeddings": 0}, "max_position_embeddings 0"),
        ("bert", {"hidden_act": 5}, r"config\.json does not suit a bert model"),
        ("electra", {"hidden_act": "swish"}, "hidden_act 'swish'"),
        ("roberta", {"pad_token_id": None}, "pad_token_id None"),
        ("xlm-roberta", {"pad_token_id": 511}, "max_position_embeddings 512"),
        ("albert", {"num_hidden_groups": 5}, "num_hidden_groups 5"),
        ("albert", {"num_hidden_groups": 0}, "num_hidden_groups 0"),
        ("distilbert", {"activation": "tanh"}, "activation 'tanh'"),
        ("deberta-v2", {}, "is not computed here"),
        ("deberta-v2", {**V3, "share_att_key": None}, "share_att_key None"),
        ("deberta-v2", {**V3, "position_buckets": -1}, "position_buckets -1"),
        ("deberta-v2", {k: V3[k] for k in [*V3][:-1]}, "position_buckets None"),
        ("deberta-v2", {**V3, "pooler_hidden_act": "tanh"}, "pooler_hidden_act 'tanh'"),
        ("deberta-v2", {**V3, "pooler_hidden_size": 8}, "pooler_hidden_size 8"),
        ("deberta-v2", {**V3, "attention_head_size": 8}, "attention_head_size 8"),
        ("deberta-v2", {**V3, "pos_att_type": ["c2p"]}, "pos_att_type"),
    ],
)
def test_what_is_not_computed_is_refused_by_name(
    kind: str, values: dict[str, Any], key: str, tmp_path: Path
) -> None:
    preset = config(tmp_path, kind, **values)
    with pytest.raises(UserError, match=key):
        check_encoder(preset, read_config(preset))


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "deberta-v2"])
def test_a_config_that_leaves_all_out_has_the_defaults_of_its_class(
    kind: str, tmp_path: Path
) -> None:
    preset = config(tmp_path, kind)
    found = read_config(preset)
    assert found == defaults(kind) | {"model_type": kind, "_name_or_path": ""}
    check_encoder(preset, found)


def test_older_names_of_keys_are_todays(tmp_path: Path) -> None:
    preset = config(tmp_path, "distilbert", num_hidden_layers=3, hidden_size=48, num_labels=3)
    found = read_config(preset)
    assert (found["n_layers"], found["dim"], len(found["id2label"])) == (3, 48, 3)


def test_a_key_that_nobody_has_thought_of_may_not_slip_in(tmp_path: Path) -> None:
    """As where a newer transformers has a key more."""
    some = Keys(tuple(known(ENCODER_KEYS["bert"]) - {"layer_norm_eps"}))
    check_config(usual := config(tmp_path, "bert"), read_config(usual), some)
    preset = config(tmp_path, "bert", layer_norm_eps=1e-5)
    with pytest.raises(UserError, match=r"layer_norm_eps in config\.json is not known") as told:
        check_config(preset, read_config(preset), some)
    assert (told.value.expected, told.value.received) == ("1e-12, as in models without it", "1e-05")


@pytest.mark.parametrize("kind", KINDS)
def test_the_documentation_has_the_table(kind: str) -> None:
    assert row(kind, ENCODER_KEYS[kind]) in DOCS.read_text("utf-8").splitlines()


@pytest.fixture(scope="module")
def changed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Small models of each kind, each with one key changed, and what transformers makes of it."""
    folder = tmp_path_factory.mktemp("changed")
    make(folder, {k: list(changes(k, defaults(k), known(ENCODER_KEYS[k]))) for k in KINDS})
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_a_changed_key_is_computed_with_or_refused_by_name(kind: str, changed: Path) -> None:
    wrong, refused = [], 0
    for folder in sorted((changed / kind).iterdir()):
        key, value = read_json(folder / "change.json")
        try:
            found = _logits(Preset(str(folder)))
        except UserError as error:
            refused += 1
            if key not in error.what:
                wrong.append((key, value, str(error)))
        else:
            off = np.abs(found - np.load(folder / "logits.npy")).max()
            if off > 1e-4:
                wrong.append((key, value, f"off by {off:.2g}"))
    assert not wrong
    assert 0 < refused < len(list((changed / kind).iterdir())) / 2


def _logits(preset: Preset) -> Any:
    task, names = task_of(preset), served_labels(preset)
    backbone = load_backbone(preset, vocabulary_size=0, dropout=0.1)
    network = task.build(backbone, names, dropout=0.1)
    load_head(network, preset)
    return logits_of(network, *rows(preset.config()["model_type"]))
