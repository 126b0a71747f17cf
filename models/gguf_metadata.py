"""What a GGUF file says of its model: read, known to be without effect, or refused by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from textmill.errors import UserError

# Keys behind the name of an architecture, such as `llama.`. What `GgufFile.config` reads:
READ = (
    "attention.head_count",
    "attention.head_count_kv",
    "attention.key_length",
    "attention.layer_norm_rms_epsilon",
    "block_count",
    "context_length",
    "embedding_length",
    "feed_forward_length",
    "rope.freq_base",
)
NEEDED = tuple(
    key
    for key in READ
    if key not in ("attention.head_count_kv", "attention.key_length", "rope.freq_base")
)
# Without effect: llama.cpp counts tokens instead; the others say how scaled places came about, and
# scaled ones are refused.
WITHOUT_EFFECT = (
    "vocab_size",
    "rope.scaling.finetuned",
    "rope.scaling.original_context_length",
)
# What Llama and Qwen 2 have once and for all: the values that a key may have.
FIXED: Mapping[str, tuple[Any, ...]] = {
    "attention.causal": (True,),
    "attention.clamp_kqv": (0,),
    "attention.max_alibi_bias": (0,),
    "attention.scale": (0,),
    "attention.sliding_window": (0,),
    "embedding_scale": (0, 1),
    "expert_count": (0,),
    "expert_used_count": (0,),
    "logit_scale": (0, 1),
    "pooling_type": (0,),
    "residual_scale": (0, 1),
    "rope.scale_linear": (0, 1),
    "rope.scaling.attn_factor": (0, 1),
    "rope.scaling.factor": (0, 1),
    "rope.scaling.type": ("none",),
    "tensor_data_layout": ("Meta AI original pth",),
}
# Of the whole file, likewise.
WHOLE: Mapping[str, tuple[Any, ...]] = {"general.type": ("model",), "split.count": (0, 1)}


def check_metadata(name: str, said: Mapping[str, Any], kind: str) -> None:
    """Refuses a file that says of its model what would not be heeded.

    Keys of other beginnings, such as `general.` and `quantize.`, tell of the file; those that begin
    with `tokenizer.` are the tokenizer's.

    Args:
        name: Of the file, for messages.
        said: All that it says.
        kind: Its architecture.

    Raises:
        UserError: A key is missing, unknown, or has a value that the layers do not compute.

    Source: https://github.com/ggml-org/llama.cpp/blob/master/gguf-py/gguf/constants.py.

    Example:
        >>> check_metadata("a.gguf", {"llama.expert_count": 8}, "llama")
        Traceback (most recent call last):
        ...
        textmill.errors.UserError: a.gguf: llama.expert_count 8 is not computed here
          expected: 0
          received: 8
          fix:      name the model's Hugging Face folder instead, or take another model
    """
    if "split.count" in said and said["split.count"] > 1:
        raise UserError(
            f"{name}: it is a part of a model",
            expected="one file",
            received=f"split.count {said['split.count']}",
            fix="put the parts together: llama-gguf-split --merge FIRST_PART WHOLE",
        )
    for key, value in WHOLE.items():
        _allow(name, key, said.get(key, value[0]), value)
    own = {
        key.removeprefix(f"{kind}."): value
        for key, value in said.items()
        if key.startswith(f"{kind}.")
    }
    alike = {key: _alike(name, f"{kind}.{key}", value) for key, value in own.items()}
    for key, value in alike.items():
        if key in FIXED:
            wide = key == "attention.sliding_window" and value >= alike.get("context_length", 0)
            _allow(name, f"{kind}.{key}", 0 if wide else value, FIXED[key])
        elif key not in (*READ, *WITHOUT_EFFECT, *_SIZES):
            raise _not_computed(name, f"{kind}.{key}", value, "a key that is known")
    missing = [key for key in NEEDED if key not in alike]
    if missing:
        raise UserError(
            f"{name}: it does not say {kind}.{missing[0]}",
            expected=f"all of {', '.join(NEEDED)}",
            received=f"none of {', '.join(missing)}",
            fix="take the file again from where it came",
        )
    for key, size in _SIZES.items():
        if key in alike:
            _allow(name, f"{kind}.{key}", alike[key], (size(alike),))


def one_value(value: Any) -> Any:
    """Returns what a key says of all layers alike, be it a number or one a layer.

    Example:
        >>> one_value([2, 2, 2]), one_value(2)
        (2, 2)
    """
    return value[0] if isinstance(value, list) and len(set(value)) == 1 else value


def _head_size(said: Mapping[str, Any]) -> int:
    whole = said["embedding_length"] // said["attention.head_count"]
    return int(said.get("attention.key_length", whole))


# Keys that must say what others say too.
_SIZES: Mapping[str, Callable[[Mapping[str, Any]], int]] = {
    "attention.value_length": _head_size,
    "rope.dimension_count": _head_size,
}


def _alike(name: str, key: str, value: Any) -> Any:
    found = one_value(value)
    if isinstance(found, list):
        raise _not_computed(name, key, found, "one value for all layers")
    return found


def _allow(name: str, key: str, value: Any, known: tuple[Any, ...]) -> None:
    if value not in known:
        raise _not_computed(name, key, value, str(known[0]))


def _not_computed(name: str, key: str, value: Any, expected: str) -> UserError:
    return UserError(
        f"{name}: {key} {value} is not computed here"[:300],
        expected=expected,
        received=str(value)[:100],
        fix="name the model's Hugging Face folder instead, or take another model",
    )
