"""The weights of a trained Keras model as arrays, for the graph that serves it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from textmill.encoder_weights import Activation, Block, Dense, EncoderWeights, Norm

if TYPE_CHECKING:
    import keras


def serving_weights(network: keras.Model, *, pair: bool) -> EncoderWeights | None:
    """Returns the weights of a classifier on an encoder of BERT's kind.

    Args:
        network: What a task loaded.
        pair: Whether it takes two texts. Else all tokens are of segment 0, and its embedding is
            added to those of the places once and for all.

    Returns:
        None for a network of another kind: another encoder or head, or one that computes in
        another precision than float32. Its own graph must serve then.
    """
    backbone: Any = getattr(network, "backbone", None)
    head = _head(network)
    layers = _layers(backbone)
    if head is None or not layers or backbone.dtype_policy.compute_dtype != "float32":
        return None
    from textmill.models.numerics import get_numerics

    numerics = get_numerics(backbone)
    norms = [
        n
        for each in layers
        for n in (each._self_attention_layer_norm, each._feedforward_layer_norm)
    ]
    norms.append(backbone.embeddings_layer_norm)
    if numerics is None or len({float(each.epsilon) for each in norms}) > 1:
        return None
    tables = getattr(backbone, "embeddings", backbone)  # TokenAndPositionEmbedding of some
    positions = _array(tables.position_embedding.position_embeddings)
    segments = None
    if hasattr(backbone, "segment_embedding"):
        segments = _array(backbone.segment_embedding.embeddings)
        if not pair:
            positions, segments = positions + segments[0], None
    widen = getattr(backbone, "embeddings_projection", None)
    pool, pool_activation, logits = head
    return EncoderWeights(
        tokens=_array(tables.token_embedding.embeddings),
        positions=positions,
        segments=segments,
        norm=_norm(backbone.embeddings_layer_norm),
        widen=_dense(widen) if widen is not None else None,
        blocks=tuple(map(_block, layers)),
        order=_order(backbone),
        heads=layers[0].num_heads,
        activation=numerics.activation,  # type: ignore[arg-type]
        epsilon=numerics.layer_norm_epsilon,
        pool=_dense(pool) if pool is not None else None,
        pool_activation=pool_activation,
        logits=_dense(logits),
    )


def _head(network: Any) -> tuple[Any, Activation, Any] | None:
    """Returns a known classifier's pooling layer, if any, its activation, and the last layer."""
    import keras
    import keras_hub

    from textmill.models.electra import ElectraTextClassifier
    from textmill.models.token_classifier import TokenClassifier

    known: dict[Any, Any] = {
        keras_hub.models.BertTextClassifier: lambda: network.backbone.pooled_dense,
        keras_hub.models.AlbertTextClassifier: lambda: network.backbone.pooled_dense,
        keras_hub.models.DistilBertTextClassifier: lambda: network.pooled_dense,
        keras_hub.models.RobertaTextClassifier: lambda: network.pooled_dense,
        keras_hub.models.XLMRobertaTextClassifier: lambda: network.pooled_dense,
        ElectraTextClassifier: lambda: network.get_layer("pooled_dense"),
        TokenClassifier: lambda: None,
    }
    if type(network) not in known:
        return None
    pool, logits = known[type(network)](), network.get_layer("logits")
    if logits.activation is not keras.activations.linear:
        return None
    if pool is None:
        return None, "tanh", logits
    activations: dict[Any, Activation] = {
        keras.activations.tanh: "tanh",
        keras.activations.relu: "relu",
        keras.activations.gelu: "gelu",
    }
    if pool.activation not in activations:
        return None
    return pool, activations[pool.activation], logits


def _layers(backbone: Any) -> list[Any]:
    """Returns the blocks of an encoder, each once; none if it is not of BERT's kind."""
    import keras_hub

    hub = keras_hub.models
    kinds = {hub.BertBackbone, hub.DistilBertBackbone, hub.RobertaBackbone, hub.XLMRobertaBackbone}
    if type(backbone) not in kinds | {hub.ElectraBackbone, hub.AlbertBackbone}:
        return []
    found: list[Any] = []
    for each in backbone.transformer_layers:
        found += each if isinstance(each, list) else [each]
    plain = keras_hub.layers.TransformerEncoder
    if any(type(each) is not plain or each.normalize_first for each in found):
        return []
    return found


def _order(backbone: Any) -> tuple[int, ...]:
    """Returns in which order tokens go through the blocks."""
    groups = [g if isinstance(g, list) else [g] for g in backbone.transformer_layers]
    times = backbone.num_layers // len(groups)
    order: list[int] = []
    first = 0
    for group in groups:
        order += [first + i for _ in range(times) for i in range(len(group))]
        first += len(group)
    return tuple(order)


def _block(layer: Any) -> Block:
    import numpy as np

    attention = layer._self_attention_layer
    parts = [
        _dense(each)
        for each in (attention._query_dense, attention._key_dense, attention._value_dense)
    ]
    return Block(
        project=Dense(*(np.concatenate(each, -1) for each in zip(*parts, strict=True))),
        attend=_dense(attention._output_dense),
        attend_norm=_norm(layer._self_attention_layer_norm),
        widen=_dense(layer._feedforward_intermediate_dense),
        narrow=_dense(layer._feedforward_output_dense),
        feed_norm=_norm(layer._feedforward_layer_norm),
    )


def _dense(layer: Any) -> Dense:
    """Returns a layer as a matrix and a vector, whatever dimensions its heads have of their own."""
    kernel, bias = _array(layer.kernel), _array(layer.bias).reshape(-1)
    return Dense(kernel.reshape(-1, bias.size), bias)


def _norm(layer: Any) -> Norm:
    return Norm(_array(layer.gamma), _array(layer.beta))


def _array(value: Any) -> Any:
    import keras
    import numpy as np

    return np.asarray(keras.ops.convert_to_numpy(value), np.float32)
