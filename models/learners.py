"""Which learner makes the parts of a training, by what is learned."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from textmill.models.causal_learner import CausalLearner, NextToken
from textmill.models.learner import Learner
from textmill.models.pair_learner import PairLearner, TargetTokens


def learner_of(task: Any) -> Callable[..., Any]:
    """Returns the learner of a task; of one with labels that is `Learner`.

    Example:
        >>> learner_of(NextToken()).__name__
        'CausalLearner'
    """
    if isinstance(task, NextToken):
        return CausalLearner
    return PairLearner if isinstance(task, TargetTokens) else Learner
