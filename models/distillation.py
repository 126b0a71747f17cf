"""What a student learns: to say what its teacher says, and where there is a label, the label."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from textmill.artifact import LabelKind
from textmill.errors import UserError

if TYPE_CHECKING:
    import tensorflow as tf

    from textmill.models.adaptation import Loss
    from textmill.models.task import Task


class Taught(NamedTuple):
    """What is to be learned of rows.

    Attributes:
        labels: As the task's loss takes them; where there is none, anything.
        known: 1 for a row with a label, else 0: float32 [rows].
        said: The teacher's logits, float32 [rows, …].
    """

    labels: tf.Tensor
    known: tf.Tensor
    said: tf.Tensor


@dataclass(frozen=True)
class Lesson:
    """How a student learns from its teacher.

    Attributes:
        layers: The student's.
        temperature: What logits are divided by before they are compared; the higher, the more what
            the teacher thinks of the unlikely labels counts. No matter for numbers.
        label_share: Share of a labelled row's loss that its label has; the teacher has the rest,
            and all of a row without one.

    Raises:
        UserError: A value is outside of its limits.
    """

    layers: int
    temperature: float = 2.0
    label_share: float = 0.5

    def __post_init__(self) -> None:
        if not 0 < self.temperature < math.inf:
            raise UserError(
                f"distill.temperature = {self.temperature}",
                expected="a finite number above 0",
                received=str(self.temperature),
                fix="set distill.temperature = 2.0",
            )
        if not 0 <= self.label_share <= 1:
            raise UserError(
                f"distill.label_share = {self.label_share}",
                expected="a share, 0 to 1",
                received=str(self.label_share),
                fix="set distill.label_share = 0.5",
            )

    def loss(self, kind: LabelKind, label_loss: Loss) -> Any:
        """Returns a function from `Taught` and a student's logits to losses: float32 [rows].

        Args:
            kind: What a label is.
            label_loss: The task's.
        """

        def found(taught: Taught, logits: tf.Tensor) -> tf.Tensor:
            share = self.label_share * taught.known
            soft = apart(kind, taught, logits, self.temperature)
            return (1 - share) * soft + share * label_loss(taught.labels, logits)

        return found


def apart(kind: LabelKind, taught: Taught, logits: tf.Tensor, temperature: float) -> tf.Tensor:
    """Returns how far a student's logits are from its teacher's, 0 where they say the same.

    Args:
        kind: What a label is: "one": the divergence (Kullback and Leibler's, in nats) of the
            student's softmax from the teacher's; "many": the mean over the labels of that of their
            sigmoids; "spans": the mean over the words of that of their tags; "number": the squared
            difference.
        taught: With the teacher's logits.
        logits: The student's, float32 [rows, …].
        temperature: What both are divided by; the divergence is multiplied by its square, so that
            gradients are as long at any temperature.

    Returns:
        float32 [rows].

    Source: https://arxiv.org/abs/1503.02531, section 2.
    """
    import tensorflow as tf

    if kind == "number":
        return tf.square(logits[:, 0] - taught.said[:, 0])
    said, ours = taught.said / temperature, logits / temperature
    if kind == "many":
        shares, entropy = tf.sigmoid(said), tf.nn.sigmoid_cross_entropy_with_logits
        each = tf.reduce_mean(entropy(shares, ours) - entropy(shares, said), -1)
    else:
        logs = tf.nn.log_softmax(said)
        each = tf.reduce_sum(tf.exp(logs) * (logs - tf.nn.log_softmax(ours)), -1)
    if kind == "spans":
        begins = tf.cast(taught.labels > 0, tf.float32)
        words = tf.maximum(tf.reduce_sum(begins, 1), 1)
        each = tf.reduce_sum(each * begins, 1) / words
    return temperature**2 * each


def agreed(task: Task, taught: Taught, logits: tf.Tensor) -> tf.Tensor | None:
    """Returns how much of each row a student decides as its teacher does, 0 to 1.

    Args:
        task: Whose notion of what is right is taken.
        taught: With the teacher's logits.
        logits: The student's, float32 [rows, …].

    Returns:
        float32 [rows]; None where a task does not say what is right.
    """
    import tensorflow as tf

    if task.LABELS == "number":
        decided = taught.said[:, 0]
    elif task.LABELS == "many":
        decided = tf.cast(taught.said > 0, tf.float32)
    else:
        decided = tf.argmax(taught.said, -1, tf.int32)
        if task.LABELS == "spans":
            decided = tf.where(taught.labels > 0, decided + 1, 0)
    return task.right(decided, logits)
