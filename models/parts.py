"""What a training is made of, whatever is learned: the loop knows of it no more than this."""

from __future__ import annotations

from collections.abc import Iterator, Sized
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import keras
    import tensorflow as tf

    from textmill.models.rows import Places
    from textmill.models.step import Step


class Parts(Protocol):
    """The parts of a training: rows in batches, a model on its devices, a step, a validation.

    `Learner` has those of tasks with labels, `MaskedLearner` and `CausalLearner` those of language
    models.
    """

    @property
    def held_out(self) -> Sized:
        """The rows of the validation split."""

    @property
    def strategy(self) -> tf.distribute.Strategy:
        """The devices."""

    def steps(self, epoch: int) -> int:
        """Returns how many steps an epoch has."""

    def batches(self, epoch: int) -> list[Places]:
        """Returns the row numbers of each of an epoch's batches; only the epoch decides."""

    def data(
        self, step: Step, epoch: int, batches: list[Places], choices: dict[str, Any]
    ) -> Iterator[Any]:
        """Returns the batches for the devices, in as many pieces as memory asks for."""

    def build(self, precision: str, xla: bool) -> Step:
        """Returns a step of a new model, the same one each time."""

    def plain(self) -> keras.Model:
        """Returns a new model without LoRA that computes in float32."""

    def choices(self) -> dict[str, Any]:
        """Returns what this machine is to train with, and says why."""

    def figures(self, loss: float, right: float) -> dict[str, float]:
        """Returns the figures of the training rows of an epoch from their mean loss and rightness.

        Args:
            loss: Mean over the rows.
            right: Likewise; NaN where a task does not say.
        """

    def validate(self, step: Step) -> dict[str, float]:
        """Returns the figures of the validation split; the first picks the epoch.

        The highest is the best, but the lowest of what is an error or a loss by its name; see
        `textmill.models.objective.direction_of`.
        """

    def finish(self, model: keras.Model) -> None:
        """Gives a trained model what the training kept apart."""

    def padding(self, epoch: int, batches: list[Places]) -> float:
        """Returns the share of positions of some batches that hold no token, 0 to 1."""

    def places(self, epoch: int, row: int) -> Places:
        """Returns what a row is made of: places in the training split of the examples."""
