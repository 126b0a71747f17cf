"""Decoders that have weights which KerasHub's classes leave out."""

from __future__ import annotations

from typing import Any

import keras
import keras_hub


@keras.saving.register_keras_serializable(package="textmill")
class UntiedGPT2Backbone(keras_hub.models.GPT2Backbone):  # type: ignore[misc]
    """KerasHub's GPT-2 with a kernel of its own for logits: `tie_word_embeddings` is false.

    Arguments, inputs and output are those of `keras_hub.models.GPT2Backbone`. The kernel is
    `token_embedding.reverse_embeddings`, [hidden_dim, vocabulary_size], as in KerasHub's Llama.

    Source: `GPT2LMHeadModel` of transformers 5.24.

    Example:
        >>> made = UntiedGPT2Backbone(50, 1, 2, 8, 16, max_sequence_length=4)
        >>> tuple(made.token_embedding(keras.ops.ones((1, 3, 8)), reverse=True).shape)
        (1, 3, 50)
        >>> len(made.weights) - len(keras_hub.models.GPT2Backbone(50, 1, 2, 8, 16).weights)
        1
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        table = self.token_embedding
        table.tie_weights = False
        shape = (table.output_dim, table.input_dim)
        table.reverse_embeddings = _added(
            table, "reverse_embeddings", shape, table.embeddings_initializer
        )


@keras.saving.register_keras_serializable(package="textmill")
class BiasedLlamaBackbone(keras_hub.models.Llama3Backbone):  # type: ignore[misc]
    """KerasHub's Llama whose matrices have biases, as `attention_bias` and `mlp_bias` say.

    Arguments, inputs and output are those of `keras_hub.models.Llama3Backbone`, and two more.

    Args:
        attention_bias: Whether queries, keys, values and what attention gives have one.
        mlp_bias: Whether the three matrices of the feed-forward parts have one.

    Source: `LlamaAttention` and `LlamaMLP` of transformers 5.24.

    Example:
        >>> sizes = (50, 1, 4, 2, 8, 16)
        >>> one = BiasedLlamaBackbone(*sizes[:3], 8, 16, 2, attention_bias=True, mlp_bias=False)
        >>> [tuple(bias.shape) for _, bias in one.biases()]
        [(4, 2), (2, 2), (2, 2), (8,)]
    """

    def __init__(
        self, *args: Any, attention_bias: bool = False, mlp_bias: bool = False, **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        self.attention_bias, self.mlp_bias = attention_bias, mlp_bias
        for _, layer in self._biased():
            one = isinstance(layer, keras.layers.Dense) or layer.name == "attention_output"
            shape = layer.kernel.shape[-1:] if one else layer.kernel.shape[1:]
            layer.bias = _added(layer, "bias", shape, "zeros")

    def biases(self) -> list[tuple[str, keras.Variable]]:
        """Returns the names of biases in transformers, and the variables, [outputs] or so."""
        return [(f"model.layers.{name}.bias", layer.bias) for name, layer in self._biased()]

    def _biased(self) -> list[tuple[str, Any]]:
        found: list[tuple[str, Any]] = []
        for i, each in enumerate(self.transformer_layers):
            attention = each._self_attention_layer
            if self.attention_bias:
                found += [
                    (f"{i}.self_attn.q_proj", attention._query_dense),
                    (f"{i}.self_attn.k_proj", attention._key_dense),
                    (f"{i}.self_attn.v_proj", attention._value_dense),
                    (f"{i}.self_attn.o_proj", attention._output_dense),
                ]
            if self.mlp_bias:
                found += [
                    (f"{i}.mlp.gate_proj", each._feedforward_gate_dense),
                    (f"{i}.mlp.up_proj", each._feedforward_intermediate_dense),
                    (f"{i}.mlp.down_proj", each._feedforward_output_dense),
                ]
        return found

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments that make it again."""
        config: dict[str, Any] = super().get_config()
        return config | {
            "attention_bias": self.attention_bias,
            "mlp_bias": self.mlp_bias,
            "tie_word_embeddings": self.tie_word_embeddings,
        }


@keras.saving.register_keras_serializable(package="textmill")
class UntiedGPT2CausalLM(keras_hub.models.GPT2CausalLM):  # type: ignore[misc]
    """`UntiedGPT2Backbone` with logits, float32 [rows, tokens, vocabulary]."""

    backbone_cls = UntiedGPT2Backbone
    preprocessor_cls = None


@keras.saving.register_keras_serializable(package="textmill")
class BiasedLlamaCausalLM(keras_hub.models.Llama3CausalLM):  # type: ignore[misc]
    """`BiasedLlamaBackbone` with logits, float32 [rows, tokens, vocabulary]."""

    backbone_cls = BiasedLlamaBackbone
    preprocessor_cls = None


def _added(layer: Any, name: str, shape: Any, initializer: Any) -> keras.Variable:
    """Returns a new weight of a layer that KerasHub has built already.

    Keras's own layers unlock a tracker so, for LoRA.
    """
    layer._tracker.unlock()
    made: keras.Variable = layer.add_weight(
        shape=tuple(shape), initializer=initializer, name=name, trainable=True
    )
    layer._tracker.lock()
    return made
