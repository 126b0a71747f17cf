"""A text classifier for ELECTRA, which KerasHub has the encoder of."""

from __future__ import annotations

from typing import Any

import keras
import keras_hub


@keras.saving.register_keras_serializable(package="textmill")
class ElectraTextClassifierPreprocessor(keras_hub.models.BertTextClassifierPreprocessor):  # type: ignore[misc]
    """BERT's preprocessing with ELECTRA's tokenizer."""

    backbone_cls = keras_hub.models.ElectraBackbone
    tokenizer_cls = keras_hub.models.ElectraTokenizer


@keras.saving.register_keras_serializable(package="textmill")
class ElectraTextClassifier(keras_hub.models.TextClassifier):  # type: ignore[misc]
    """ELECTRA with a dense layer and GELU on the first token, and a head on that.

    Written like KerasHub's other classifiers: what loads and saves those does it with this.

    Args:
        backbone: A `keras_hub.models.ElectraBackbone`.
        num_classes: Logits a text.
        preprocessor: Makes token ids of strings; None where token ids are given.
        dropout: Share of activations to drop, 0 to 1.

    Source: `ElectraClassificationHead` in transformers, `modeling_electra.py`.
    """

    backbone_cls = keras_hub.models.ElectraBackbone
    preprocessor_cls = ElectraTextClassifierPreprocessor

    def __init__(
        self,
        backbone: keras.Model,
        num_classes: int,
        preprocessor: Any = None,
        dropout: float = 0.1,
        **kwargs: Any,
    ) -> None:
        policy = backbone.dtype_policy
        self.backbone, self.preprocessor = backbone, preprocessor
        pooled_dropout = keras.layers.Dropout(dropout, dtype=policy, name="pooled_dropout")
        pooled_dense = keras.layers.Dense(
            backbone.hidden_dim,
            activation=keras.activations.gelu,
            dtype=policy,
            name="pooled_dense",
        )
        output_dropout = keras.layers.Dropout(dropout, dtype=policy, name="output_dropout")
        output_dense = keras.layers.Dense(
            num_classes,
            kernel_initializer=keras.initializers.TruncatedNormal(stddev=0.02),
            dtype=policy,
            name="logits",
        )
        first = backbone(backbone.input)["sequence_output"][:, 0, :]
        pooled = output_dropout(pooled_dense(pooled_dropout(first)))
        super().__init__(inputs=backbone.input, outputs=output_dense(pooled), **kwargs)
        self.num_classes, self.dropout = num_classes, dropout

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments that make it again."""
        config: dict[str, Any] = super().get_config()
        return config | {"num_classes": self.num_classes, "dropout": self.dropout}
