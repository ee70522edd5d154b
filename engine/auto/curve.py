"""What more rows would bring: a candidate on a quarter, a half and all of the rows."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..train.examples import TrainData
from ..train.solve_config import SolveConfig
from .budget import Budget
from .choice import gains, standard_error
from .judged import Judged, path_of

_SHARES = (0.25, 0.5)
_AROUND = (10.0, 3.0, 1.0)  # times the strength that all rows want: fewer rows want no weaker one


@dataclass(frozen=True)
class CurvePoint:
    """A candidate trained on some of the rows, and judged on the folds that it did not see."""

    share: float
    rows: int
    """Training rows, on average over the folds."""
    values: np.ndarray
    """Of the metric, float64 [folds]."""


def learning_curve(
    judged: Judged, fold_of: np.ndarray, watched: str, budget: Budget, seed: int
) -> list[CurvePoint]:
    """The points of a linear candidate's curve, the last one of all rows; none where the time is over."""
    candidate, l2 = judged.candidate, judged.l2
    assert candidate is not None
    assert isinstance(candidate.config, SolveConfig)
    assert l2 is not None
    served = judged.served
    config = replace(candidate.config, l2=tuple(l2 * factor for factor in _AROUND))
    folds = [int(fold) for fold in np.unique(fold_of)]
    order = np.random.default_rng(seed).permutation(len(fold_of))
    points = []
    for share in _SHARES:
        paths, rows = [], 0
        for fold in folds:
            if budget.left < 0:
                return []
            seen = order[fold_of[order] != fold]
            seen = np.sort(seen[: max(1, round(len(seen) * share))])
            rows += len(seen)
            held_out = served.train.subset(np.flatnonzero(fold_of == fold))
            part = replace(served, train=served.train.subset(seen), valid=held_out)
            if not _has_all_labels(part):
                return []
            paths.append(path_of(part, config, watched))
        best = [[path[one][1] for path in paths] for one in config.l2 if all(one in path for path in paths)]
        if not best:
            return []
        values = max(best, key=lambda one: float(gains(watched, np.array(one), np.zeros(len(one))).mean()))
        points.append(CurvePoint(share, round(rows / len(folds)), np.array(values)))
    everything = round(len(fold_of) * (1 - 1 / len(folds)))
    return [*points, CurvePoint(1.0, everything, judged.values)]


def last_gain(watched: str, points: Sequence[CurvePoint]) -> tuple[float, float]:
    """How much better all rows are than half of them, and the standard error of that."""
    found = gains(watched, points[-1].values, points[-2].values)
    return float(found.mean()), standard_error(found)


def _has_all_labels(part: TrainData) -> bool:
    """Whether each label is among the training rows, without which a head cannot be compared."""
    targets = part.train.targets
    if not part.task.has_classes:
        return bool(np.ptp(targets) > 0)
    if targets.ndim == 1:
        return len(np.unique(targets)) == len(part.labels)
    return bool((targets.min(0) < targets.max(0)).all())
