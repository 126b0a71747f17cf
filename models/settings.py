"""How a model is trained: the values of `[train]`, their meaning, their limits and defaults."""

from __future__ import annotations

from typing import Annotated, Literal

from annotated_types import Ge, Gt, Interval
from pydantic import StringConstraints
from pydantic.dataclasses import dataclass

from textmill.config import STRICT

Duration = Annotated[str, StringConstraints(pattern=r"^(\d+h)?(\d+m)?(\d+s)?$", min_length=2)]


@dataclass(frozen=True, config=STRICT)
class Settings:
    """`[train]`: how it is trained.

    Attributes:
        epochs: Passes over the training rows.
        batch_size: Rows a step.
        tokens_per_batch: Rather cut batches so that rows times longest row is at most this.
        accumulate: Parts of a batch that are computed one after the other, for less memory.
        optimizer: "adamw"; or "muon", which learns more of each batch where a model begins from
            scratch, at some cost a step: it moves the matrices of the layers as a whole, and leaves
            all else to AdamW. The same learning rate and decay suit both.
        learning_rate: Its peak, after warmup.
        warmup: Share of the training in which the learning rate rises.
        decay: How the learning rate falls from there: "linear", "cosine" or "polynomial" (with
            power 2) to 0, or "constant".
        weight_decay: On matrices and embeddings, not on norms and biases.
        layer_decay: Learning rate of an encoder's layer, as a share of that of the layer above it.
        freeze: Whether the encoder stays as it is, and only the head on it learns.
        lora_rank: Whether the encoder stays as it is but for small matrices of this rank beside
            those of queries and values (merged into them in the end), and for the biases of these;
            None: all learns.
        label_smoothing: Share of each label that goes to all labels alike.
        class_weights: How much a row counts: "balanced" for as much the rarer its label is, or a
            number for each label; None: all rows alike.
        clip_norm: Longest gradient, of all weights together; a longer one is scaled. None: any.
        early_stopping: Stop after so many epochs without a better one; None: never.
        budget: Time that the training may take, such as "20m" or "1h30m". The learning rate's
            fall is fitted to it; `epochs` stays the limit.
        precision: "float32", "mixed_bfloat16", or "auto": what a short trial shows to be quicker.
        xla: Whether XLA compiles the step: "on", "off", or "auto", by a short trial on GPU and TPU.
        strategy: "one" device, "mirrored" on all GPUs of this machine, "tpu", or "auto".
        checkpoint: Time between two step checkpoints, from which a killed training goes on.
        checkpoint_steps: Steps between two, beside that.
        seed: Decides initial weights, order and dropout.
        deterministic: Two runs give equal weights to the bit, at some cost in speed.
    """

    epochs: Annotated[int, Ge(1)] = 3
    batch_size: Annotated[int, Ge(1)] = 32
    tokens_per_batch: Annotated[int, Ge(1)] | None = None
    accumulate: Annotated[int, Ge(1)] = 1
    optimizer: Literal["adamw", "muon"] = "adamw"
    learning_rate: Annotated[float, Gt(0)] = 5e-5
    warmup: Annotated[float, Interval(ge=0, lt=1)] = 0.1
    decay: Literal["linear", "cosine", "polynomial", "constant"] = "linear"
    weight_decay: Annotated[float, Ge(0)] = 0.01
    layer_decay: Annotated[float, Interval(gt=0, le=1)] = 1.0
    freeze: bool = False
    lora_rank: Annotated[int, Ge(1)] | None = None
    label_smoothing: Annotated[float, Interval(ge=0, lt=1)] = 0.0
    class_weights: Literal["balanced"] | dict[str, Annotated[float, Gt(0)]] | None = None
    clip_norm: Annotated[float, Gt(0)] | None = None
    early_stopping: Annotated[int, Ge(1)] | None = None
    budget: Duration | None = None
    precision: Literal["auto", "float32", "mixed_bfloat16"] = "auto"
    xla: Literal["auto", "on", "off"] = "auto"
    strategy: Literal["auto", "one", "mirrored", "tpu"] = "auto"
    checkpoint: Duration = "5m"
    checkpoint_steps: Annotated[int, Ge(1)] | None = None
    seed: Annotated[int, Ge(0)] = 0
    deterministic: bool = False

    def __post_init__(self) -> None:
        """Refuses what contradicts itself."""
        if self.deterministic and self.budget is not None:
            raise ValueError("deterministic = true without a budget: a clock repeats nothing")
        if self.optimizer == "muon" and (self.freeze or self.lora_rank):
            raise ValueError('optimizer = "adamw" where the matrices of layers stay as they are')


def seconds(duration: Duration) -> float:
    """Returns a duration in seconds.

    Example:
        >>> seconds("1h30m"), seconds("20m"), seconds("45s")
        (5400.0, 1200.0, 45.0)
    """
    total, number = 0.0, ""
    for character in duration:
        if character.isdigit():
            number += character
        else:
            total += int(number) * {"h": 3600, "m": 60, "s": 1}[character]
            number = ""
    return total
