"""Pictures of a search: how it went, and where the good values lie."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from textmill.models.objective import Objective
from textmill.models.search import Attempt

if TYPE_CHECKING:
    from matplotlib.figure import Figure

BLUE, RED, GREY = "#2563a8", "#c23b3b", "#8a8f98"
UNUSED = -0.12  # where a parameter is drawn that did not count in a trial


def draw_objective(file: Path, attempts: Sequence[Attempt], objective: Objective) -> None:
    """Draws the objective of each trial in their order, and the best so far.

    Args:
        file: PNG to write; equal attempts give equal bytes.
        attempts: The trials; one at least has a value.
        objective: What was made good.
    """
    from matplotlib.ticker import MaxNLocator

    figure = _figure(7.0, 3.8)
    axes = figure.add_subplot()
    better = min if objective.direction == "min" else max
    best: float | None = None
    so_far: list[float] = []
    for attempt in attempts:
        if attempt.value is not None:
            best = attempt.value if best is None else better(best, attempt.value)
        so_far.append(math.nan if best is None else best)
    numbers = range(1, len(attempts) + 1)
    axes.step(numbers, so_far, where="post", color=BLUE, linewidth=1.5, label="best so far")
    for status, marker, face in (("completed", "o", BLUE), ("stopped", "o", "white")):
        found = [
            (n, a.value)
            for n, a in zip(numbers, attempts, strict=True)
            if a.result.status == status and a.value is not None
        ]
        if found:
            axes.plot(
                *zip(*found, strict=True),
                marker,
                color=BLUE,
                markerfacecolor=face,
                markersize=6,
                label=status,
            )
    failed = [n for n, a in zip(numbers, attempts, strict=True) if a.value is None]
    if failed:
        bottom = axes.get_xaxis_transform()  # height in shares of the axes
        axes.plot(failed, [0.03] * len(failed), "x", color=RED, transform=bottom, label="failed")
    axes.set_xlabel("trial")
    axes.set_ylabel(objective.words, parse_math=False)  # a name may hold a dollar sign
    axes.set_xlim(0.5, len(attempts) + 0.5)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(axis="y", color="#e4e6ea", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, ncols=4, loc="lower center", bbox_to_anchor=(0.5, 1.0))
    _save(figure, file)


def draw_parallel_coordinates(
    file: Path,
    attempts: Sequence[Attempt],
    names: Sequence[str],
    objective: Objective,
    *,
    logarithmic: Collection[str] = (),
) -> None:
    """Draws each trial as a line across an axis for each parameter, to the objective.

    Args:
        file: PNG to write; equal attempts give equal bytes.
        attempts: The trials; one at least has a value.
        names: The parameters.
        objective: What was made good: it colours the lines.
        logarithmic: Parameters with a logarithmic axis.
    """
    from matplotlib import colormaps
    from matplotlib.colors import Normalize

    figure = _figure(max(5.0, 1.7 * (len(names) + 1)), 4.2)
    axes = figure.add_subplot()
    axes.set_axis_off()
    scales = [
        _Scale([a.values[n] for a in attempts if n in a.values], n in logarithmic) for n in names
    ]
    scores = [a.value for a in attempts if a.value is not None]
    scale = _Scale(scores, False)
    colours = colormaps["viridis_r" if objective.direction == "min" else "viridis"]
    shade = Normalize(min(scores), max(scores))
    best = (min if objective.direction == "min" else max)(scores)
    # The best is drawn last, and on top.
    order = sorted(attempts, key=lambda a: (a.value is not None, a.value == best))
    for attempt in order:
        heights = [
            s.height(attempt.values[n]) if n in attempt.values else UNUSED
            for n, s in zip(names, scales, strict=True)
        ]
        if attempt.value is None:
            line: dict[str, Any] = {"color": GREY, "linestyle": ":", "linewidth": 1}
        else:
            heights.append(scale.height(attempt.value))
            top = attempt.value == best
            colour = RED if top else colours(shade(attempt.value))
            line = {"color": colour, "linewidth": 2.5 if top else 1.3, "alpha": 1 if top else 0.85}
        axes.plot(range(len(heights)), heights, solid_joinstyle="round", **line)
    unused = any(n not in a.values for a in attempts for n in names)
    titles = [*names, objective.name]
    for place, (name, each) in enumerate(zip(titles, [*scales, scale], strict=True)):
        axes.plot([place, place], [0, 1], color="black", linewidth=1)
        axes.text(
            place, 1.07, name, ha="center", va="bottom", fontweight="bold", fontsize=9,
            parse_math=False,
        )  # fmt: skip
        for height, label in each.ticks():
            axes.plot([place - 0.02, place + 0.02], [height, height], color="black", linewidth=1)
            axes.text(
                place + 0.04, height, label, fontsize=8, va="center", parse_math=False,
                bbox={"facecolor": "white", "alpha": 0.75, "edgecolor": "none", "pad": 0.8},
            )  # fmt: skip
    if unused:
        axes.text(-0.06, UNUSED, "not used", ha="right", va="center", fontsize=8, color=GREY)
    axes.text(
        len(names), UNUSED, "red: best · dotted: failed", ha="center", va="center", fontsize=8,
        color=GREY,
    )  # fmt: skip
    axes.set_xlim(-0.5 if unused else -0.15, len(names) + 0.45)
    axes.set_ylim(UNUSED - 0.05, 1.15)
    _save(figure, file)


class _Scale:
    """Where values stand on an axis, from 0 to 1."""

    def __init__(self, values: Sequence[Any], logarithmic: bool) -> None:
        numbers = all(isinstance(v, int | float) and not isinstance(v, bool) for v in values)
        self.names = [] if numbers else sorted({_word(value) for value in values})
        self.map: Callable[[float], float] = math.log if logarithmic else float
        given = [self.map(value) for value in values] if numbers else []
        self.low, self.high = min(given, default=0.0), max(given, default=1.0)
        self.whole = numbers and all(isinstance(value, int) for value in values)
        self.few = sorted(set(values)) if numbers and len(set(values)) <= 5 else []

    def height(self, value: Any) -> float:
        """Returns the height of a value."""
        if self.names:
            return (self.names.index(_word(value)) + 0.5) / len(self.names)
        if self.high == self.low:
            return 0.5
        return (self.map(value) - self.low) / (self.high - self.low)

    def ticks(self) -> list[tuple[float, str]]:
        """Returns heights with their labels: every value where they are few."""
        if self.names:
            return [(self.height(name), name) for name in self.names]
        if self.few and (self.whole or len(self.few) <= 3):
            return [(self.height(value), f"{value:.3g}") for value in self.few]
        steps = [self.low + (self.high - self.low) * i / 4 for i in range(5)]
        undo = math.exp if self.map is math.log else float
        values = [undo(step) for step in steps]
        if self.whole:
            values = sorted({float(round(value)) for value in values})
        return [(self.height(value), f"{value:.2g}") for value in values]


def _word(value: Any) -> str:
    text = str(value).lower() if isinstance(value, bool) else str(value)
    return text if len(text) <= 24 else "…" + text[-23:]  # the end of a path tells most


def _figure(width: float, height: float) -> Figure:
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def _save(figure: Figure, file: Path) -> None:
    # The name and version of what drew it would be written into the file.
    figure.savefig(file, dpi=130, metadata={"Software": None})
