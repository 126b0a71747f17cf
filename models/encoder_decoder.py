"""The Transformer that reads one text and writes another, of KerasHub's layers."""

from __future__ import annotations

from typing import Any

import keras
import keras_hub


@keras.saving.register_keras_serializable(package="textmill")
class EncoderDecoderBackbone(keras_hub.models.Backbone):  # type: ignore[misc]
    """An encoder and a decoder that share one table of embeddings with the logits.

    Each layer normalizes before each of its parts and not behind them, so that it learns without a
    long warmup; a last norm stands behind the encoder and the decoder. Places are told by sines.
    Its attributes are named as those of `keras_hub.models.BartBackbone`, and so are its inputs,
    int32 [rows, tokens] each: `encoder_token_ids`, `encoder_padding_mask`, `decoder_token_ids`,
    `decoder_padding_mask`. Outputs, [rows, tokens, width]: `encoder_sequence_output`,
    `decoder_sequence_output`.

    Args:
        vocabulary_size: Tokens, of both texts.
        num_layers: Of the encoder, and of the decoder.
        num_heads: Of each attention.
        hidden_dim: Width.
        intermediate_dim: Width inside of a feed-forward part.
        dropout: Share of activations to drop, 0 to 1.
        dtype: Keras's dtype policy.

    Source: https://arxiv.org/abs/1706.03762, section 3; norms as in
    https://arxiv.org/abs/2002.04745; one table as in https://arxiv.org/abs/1608.05859.

    Example:
        >>> made = EncoderDecoderBackbone(50, 1, 2, 8, 16)
        >>> ids, mask = keras.ops.ones((1, 3), "int32"), keras.ops.ones((1, 3), "int32")
        >>> given = {"encoder_token_ids": ids, "encoder_padding_mask": mask}
        >>> given |= {"decoder_token_ids": ids[:, :2], "decoder_padding_mask": mask[:, :2]}
        >>> tuple(made(given)["decoder_sequence_output"].shape)
        (1, 2, 8)
    """

    def __init__(
        self,
        vocabulary_size: int,
        num_layers: int,
        num_heads: int,
        hidden_dim: int,
        intermediate_dim: int,
        dropout: float = 0.1,
        dtype: Any = None,
        **kwargs: Any,
    ) -> None:
        layers = keras_hub.layers
        self.token_embedding = layers.ReversibleEmbedding(
            vocabulary_size,
            hidden_dim,
            # Times the root of the width, as they enter: as large as the sines beside them.
            embeddings_initializer=keras.initializers.RandomNormal(stddev=hidden_dim**-0.5),
            dtype=dtype,
            name="token_embedding",
        )
        inside = {
            "num_heads": num_heads,
            "intermediate_dim": intermediate_dim,
            "dropout": dropout,
            "normalize_first": True,
            "dtype": dtype,
        }
        inputs: dict[str, Any] = {}
        for side in ("encoder", "decoder"):
            for each in ("token_ids", "padding_mask"):
                name = f"{side}_{each}"
                inputs[name] = keras.Input(shape=(None,), dtype="int32", name=name)
            # In bfloat16 the angles of neighbouring places would be the same.
            sines = layers.SinePositionEncoding(dtype="float32", name=f"{side}_position_embedding")
            norm = keras.layers.LayerNormalization(
                epsilon=1e-5, dtype=dtype, name=f"{side}_layer_norm"
            )
            drop = keras.layers.Dropout(dropout, dtype=dtype, name=f"{side}_embeddings_dropout")
            kind = layers.TransformerEncoder if side == "encoder" else layers.TransformerDecoder
            named = [f"transformer_{side}_layer_{i}" for i in range(num_layers)]
            setattr(self, f"{side}_position_embedding", sines)
            setattr(self, f"{side}_embeddings_dropout", drop)
            setattr(self, f"{side}_transformer_layers", [kind(**inside, name=n) for n in named])
            setattr(self, f"{side}_layer_norm", norm)

        def embedded(side: str) -> Any:
            x = self.token_embedding(inputs[f"{side}_token_ids"]) * hidden_dim**0.5
            x = keras.layers.Add(dtype=dtype, name=f"{side}_embeddings_add")(
                (x, getattr(self, f"{side}_position_embedding")(x))
            )
            return getattr(self, f"{side}_embeddings_dropout")(x)

        x = embedded("encoder")
        source_mask = inputs["encoder_padding_mask"]
        for layer in self.encoder_transformer_layers:
            x = layer(x, padding_mask=source_mask)
        source = self.encoder_layer_norm(x)
        x = embedded("decoder")
        for layer in self.decoder_transformer_layers:
            x = layer(
                x,
                encoder_sequence=source,
                decoder_padding_mask=inputs["decoder_padding_mask"],
                encoder_padding_mask=source_mask,
            )
        outputs = {
            "encoder_sequence_output": source,
            "decoder_sequence_output": self.decoder_layer_norm(x),
        }
        super().__init__(inputs=inputs, outputs=outputs, dtype=dtype, **kwargs)
        self.vocabulary_size, self.num_layers, self.num_heads = (
            vocabulary_size,
            num_layers,
            num_heads,
        )
        self.hidden_dim, self.intermediate_dim = hidden_dim, intermediate_dim
        self.dropout = dropout

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments that make it again."""
        config: dict[str, Any] = super().get_config()
        return config | {
            "vocabulary_size": self.vocabulary_size,
            "num_layers": self.num_layers,
            "num_heads": self.num_heads,
            "hidden_dim": self.hidden_dim,
            "intermediate_dim": self.intermediate_dim,
            "dropout": self.dropout,
        }


@keras.saving.register_keras_serializable(package="textmill")
class EncoderDecoderLM(keras_hub.models.Seq2SeqLM):  # type: ignore[misc]
    """`EncoderDecoderBackbone` with logits, float32 [rows, tokens, vocabulary].

    Args:
        backbone: An `EncoderDecoderBackbone`.
        preprocessor: None: token ids are given.
    """

    backbone_cls = EncoderDecoderBackbone

    def __init__(
        self, backbone: EncoderDecoderBackbone, preprocessor: None = None, **kwargs: Any
    ) -> None:
        self.backbone, self.preprocessor = backbone, preprocessor
        hidden = backbone(backbone.input)["decoder_sequence_output"]
        outputs = backbone.token_embedding(hidden, reverse=True)
        super().__init__(inputs=backbone.input, outputs=outputs, **kwargs)
