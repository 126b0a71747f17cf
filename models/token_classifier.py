"""A classifier of tokens, which KerasHub does not have."""

from __future__ import annotations

from typing import Any

import keras
import keras_hub


@keras.saving.register_keras_serializable(package="textmill")
class TokenClassifier(keras_hub.models.Task):  # type: ignore[misc]
    """Any KerasHub encoder with a dense layer on each of its tokens.

    Written like KerasHub's tasks: `TokenClassifier.from_preset(path)` loads what one was saved to.

    Args:
        backbone: An encoder of KerasHub.
        num_classes: Logits a token.
        preprocessor: None: token ids are given.
        dropout: Share of activations to drop, 0 to 1.

    Source: https://arxiv.org/abs/1810.04805, section 5.3; `BertForTokenClassification` in
    transformers, `modeling_bert.py`.
    """

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
        output = backbone(backbone.input)
        sequence = output["sequence_output"] if isinstance(output, dict) else output
        output_dropout = keras.layers.Dropout(dropout, dtype=policy, name="output_dropout")
        output_dense = keras.layers.Dense(
            num_classes,
            kernel_initializer=keras.initializers.TruncatedNormal(stddev=0.02),
            dtype=policy,
            name="logits",
        )
        outputs = output_dense(output_dropout(sequence))
        super().__init__(inputs=backbone.input, outputs=outputs, **kwargs)
        self.num_classes, self.dropout = num_classes, dropout

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments that make it again."""
        config: dict[str, Any] = super().get_config()
        return config | {"num_classes": self.num_classes, "dropout": self.dropout}

    @classmethod
    def from_preset(cls, preset: str, load_weights: bool = True, **kwargs: Any) -> TokenClassifier:
        """Returns the classifier of a preset folder that one was saved to, on any encoder."""
        from keras_hub.src.utils.preset_utils import get_preset_loader

        made: TokenClassifier = get_preset_loader(preset).load_task(
            cls, load_weights, True, **kwargs
        )
        return made
