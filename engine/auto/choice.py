"""Which of several candidates is kept: the simplest of those that are as good as the best."""

from collections.abc import Sequence

import numpy as np

from ..heads.metrics import METRICS


def standard_error(values: np.ndarray) -> float:
    """Of the mean of values by fold, float64 [folds]."""
    return float(np.std(values, ddof=1) / np.sqrt(len(values)))


def gains(watched: str, one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """By how much the first of two candidates is better on each fold."""
    return other - one if METRICS[watched].lower_is_better else one - other


def chosen(watched: str, values: Sequence[np.ndarray]) -> int:
    """The number of the candidate to keep, of the metric's values float64 [folds] of each, simplest first.

    It is the first whose folds lie behind those of the best by no more than the standard error of their
    mean difference (the rule of one standard error of Breiman et al. 1984, on paired folds).
    """
    best = max(values, key=lambda one: float(np.mean(gains(watched, one, np.zeros_like(one)))))
    for number, one in enumerate(values):
        lead = gains(watched, best, one)
        if lead.mean() <= standard_error(lead):
            return number
    raise ValueError("no candidates")


def is_hopeless(watched: str, values: Sequence[float], best: np.ndarray) -> bool:
    """Whether a candidate, after two folds or more, lies behind the best by more than a standard error."""
    if len(values) < 2:
        return False
    lead = gains(watched, best[: len(values)], np.array(values))
    return bool(lead.mean() > standard_error(lead))
