"""Small decoders as they are served, and what they put behind prompts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import tensorflow as tf

import generating_models
from generating_models import LONGEST, NEW
from textmill.models.decoder_serving_weights import decoder_serving_weights
from textmill.serving.beams import search
from textmill.serving.decoder import Decoder
from textmill.serving.defaults import Defaults, kind_of
from textmill.serving.endings import Endings
from textmill.serving.generation import generate
from textmill.serving.precision import PRECISIONS, Name
from textmill.serving.processors import Processors
from textmill.serving.sampling import Wishes

ROWS = generating_models.prompts()
END = 7


def decoder(folder: Path, precision: Name = "float32") -> Decoder:
    import keras_hub

    backbone = keras_hub.models.Backbone.from_preset(str(folder))
    weights = decoder_serving_weights(backbone, longest=LONGEST)
    return Decoder(weights, PRECISIONS[precision])


def wishes(rows: int, **numbers: Any) -> Wishes:
    """Returns the same wishes for each row; a list has a number a row."""
    usual = Defaults(max_new_tokens=NEW).wishes()
    every = {name: (numbers.get(name, value), kind_of(value)) for name, value in usual.items()}
    made = {name: tf.constant(value, kind) for name, (value, kind) in every.items()}
    return Wishes(**{name: tf.broadcast_to(value, [rows]) for name, value in made.items()})


def written(
    decoder: Decoder,
    rows: list[list[int]],
    endings: Endings = Endings((END,)),  # noqa: B008
    *,
    num_beams: int = 1,
    length_penalty: float = 1.0,
    processors: Processors = Processors(),  # noqa: B008
    **numbers: Any,
) -> tuple[list[list[int]], list[int]]:
    """Returns the new tokens of each prompt, and how many were drawn."""
    ragged = tf.ragged.constant(rows, tf.int32, ragged_rank=1, row_splits_dtype=tf.int64)
    longer = tf.fill([len(rows)], length_penalty)

    def found(rows: tf.RaggedTensor, wishes: Wishes) -> Any:
        if num_beams == 1:
            return generate(decoder.network(), rows, wishes, endings, processors)
        return search(
            decoder.network(),
            rows,
            wishes,
            endings,
            beams=num_beams,
            length_penalty=longer,
            processors=processors,
        )

    texts, count = tf.function(found, autograph=False)(ragged, wishes(len(rows), **numbers))
    return texts.to_list(), count.numpy().tolist()
