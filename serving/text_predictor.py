"""Texts that a SavedModel writes in this process, for any number of prompts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from textmill.artifact import read_manifest
from textmill.errors import UserError, nearest, one_of
from textmill.quiet import import_tensorflow
from textmill.serving.contract import find_model
from textmill.serving.defaults import GREEDY, Defaults, check_defaults
from textmill.serving.generator import DEFAULT, GENERATE, OF_BEAMS, PROMPT
from textmill.serving.heads import BEAMS
from textmill.serving.predictor import checked_signature, valid
from textmill.serving.signatures import signatures_of

BATCH = 8  # prompts that are answered together; the first answers should come soon


class TextPredictor:
    """A model that writes, loaded from a SavedModel.

    Args:
        model_dir: A version's folder, or a base folder, which stands for its newest version.
        wishes: How to decode, by the names of `textmill.serving.defaults.Defaults`; what is left
            out is as the model was exported. Of a model with beams, num_beams = 1 puts them away.

    Raises:
        UserError: There is no model, it lacks a signature that the contract asks for, or a wish
            is unknown.
    """

    def __init__(self, model_dir: Path, wishes: Mapping[str, float] | None = None) -> None:
        folder = find_model(model_dir)
        import_tensorflow()
        import tensorflow as tf

        manifest = read_manifest(folder)
        wishes = dict(wishes or {})
        name, self._wishes = DEFAULT, {}
        if wishes:
            found = _possible(wishes, manifest)
            name, self._wishes = GENERATE, found.wishes()
            if found.num_beams > 1:
                name, self._wishes = BEAMS, {each: getattr(found, each) for each in OF_BEAMS}
        checked_signature(folder, name, signatures_of(manifest)[name])
        self._model = tf.saved_model.load(str(folder))  # the signature lives as long as this does
        self._ask, self._asks = self._model.signatures[name], manifest["asks"]

    def __call__(self, prompts: Iterable[str]) -> Iterator[dict[str, Any]]:
        """Yields an answer for each prompt: `prompt`, `text` and `tokens_generated`.

        Of a model that reads one text and writes another, `source` is in the place of `prompt`.
        """
        import tensorflow as tf

        key, left = PROMPT if self._asks == PROMPT else "source", iter(prompts)
        while batch := list(islice(left, BATCH)):
            given = {self._asks: tf.constant([valid(text) for text in batch])}
            for name, value in self._wishes.items():
                kind = tf.float32 if isinstance(value, float) else tf.int32
                given[name] = tf.fill([len(batch)], tf.constant(value, kind))
            said = self._ask(**given)
            texts, counts = said["text"].numpy(), said["tokens_generated"].numpy()
            for prompt, text, count in zip(batch, texts, counts, strict=True):
                yield {key: prompt, "text": text.decode(), "tokens_generated": int(count)}


def _possible(wishes: Mapping[str, float], manifest: Mapping[str, Any]) -> Defaults:
    """Returns how a text is decoded of which some things are wished for."""
    numbers: dict[str, float] = dict(manifest["defaults"])
    for name, value in wishes.items():
        if name not in GREEDY._fields:
            like = nearest(name, GREEDY._fields)
            raise UserError(
                f"{name} is nothing that can be wished for",
                expected=one_of(GREEDY._fields),
                received=repr(name),
                fix=f"did you mean {like}?" if like else "take one of these",
            )
        whole = isinstance(getattr(GREEDY, name), int)
        if whole and value != int(value):
            raise UserError(
                f"{name} = {value:g} can't be",
                expected="a whole number",
                received=f"{value:g}",
                fix=f"take {name}={value:.0f}",
            )
        numbers[name] = int(value) if whole else float(value)
    found = Defaults(**numbers)  # type: ignore[arg-type]
    beams = manifest["defaults"].get("num_beams", 1)
    if found.num_beams not in (1, beams):
        raise UserError(
            f"num_beams = {found.num_beams} can't be",
            expected=one_of(map(str, sorted({1, beams}))),
            received=str(found.num_beams),
            fix=f"export the model with num_beams = {found.num_beams}",
        )
    check_defaults(found, longest=manifest["longest"])
    return found
