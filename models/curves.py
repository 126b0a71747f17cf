"""What a training looks like: TensorBoard logs while it runs, then a picture of its epochs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path


class Log:
    """TensorBoard's event files of a training; `tensorboard --logdir` shows them as they grow.

    Args:
        folder: Where to; an attempt that goes on adds a file to those of the one before.
    """

    def __init__(self, folder: Path) -> None:
        import tensorflow as tf

        self._writer = tf.summary.create_file_writer(str(folder))

    def add(self, step: int, figures: Mapping[str, float]) -> None:
        """Adds figures of after `step` steps."""
        import tensorflow as tf

        with self._writer.as_default(step=step):
            for name, value in figures.items():
                tf.summary.scalar(name, value)
        self._writer.flush()


def draw(history: Sequence[Mapping[str, float]], file: Path) -> None:
    """Draws the learning curve: each figure of the training and the validation split, by epoch.

    Args:
        history: A row an epoch, with "epoch", and figures whose names on the validation split
            begin with "val_".
        file: PNG; equal histories give equal bytes.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    # Beside the loss the figure that picks the epoch, which is the first of a validation.
    held_out = (name.removeprefix("val_") for name in history[0] if name.startswith("val_"))
    names = [n for n in ("loss", next(held_out, "accuracy")) if _there(n, history[0])]
    epochs = [row["epoch"] for row in history]
    figure = Figure(figsize=(4.5 * len(names), 3.2), layout="constrained")
    FigureCanvasAgg(figure)
    for place, name in enumerate(names):
        axes = figure.add_subplot(1, len(names), place + 1)
        for column, label, style in (
            (name, "training", "o--"),
            (f"val_{name}", "validation", "o-"),
        ):
            if column in history[0]:
                axes.plot(epochs, [row[column] for row in history], style, label=label)
        axes.set(title=name, xlabel="epoch")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(alpha=0.3)
        axes.legend(frameon=False)
    figure.savefig(file, dpi=120, metadata={"Software": None})


def _there(name: str, row: Mapping[str, float]) -> bool:
    return name in row or f"val_{name}" in row
