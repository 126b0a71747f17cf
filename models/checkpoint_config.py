"""What a checkpoint's `config.json` says, as transformers reads it, and whether we compute it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from textmill.errors import UserError, one_of
from textmill.models.preset import Preset

# What no number depends on, in a model of any kind.
_NAMES = ("_name_or_path", "architectures", "label2id", "model_type", "transformers_version")
_HOW = (
    "chunk_size_feed_forward",
    "dtype",
    "initializer_range",
    "output_attentions",
    "output_hidden_states",
    "return_dict",
    "use_cache",
)


@dataclass(frozen=True)
class Keys:
    """What becomes of each key of a kind's config.

    Attributes:
        read: Those whose values we compute with, or check where they are read.
        allowed: Those of which we compute some values only. Of one that the config class does not
            know, `None` stands for its absence.
        without_effect: Why -> those that no number depends on.
    """

    read: tuple[str, ...]
    allowed: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    without_effect: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def whole(self) -> Keys:
        """Returns them with those that all kinds have in common."""
        return Keys(
            ("id2label", "problem_type", *self.read),
            {"quantization_config": (None,), "per_layer_config": (None,), **self.allowed},
            {"names": _NAMES, "how, not what, is computed": _HOW, **self.without_effect},
        )


def read_config(preset: Preset) -> dict[str, Any]:
    """Returns `config.json` with what it leaves out, under the names of today.

    What a file does not say is as the config class of transformers has it, which also knows older
    names of keys. Keys that the class does not know are kept.

    Args:
        preset: A Hugging Face model. A config of KerasHub, or of a kind that transformers does not
            know, is returned as it is.

    Raises:
        UserError: A value is not of the type that its key has.
    """
    raw = preset.config()
    kind = raw.get("model_type")
    found = _class(kind)
    if found is None:
        return raw
    # A type of numbers in the file would have transformers import torch, if it is there.
    given = {key: value for key, value in raw.items() if key not in ("dtype", "torch_dtype")}
    try:
        known: dict[str, Any] = found.from_dict(given).to_dict()
    except Exception as error:  # each class checks what it is given with errors of its own
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        raise UserError(
            f"{preset.name}: config.json does not suit a {kind} model",
            expected=f"the config of a {kind} model, as transformers writes it",
            received=" ".join(lines)[:200] or type(error).__name__,
            fix="take the folder again from where it came, or another model",
        ) from error
    return {**raw, **known}


def check_config(preset: Preset, config: Mapping[str, Any], keys: Keys) -> None:
    """Raises where a config says what we do not compute, or what nobody here has thought of.

    Args:
        preset: Whose it is.
        config: As `read_config` returns it.
        keys: What becomes of each key; those of all kinds are added.

    Raises:
        UserError: A key has a value that we do not compute; or it is new, and its value is not the
            one that models without it have.
    """
    whole, kind = keys.whole(), config["model_type"]
    for key, values in whole.allowed.items():
        if config.get(key) not in values:
            raise UserError(
                f"{preset.name}: {key} {config.get(key)!r} is not computed here",
                expected=f"{key} {one_of(map(repr, values))} in config.json of a {kind} model",
                received=repr(config.get(key)),
                fix="take another model",
            )
    known = {*whole.read, *whole.allowed}.union(*whole.without_effect.values())
    for key, usual in defaults(kind).items():
        if key not in known and config.get(key) != usual:
            raise UserError(
                f"{preset.name}: {key} in config.json is not known here",
                expected=f"{usual!r}, as in models without it",
                received=repr(config.get(key)),
                fix="take another model",
            )


def defaults(kind: str) -> dict[str, Any]:
    """Returns the keys of a kind's config class in transformers, and the values they have unset.

    Example:
        >>> defaults("distilbert")["n_layers"]
        6
    """
    found = _class(kind)
    return {} if found is None else found().to_dict()


def longest_row(config: Mapping[str, Any]) -> int:
    """Returns the tokens that an encoder has position embeddings for.

    Args:
        config: As `read_config` returns it.
    """
    return int(config["max_position_embeddings"]) - first_position(config)


def first_position(config: Mapping[str, Any]) -> int:
    """Returns the row of the position embeddings that the first token gets.

    RoBERTa and XLM-RoBERTa count from the one behind that of padding.

    Source: `create_position_ids_from_input_ids` in transformers 5.24, `modeling_roberta.py`.

    Example:
        >>> first_position({"model_type": "roberta", "pad_token_id": 3})
        4
    """
    if config["model_type"] not in ("roberta", "xlm-roberta"):
        return 0
    padding = config["pad_token_id"]
    return 0 if padding is None else int(padding) + 1


def _class(kind: str | None) -> Any:
    from transformers import CONFIG_MAPPING

    try:
        return CONFIG_MAPPING[str(kind)]
    except KeyError:
        return None
