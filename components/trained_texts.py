"""Trained models that write, as Keras computes them, for `golden_texts` to ask."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from textmill.components.cleaning import Cleaning, clean
from textmill.components.golden_texts import Trained
from textmill.prompt_frame import PromptFrame, stripped

if TYPE_CHECKING:
    import keras
    from tokenizers import Tokenizer

    Read = Callable[[str], list[int]]


def trained_decoder(
    network: keras.Model,
    tokenizer: Tokenizer,
    about: dict[str, Any],
    longest: int,
    *,
    start: int,
) -> Trained:
    """Returns a causal language model.

    Args:
        network: KerasHub's.
        tokenizer: What it was trained with.
        about: Its `task.json`.
        longest: Tokens that a prompt and what comes behind it may have.
        start: What a prompt without a token consists of.
    """
    frame, inside = PromptFrame(**about["framing"]), _inside(tokenizer, about)

    def read(prompt: str, most: int) -> list[int]:
        ids = [*frame.before, *inside(prompt), *frame.after] or [start]
        return ids[-max(longest - most, (longest + 1) // 2) :]

    def logits(prompt: list[int], after: list[int]) -> Any:
        ids = np.array([[*prompt, *after]], np.int32)
        found = network({"token_ids": ids, "padding_mask": np.ones_like(ids)})
        return np.asarray(found)[0, len(prompt) - 1 :]

    return Trained(
        lambda prompt: longest - len(prompt),
        read,
        logits,
        None,
        encoder(tokenizer),
        tokenizer.decode,
    )


def trained_encoder_decoder(
    network: keras.Model, tokenizer: Tokenizer, about: dict[str, Any], *, start: int
) -> Trained:
    """Returns a sequence-to-sequence model; see `trained_decoder`."""
    frame, inside = PromptFrame(**about["framing"]), _inside(tokenizer, about)
    begin, longest = about["target_begin"], about["max_target_length"]
    most_read = about["max_source_length"] - len(frame.before) - len(frame.after)

    def read(prompt: str, _: int) -> list[int]:
        return [*frame.before, *inside(prompt)[:most_read], *frame.after] or [start]

    def logits(prompt: list[int], after: list[int]) -> Any:
        sides = {"encoder": prompt, "decoder": [*begin, *after]}
        given = {}
        for side, ids in sides.items():
            given[f"{side}_token_ids"] = np.array([ids], np.int32)
            given[f"{side}_padding_mask"] = np.ones([1, len(ids)], np.int32)
        with warnings.catch_warnings():
            # Of one token, attention has one place to go: it is as it should be.
            warnings.filterwarnings("ignore", "You are using a softmax over axis")
            return np.asarray(network(given))[0, len(begin) - 1 :]

    return Trained(
        lambda _: longest - len(begin),
        read,
        logits,
        list(begin),
        encoder(tokenizer),
        tokenizer.decode,
    )


def encoder(tokenizer: Tokenizer) -> Read:
    """Returns what makes token ids of a text by itself."""
    return lambda text: list(tokenizer.encode(text, add_special_tokens=False).ids)


def _inside(tokenizer: Tokenizer, about: dict[str, Any]) -> Read:
    """Returns what makes token ids of a prompt and the text around it, as they are for training."""
    import pyarrow as pa

    frame, rules, encode = (
        PromptFrame(**about["framing"]),
        Cleaning(**about["cleaning"]),
        encoder(tokenizer),
    )

    def inside(prompt: str) -> list[int]:
        (text,) = clean(pa.array([prompt], pa.string()), rules).to_pylist()
        return encode(frame.before_text + stripped(text, frame.strip) + frame.after_text)

    return inside
