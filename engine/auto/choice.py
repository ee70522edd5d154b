"""Which of several candidates is kept: the simplest of those that are as good as the best."""

from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np

from ..heads.metrics import METRICS

_HALF_A_POINT = 0.005
T = TypeVar("T")
Lead = Callable[[T, T], tuple[float, float]]
"""By how much the first of two candidates is better, and the standard error of that."""


def standard_error(values: np.ndarray) -> float:
    """Of the mean of values by fold, float64 [folds]."""
    return float(np.std(values, ddof=1) / np.sqrt(len(values)))


def gains(watched: str, one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """By how much the first of two candidates is better on each fold that both were judged on."""
    folds = min(len(one), len(other))
    lead = one[:folds] - other[:folds]
    return -lead if METRICS[watched].lower_is_better else lead


def best_of(candidates: Sequence[T], lead: Lead[T]) -> T:
    """The best candidate; of equals, the first."""
    best = candidates[0]
    for one in candidates[1:]:
        if lead(one, best)[0] > 0:
            best = one
    return best


def chosen(candidates: Sequence[T], lead: Lead[T], most: float, folds: Callable[[T], int]) -> T:
    """The candidate to keep of several, simplest first.

    It is the first that the best one leads by no more than the standard error of the lead (the rule of one
    standard error of Breiman et al. 1984, on paired folds), and by no more than ``most``: where few rows tell
    little, a simple candidate would else be kept that is probably much worse.

    ``folds`` tells on how many folds one was judged. The best of all may have been judged on few; so what is
    kept must also stand beside the best of those that were judged on more.
    """
    rivals = [
        best_of([one for one in candidates if folds(one) >= count], lead)
        for count in sorted({folds(one) for one in candidates})
    ]
    for one in candidates:
        leads = [lead(rival, one) for rival in rivals]
        if all(ahead <= min(error, most) for ahead, error in leads):
            return one
    return rivals[0]


def half_a_point(watched: str, value: float) -> float:
    """How much of a metric may be given up for a simpler candidate: 0.005, of a loss so much of its value."""
    return _HALF_A_POINT * (abs(value) if METRICS[watched].lower_is_better else 1.0)


def is_hopeless(watched: str, values: Sequence[float], best: np.ndarray) -> bool:
    """Whether a candidate, after two folds or more, lies behind the best by more than a standard error."""
    lead = gains(watched, best, np.array(values))
    return len(lead) > 1 and bool(lead.mean() > standard_error(lead))
