"""What becomes of each key in the config of an encoder's checkpoint.

`docs/checkpoints.md` shows these tables. Where a key is without effect, it is so in transformers
5.24 too: in what `modeling_bert.py` and the like compute for a classifier that is not trained.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from textmill.errors import UserError
from textmill.models.checkpoint_config import Keys, check_config, longest_row
from textmill.models.numerics import ACTIVATIONS
from textmill.models.preset import Preset

_SIZES = (
    "hidden_size",
    "intermediate_size",
    "layer_norm_eps",
    "max_position_embeddings",
    "num_attention_heads",
    "num_hidden_layers",
    "vocab_size",
)
_ACTIVATION = {"hidden_act": tuple(ACTIVATIONS)}
# Transformers 4 knew relative positions here; they need weights of their own.
_ABSOLUTE = {"position_embedding_type": ("absolute", None), "is_encoder_decoder": (False,)}
_NO_DECODER = {"is_decoder": (False,), "add_cross_attention": (False,)}
_DROPOUT = ("attention_probs_dropout_prob", "hidden_dropout_prob")
_ENDS = ("bos_token_id", "eos_token_id")
_MASKED = "for masked words"  # a head's, that has no part in a classifier
_TRAINING = "for training"
_TOKENS = "the tokenizer says it"

BERT = Keys(
    (*_SIZES, "type_vocab_size"),
    {**_ACTIVATION, **_ABSOLUTE, **_NO_DECODER},
    {
        _TRAINING: (*_DROPOUT, "classifier_dropout"),
        _TOKENS: (*_ENDS, "pad_token_id"),
        _MASKED: ("tie_word_embeddings",),
    },
)
ROBERTA = Keys(
    (*_SIZES, "pad_token_id", "type_vocab_size"),
    BERT.allowed,
    {
        _TRAINING: (*_DROPOUT, "classifier_dropout"),
        _TOKENS: _ENDS,
        _MASKED: ("tie_word_embeddings",),
    },
)
ELECTRA = Keys(
    (*_SIZES, "embedding_size", "type_vocab_size"),
    BERT.allowed,
    {
        **BERT.without_effect,
        "for multiple choice": (
            "summary_activation",
            "summary_first_dropout",
            "summary_last_dropout",
            "summary_proj_to_labels",
            "summary_type",
            "summary_use_proj",
        ),
    },
)
ALBERT = Keys(
    (*_SIZES, "embedding_size", "inner_group_num", "num_hidden_groups", "type_vocab_size"),
    {**_ACTIVATION, **_ABSOLUTE},
    {**BERT.without_effect, _TRAINING: (*_DROPOUT, "classifier_dropout_prob")},
)
DISTILBERT = Keys(
    ("dim", "hidden_dim", "max_position_embeddings", "n_heads", "n_layers", "vocab_size"),
    {"activation": tuple(ACTIVATIONS), **_ABSOLUTE},
    {
        **BERT.without_effect,
        _TRAINING: ("attention_dropout", "dropout", "qa_dropout", "seq_classif_dropout"),
        # They are the values with which the position embeddings begin.
        "in the weights": ("sinusoidal_pos_embds",),
    },
)
DEBERTA = Keys(
    (
        *_SIZES,
        "attention_head_size",
        "embedding_size",
        "max_relative_positions",
        "pooler_hidden_size",
        "position_buckets",
    ),
    {
        **_ACTIVATION,
        "conv_kernel_size": (0, None),
        "is_encoder_decoder": (False,),
        "norm_rel_ebd": ("layer_norm",),
        "pooler_hidden_act": ("gelu", "gelu_python"),
        "pos_att_type": (["c2p", "p2c"], ["p2c", "c2p"]),
        "position_biased_input": (False,),
        "relative_attention": (True,),
        "share_att_key": (True,),
        "type_vocab_size": (0,),
    },
    {
        **BERT.without_effect,
        _TRAINING: (*_DROPOUT, "cls_dropout", "pooler_dropout"),
        _MASKED: ("legacy", "tie_word_embeddings"),
        "of a convolution that is not there": ("conv_act", "conv_groups"),
    },
)
ENCODER_KEYS = {
    "albert": ALBERT,
    "bert": BERT,
    "deberta-v2": DEBERTA,
    "distilbert": DISTILBERT,
    "electra": ELECTRA,
    "roberta": ROBERTA,
    "xlm-roberta": ROBERTA,
}


def check_encoder(preset: Preset, config: Mapping[str, Any]) -> None:
    """Raises where an encoder's config says what is not computed here.

    Args:
        preset: Whose it is.
        config: As `read_config` returns it, of a kind of `ENCODER_KEYS`.

    Raises:
        UserError: A key has a value that is not computed, or the tables do not know it.
    """
    kind = config["model_type"]
    check_config(preset, config, ENCODER_KEYS[kind])
    for key, suits, wanted in _sizes(kind, config):
        if not suits:
            raise UserError(
                f"{preset.name}: {key} {config.get(key)!r} is not computed here",
                expected=f"{key} {wanted} in config.json of a {kind} model",
                received=repr(config.get(key)),
                fix="take another model",
            )


def _sizes(kind: str, config: Mapping[str, Any]) -> Iterator[tuple[str, bool, str]]:
    """Yields keys of numbers, whether KerasHub's layers have this one, and which they have."""
    if "type_vocab_size" in ENCODER_KEYS[kind].read:
        yield "type_vocab_size", config["type_vocab_size"] > 0, "of 1 or more"
    if "pad_token_id" in ENCODER_KEYS[kind].read:
        yield "pad_token_id", config["pad_token_id"] is not None, "the id of a token"
    longest = longest_row(config)
    yield "max_position_embeddings", longest > 0, "more than come before the first token's"
    if kind == "albert":
        groups = config["num_hidden_groups"]
        fits = groups > 0 and config["num_hidden_layers"] % groups == 0
        yield "num_hidden_groups", fits, "by which num_hidden_layers can be divided"
    if kind == "deberta-v2":
        width = config["hidden_size"]
        size = width // max(1, config["num_attention_heads"])
        for key, only in (
            ("attention_head_size", size),
            ("embedding_size", width),
            ("pooler_hidden_size", width),
        ):
            yield key, config.get(key, only) == only, str(only)
        yield "position_buckets", config.get("position_buckets", -1) > 1, "of 2 or more"
