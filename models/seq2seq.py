"""Encoder-decoders in training: from pairs of texts to the loss of every token to be guessed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from textmill.models.quick_encoder_decoder import quick_encoder_decoder
from textmill.models.target_losses import linear_losses

if TYPE_CHECKING:
    import keras

INPUTS = ("source", "source_mask", "token_ids", "target")


def build(
    backbone: keras.Model, *, smoothing: float = 0.0, most_logits: int | None = None
) -> keras.Model:
    """Returns a model from pairs to losses, around an encoder-decoder.

    It takes `INPUTS` as `pair_batches.pair_rows` returns them, int32 [rows, tokens] each, and gives
    the cross-entropy of each target in nats, float32 [rows, tokens], 0 where there is none; logits
    are computed for targets alone.

    Args:
        backbone: `EncoderDecoderBackbone`, or KerasHub's BART.
        smoothing: Share of each target that goes to all tokens alike, in training.
        most_logits: As in `target_losses.linear_losses`.

    Source: https://arxiv.org/abs/1706.03762.
    """
    import keras
    import tensorflow as tf

    compute = quick_encoder_decoder(backbone)

    class PairLosses(keras.Model):  # type: ignore[misc]
        def __init__(self, backbone: keras.Model) -> None:
            super().__init__(name="pair_losses", dtype="float32")
            self.backbone = backbone

        def call(self, inputs: Any, training: bool | None = None) -> Any:
            target = inputs["target"]
            source, mask, token_ids = (inputs[name] for name in INPUTS[:3])
            hidden = compute(source, mask, token_ids, bool(training))
            where = tf.where(target >= 0)
            hidden = tf.reshape(hidden, [*tf.unstack(tf.shape(target)), hidden.shape[-1]])
            hidden = tf.gather_nd(hidden, where)
            kernel = tf.convert_to_tensor(self.backbone.token_embedding.embeddings)
            kernel = tf.cast(kernel, hidden.dtype)
            wanted, smooth = tf.gather_nd(target, where), smoothing if training else 0.0
            losses = linear_losses(hidden, kernel, wanted, smooth, most_logits)
            return tf.scatter_nd(where, losses, tf.shape(target, tf.int64))

    model = PairLosses(backbone)
    model.built = True  # its only weights are those of the backbone
    return model


def task_class(backbone: keras.Model) -> Any:
    """Returns the sequence-to-sequence model, with logits, for an encoder-decoder."""
    import keras_hub

    from textmill.models.encoder_decoder import EncoderDecoderBackbone, EncoderDecoderLM

    ours = isinstance(backbone, EncoderDecoderBackbone)
    return EncoderDecoderLM if ours else keras_hub.models.BartSeq2SeqLM


def load(path: Path) -> keras.Model:
    """Returns the sequence-to-sequence model of a Model artifact, without its tokenizer."""
    import keras_hub

    from textmill.models import encoder_decoder  # noqa: F401 - it registers what the files name
    from textmill.models.checkpoint import load_task

    return load_task(path, keras_hub.models.Seq2SeqLM)
