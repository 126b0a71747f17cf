"""The learning rate over a training."""

from __future__ import annotations

import math
from typing import Literal

Decay = Literal["linear", "cosine", "polynomial", "constant"]


def learning_rate(progress: float, *, peak: float, warmup: float, decay: Decay) -> float:
    """Returns the learning rate at `progress`: up to `peak` in a line, then down.

    Args:
        progress: How much of the training is behind us, 0 to 1.
        peak: The highest learning rate.
        warmup: Share of the training in which the rate rises.
        decay: The way down, to 0: a line, half a wave of the cosine, or a parabola (a polynomial of
            degree 2); "constant" stays at the peak.

    Source: https://arxiv.org/abs/1810.04805, appendix A.2 (linear);
    https://arxiv.org/abs/1608.03983 (cosine).

    Example:
        >>> [learning_rate(p, peak=1.0, warmup=0.2, decay="linear") for p in (0, 0.1, 0.2, 0.6, 1)]
        [0.0, 0.5, 1.0, 0.5, 0.0]
    """
    if progress < warmup:
        return peak * progress / warmup
    left = max(1 - progress, 0) / (1 - warmup)
    shapes = {
        "linear": left,
        "cosine": (1 + math.cos(math.pi * (1 - left))) / 2,
        "polynomial": left**2,
        "constant": 1.0,
    }
    return peak * shapes[decay]
